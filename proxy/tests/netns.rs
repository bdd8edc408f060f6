//! The proxy in real network namespaces, with the privileges that it will have.
//!
//! Needs root, and fails without it.
//! nftables' tproxy stands in for the kernel programs: it gives connections the mark of a flow
//! and the proxy's listener, so this also shows which privileges and socket options suffice.
//!
//! ```text
//!  weirt-client 10.9.1.2 ── vc │ weirt-ingress │ vs ── 10.9.2.2 weirt-server
//! ```

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitCode},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};
use weir_link::{
    Instance,
    proxy::{AgentEnd, Disposition, EventKind, L7Record, Trusted},
};
use weir_policy::{l7::L7Table, model::Direction};
use weir_proxy::{
    context::Limits,
    process::{self, ProxyConfig},
};

const MARK: u32 = 0x5b01_0007;
const SERVER: &str = "10.9.2.2:80";
const SERVER6: &str = "[fd09:2::2]:80";
const SOON: Duration = Duration::from_secs(20);

fn instance() -> Instance {
    Instance::new("weirt").expect("a name")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test starts itself as the proxy"
)]
fn main() -> ExitCode {
    if let Ok(socket) = env::var("WEIR_TEST_PROXY") {
        let mut config = ProxyConfig::of_instance(&instance(), 2, Limits::default());
        config.socket = socket.into();
        return match process::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("proxy: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let _netns = Netns::make();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test());
    println!("netns: ok");
    ExitCode::SUCCESS
}

/// Three namespaces joined by two links; gone when dropped.
struct Netns;

impl Netns {
    const NAMES: [&'static str; 4] = [
        "weirt-ingress",
        "weirt-egress",
        "weirt-client",
        "weirt-server",
    ];

    fn make() -> Self {
        Self::remove();
        for name in Self::NAMES {
            sh(&format!(
                "ip netns add {name} && ip -n {name} link set lo up"
            ));
        }
        for (link, peer, net) in [("vc", "weirt-client", 1), ("vs", "weirt-server", 2)] {
            sh(&format!(
                "ip -n weirt-ingress link add {link} type veth peer name eth0 netns {peer}"
            ));
            for (netns, device, host) in [("weirt-ingress", link, 1), (peer, "eth0", 2)] {
                sh(&format!(
                    "ip -n {netns} link set {device} up
                     ip -n {netns} addr add 10.9.{net}.{host}/24 dev {device}
                     ip -n {netns} addr add fd09:{net}::{host}/64 dev {device} nodad"
                ));
            }
            sh(&format!(
                "ip -n {peer} route add default via 10.9.{net}.1
                 ip -n {peer} route add default via fd09:{net}::1
                 ip -n weirt-ingress rule add iif {link} lookup 100
                 ip -n weirt-ingress -6 rule add iif {link} lookup 100"
            ));
        }
        sh("ip -n weirt-ingress route add local default dev lo table 100
            ip -n weirt-ingress -6 route add local default dev lo table 100
            ip netns exec weirt-ingress sysctl -qw net.ipv4.tcp_fwmark_accept=1 net.ipv4.conf.all.rp_filter=0");
        Self
    }

    fn remove() {
        for name in Self::NAMES {
            // Absent is fine.
            let _absent = Command::new("ip")
                .args(["netns", "del", name])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        Self::remove();
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail once it has ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Runs in a thread inside a namespace; sockets made there stay there.
fn within<T: Send + 'static>(netns: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let file = fs::File::open(format!("/run/netns/{netns}")).unwrap();
    thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
    .join()
    .unwrap()
}

async fn until<T>(
    agent: &mut AgentEnd,
    what: &str,
    mut pick: impl FnMut(EventKind) -> Option<T>,
) -> T {
    let search = async {
        loop {
            if let Some(found) = pick(agent.next().await.unwrap().kind) {
                return found;
            }
        }
    };
    tokio::time::timeout(SOON, search)
        .await
        .unwrap_or_else(|_| panic!("no {what}"))
}

async fn flow(agent: &mut AgentEnd) -> L7Record {
    until(agent, "flow", |kind| match kind {
        EventKind::Flows(mut flows) => flows.pop(),
        _ => None,
    })
    .await
}

/// A table in which endpoint 7 is open towards it or denies everything.
fn table(revision: u64, enforced: &[&str]) -> L7Table {
    serde_json::from_value(serde_json::json!({
        "revision": revision, "addresses": [], "ports": [], "rules": [],
        "endpoints": [{"index": 7, "pod": "a/b", "set": 0, "enforced": enforced}],
    }))
    .unwrap()
}

fn connect(from: &'static str, to: &'static str) -> TcpStream {
    within("weirt-client", move || {
        let to: SocketAddr = to.parse().unwrap();
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
            .bind(&from.parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.connect_timeout(&to.into(), SOON).unwrap();
        socket.into()
    })
}

fn accept(server: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, peer) = server.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    (stream, peer)
}

fn expect(stream: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), text);
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn test() {
    let folder = tempfile::tempdir().unwrap();
    // The proxy's user must be able to reach the socket.
    sh(&format!("chmod 755 {}", folder.path().display()));
    let path = folder.path().join("weirt/proxy.sock");
    let mut agent = AgentEnd::bind(&path, Trusted::of_instance(&instance()).unwrap()).unwrap();
    let proxy = Command::new(env::current_exe().unwrap())
        .env("WEIR_TEST_PROXY", &path)
        .spawn()
        .unwrap();
    let proxy = Killed(proxy);

    let ports = until(&mut agent, "hello", |kind| match kind {
        EventKind::Connected { hello, .. } => {
            assert_eq!(hello.pid, proxy.0.id());
            Some(
                hello
                    .listeners
                    .iter()
                    .map(|info| info.port)
                    .collect::<Vec<_>>(),
            )
        }
        _ => None,
    })
    .await;
    agent.send_snapshot(&table(1, &[])).unwrap();
    until(&mut agent, "ack", |kind| {
        matches!(kind, EventKind::Ack { revision: 1 }).then_some(())
    })
    .await;

    // Every thread has given up what it does not need.
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", proxy.0.id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let line = |name: &str| {
            status
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        assert_eq!(line("Uid:"), "Uid:\t65523\t65523\t65523\t65523");
        assert_eq!(line("Groups:").trim_end(), "Groups:");
        assert_eq!(line("CapEff:"), "CapEff:\t0000000000002000");
        assert_eq!(line("CapBnd:"), "CapBnd:\t0000000000000000");
        threads += 1;
    }
    assert!(threads >= 5, "{threads} threads");

    let (port, port6) = (ports[0], ports[1]);
    fs::write(folder.path().join("rules"), format!(
        "table inet weirt {{ chain steer {{ type filter hook prerouting priority mangle;
            iifname vc meta nfproto ipv4 tcp dport 80 meta mark set {MARK:#x} tproxy ip to 127.0.0.1:{port} accept
            iifname vc meta nfproto ipv6 tcp dport 80 meta mark set {MARK:#x} tproxy ip6 to [::1]:{port6} accept
        }}
            }}"
    )).unwrap();
    sh(&format!(
        "ip netns exec weirt-ingress nft -f {}",
        folder.path().join("rules").display()
    ));
    let [server, server6] = [SERVER, SERVER6]
        .map(|address| within("weirt-server", move || TcpListener::bind(address).unwrap()));

    // The server sees the client's own address and port, in both families.
    for (server, from, to) in [
        (&server, "10.9.1.2:5001", SERVER),
        (&server6, "[fd09:1::2]:5001", SERVER6),
    ] {
        let mut client = connect(from, to);
        client.write_all(GET.as_bytes()).unwrap();
        let (mut stream, peer) = accept(server);
        assert_eq!(peer, from.parse().unwrap());
        expect(&mut stream, GET);
        stream.write_all(OK.as_bytes()).unwrap();
        expect(&mut client, OK);
        let flow = flow(&mut agent).await;
        assert_eq!(
            (flow.endpoint, flow.direction, flow.verdict),
            (Some(7), Direction::Ingress, Disposition::Allowed)
        );
        assert_eq!(
            (flow.client, flow.server),
            (from.parse().unwrap(), to.parse().unwrap())
        );
        assert_eq!(flow.status(), Some(200));
    }

    // Where the 4-tuple is taken, the address is kept and the port is not.
    let taken = within("weirt-ingress", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_ip_transparent_v4(true).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
            .bind(&"10.9.1.2:5002".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket
            .connect(&SERVER.parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket
    });
    let _taken = (taken, accept(&server));
    let mut client = connect("10.9.1.2:5002", SERVER);
    client.write_all(GET.as_bytes()).unwrap();
    let (mut stream, peer) = accept(&server);
    assert_eq!(peer.ip(), "10.9.1.2".parse::<std::net::IpAddr>().unwrap());
    assert_ne!(peer.port(), 5002);
    expect(&mut stream, GET);
    stream.write_all(OK.as_bytes()).unwrap();
    expect(&mut client, OK);

    // A privileged port of the client cannot be kept without more privileges.
    let mut client = connect("10.9.1.2:900", SERVER);
    client.write_all(GET.as_bytes()).unwrap();
    let (_stream, peer) = accept(&server);
    assert_eq!(peer.ip(), "10.9.1.2".parse::<std::net::IpAddr>().unwrap());
    until(&mut agent, "port fallbacks", |kind| match kind {
        EventKind::Counters(counters) => (counters.port_fallbacks == 2).then_some(()),
        _ => None,
    })
    .await;

    // Connections to the proxy itself are reset.
    let mut stranger = within("weirt-ingress", move || {
        TcpStream::connect(("127.0.0.1", port)).unwrap()
    });
    stranger.set_read_timeout(Some(SOON)).unwrap();
    let error = stranger.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    // The next snapshot denies, on a connection that is open already.
    let mut client = connect("10.9.1.2:5003", SERVER);
    client.write_all(GET.as_bytes()).unwrap();
    let (mut stream, _) = accept(&server);
    expect(&mut stream, GET);
    stream.write_all(OK.as_bytes()).unwrap();
    expect(&mut client, OK);
    agent.send_snapshot(&table(2, &["ingress"])).unwrap();
    until(&mut agent, "ack", |kind| {
        matches!(kind, EventKind::Ack { revision: 2 }).then_some(())
    })
    .await;
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut client, "HTTP/1.1 403 Forbidden\r\n");

    // SIGTERM: idle connections are closed, and the process ends well.
    kill(Pid::from_raw(proxy.0.id() as i32), Signal::SIGTERM).unwrap();
    until(&mut agent, "draining", |kind| {
        matches!(kind, EventKind::Draining).then_some(())
    })
    .await;
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("Access denied\r\n"));
    drop((client, stream));
    let mut proxy = proxy;
    let waited = tokio::task::spawn_blocking(move || (proxy.0.wait(), proxy))
        .await
        .unwrap();
    assert!(waited.0.unwrap().success());
}
