//! How connections come in and go out: through the private network namespaces, or plainly.
//!
//! In the private namespaces an accepted socket carries the mark of its flow and, as its local
//! address, the address that the client dialled. The socket towards the server has the client's
//! own address and port and the mark with its side flipped: see `weir_abi::mark`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use weir_abi::mark;
use weir_policy::model::Direction;

use crate::{flow::FlowKey, permit::Permit, sys};

/// The way of connections.
#[derive(Debug, Clone, Copy)]
pub enum Datapath {
    /// Redirected by the kernel programs: flows are known by their marks.
    Transparent {
        /// Which private namespace this is.
        direction: Direction,
        /// The port of the proxy's own listeners.
        listener_port: u16,
    },
    /// Ordinary sockets: one flow, one server. For tests and benchmarks without privileges.
    Plain {
        /// Taken as every flow's direction.
        direction: Direction,
        /// Taken as every flow's endpoint.
        endpoint: u16,
        /// Where every connection goes.
        server: SocketAddr,
    },
}

/// A connection that the proxy must not serve.
#[derive(Debug, Error)]
pub enum Stranger {
    /// Its mark is not one of ours.
    #[error("connection without a flow mark ({mark:#x})")]
    Unmarked {
        /// The mark found.
        mark: u32,
    },
    /// It was made to the proxy's own listener.
    #[error("connection to the proxy itself ({address})")]
    Listener {
        /// The address dialled.
        address: SocketAddr,
    },
    /// Its addresses or mark could not be read.
    #[error("flow of connection is unknown")]
    Unknown(#[source] io::Error),
}

/// Why the server was not reached.
#[derive(Debug, Error)]
pub enum ConnectFault {
    /// No answer in time.
    #[error("connect timeout")]
    Timeout,
    /// Refused, unreachable, or no socket to be had.
    #[error("connect failed: {0}")]
    Failed(#[from] io::Error),
}

/// A connection to the server, and how it came about.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: TcpStream,
    /// It could not keep the client's port.
    pub port_fallback: bool,
}

impl Datapath {
    /// The flow that an accepted connection belongs to.
    ///
    /// # Errors
    /// [`Stranger`]: it did not come through the datapath and must be reset.
    pub fn identify(&self, accepted: &TcpStream, client: SocketAddr) -> Result<FlowKey, Stranger> {
        match *self {
            Self::Plain {
                direction,
                endpoint,
                server,
            } => Ok(FlowKey {
                endpoint,
                direction,
                client,
                server,
                protocol: weir_policy::model::Protocol::Tcp,
                mark: mark::private(endpoint, true),
            }),
            Self::Transparent {
                direction,
                listener_port,
            } => {
                let server = accepted.local_addr().map_err(Stranger::Unknown)?;
                if server.port() == listener_port && server.ip().is_loopback() {
                    return Err(Stranger::Listener { address: server });
                }
                let mark = SockRef::from(accepted).mark().map_err(Stranger::Unknown)?;
                let endpoint = mark::endpoint(mark).ok_or(Stranger::Unmarked { mark })?;
                Ok(FlowKey {
                    endpoint,
                    direction,
                    client,
                    server,
                    protocol: weir_policy::model::Protocol::Tcp,
                    mark,
                })
            }
        }
    }

    /// Connects to the server of a flow that a verdict allowed.
    ///
    /// # Errors
    /// [`ConnectFault`]; nothing was sent.
    pub async fn connect(
        &self,
        permit: &Permit,
        limit: Duration,
    ) -> Result<Connected, ConnectFault> {
        match tokio::time::timeout(limit, self.connect_untimed(permit.key())).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ConnectFault::Timeout),
        }
    }

    async fn connect_untimed(&self, key: &FlowKey) -> io::Result<Connected> {
        if let Self::Plain { server, .. } = self {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            return Ok(Connected {
                stream,
                port_fallback: false,
            });
        }
        match connect_as(key, key.client.port()).await {
            Ok(stream) => Ok(Connected {
                stream,
                port_fallback: false,
            }),
            // The 4-tuple is taken or still in TIME_WAIT, or the port is a privileged one.
            Err(error) if is_port_trouble(&error) => {
                let stream = connect_as(key, 0).await?;
                Ok(Connected {
                    stream,
                    port_fallback: true,
                })
            }
            Err(error) => Err(error),
        }
    }
}

fn is_port_trouble(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
    )
}

/// Connects with the client's address and this port (0: any that makes the 4-tuple unique).
async fn connect_as(key: &FlowKey, port: u16) -> io::Result<TcpStream> {
    let source = SocketAddr::new(key.client.ip(), port);
    let socket = Socket::new(
        Domain::for_address(key.server),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    set_transparent(&socket, source.ip())?;
    socket.set_mark(mark::flip(key.mark))?;
    if port == 0 {
        // Lets connect() choose a port by 4-tuple; bind() alone would want a free port.
        sys::set_bind_address_no_port(&socket)?;
    } else {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&source.into())?;
    tune(SockRef::from(&socket))?;
    TcpSocket::from_std_stream(socket.into())
        .connect(key.server)
        .await
}

fn set_transparent(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true),
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

/// No delay for small writes; and a peer that vanished without a word is noticed.
///
/// # Errors
/// Whatever setsockopt says.
pub fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(90))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}

/// A UDP socket to the server of a flow that a verdict allowed, in the client's name.
///
/// # Errors
/// Whatever the socket calls say.
pub fn udp_to_server(permit: &Permit) -> io::Result<Socket> {
    let key = permit.key();
    let socket = open_udp(SocketAddr::new(key.client.ip(), 0), mark::flip(key.mark))?;
    socket.connect(&key.server.into())?;
    Ok(socket)
}

/// A UDP socket for answers to the client of a flow, from the address that it asked.
///
/// # Errors
/// Whatever the socket calls say.
pub fn udp_to_client(key: &FlowKey) -> io::Result<Socket> {
    open_udp(key.server, key.mark)
}

/// A UDP socket with an address that need not be ours, in the name of one end of a flow.
fn open_udp(address: SocketAddr, mark: u32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    set_transparent(&socket, address.ip())?;
    socket.set_mark(mark)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Opens the socket for DNS queries at the loopback address of the thread's current network
/// namespace; each datagram tells its mark and where it was sent. `port` as for a listener.
///
/// # Errors
/// Whatever the socket calls say.
pub fn open_query_socket(v6: bool, port: u16) -> io::Result<Socket> {
    let address = loopback(v6, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if v6 {
        socket.set_only_v6(true)?;
    }
    set_transparent(&socket, address.ip())?;
    sys::tell_marks_and_destinations(&socket, v6)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn loopback(v6: bool, port: u16) -> SocketAddr {
    let address: IpAddr = if v6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    };
    SocketAddr::new(address, port)
}

/// Opens one listener at the loopback address of the thread's current network namespace.
///
/// `port` 0 chooses one that no other group has; others join the group by passing the port of the
/// first. Options set here are inherited by accepted sockets.
///
/// # Errors
/// Whatever the socket calls say; `transparent` needs CAP_NET_RAW or CAP_NET_ADMIN.
pub fn open_listener(transparent: bool, v6: bool, port: u16) -> io::Result<std::net::TcpListener> {
    let address = loopback(v6, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if v6 {
        socket.set_only_v6(true)?;
    }
    if transparent {
        set_transparent(&socket, address.ip())?;
    }
    tune(SockRef::from(&socket))?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
