//! Between who takes connections over and a proxy: one message for each connection, with both its
//! sockets.
//!
//! They meet at an abstract socket in the private network namespace of ingress flows: nobody else
//! can enter it, and the name is nobody else's there.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use socket2::{Domain, SockAddr, Socket, Type};

/// An abstract name (unix(7)).
const NAME: &str = "\0weir-takeover";
const WAITING: i32 = 16;

/// What is told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// Why it left the kernel: a number of the datapath's.
    pub why: u8,
    /// Whether the last reply is known to be complete, so that one of our own may follow.
    pub complete: bool,
    /// Whether it stands in the middle of an exchange: it can only be reset.
    pub between: bool,
}

/// Where proxies connect.
#[derive(Debug)]
pub struct Listener(Socket);

// === impl Handed ===

impl Handed {
    /// How many bytes it has on its way.
    pub const BYTES: usize = 3;

    /// On its way.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        [self.why, u8::from(self.complete), u8::from(self.between)]
    }

    /// As it arrived.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [why, complete, between] = bytes;
        Self {
            why,
            complete: complete == 1,
            between: between != 0,
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Listens in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Somebody listens there already, or whatever the kernel says.
    pub fn open() -> io::Result<Self> {
        let listener = seqpacket()?;
        listener.bind(&SockAddr::unix(NAME)?)?;
        listener.listen(WAITING)?;
        Ok(Self(listener))
    }

    /// The next one who has connected; never waits.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match self.0.accept() {
            Ok((proxy, _)) => {
                proxy.set_nonblocking(true)?;
                Ok(Some(proxy.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connects, in the network namespace of the calling thread, to who takes connections over.
///
/// # Errors
/// Nobody is there, or whatever the kernel says.
pub fn connect_here() -> io::Result<OwnedFd> {
    let socket = seqpacket()?;
    socket.connect(&SockAddr::unix(NAME)?)?;
    Ok(socket.into())
}

fn seqpacket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking().cloexec(), None)
}
