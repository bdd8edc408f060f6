//! Where the agent answers what egress rules deny, clients fail at once and know why.

use std::io;
use std::net::SocketAddr;

use weir_lab::Topology;

use crate::common::{Family, PATIENCE, TestLab, in_both_families, in_both_topologies, tcp, udp};
use crate::policies::DENY_INGRESS;

in_both_topologies!(egress_is_answered);

const SLEEP: &str = "deploy/sleep";

const DENY_EGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-egress}
spec: {podSelector: {matchLabels: {app: sleep}}, policyTypes: [Egress]}";

/// What Linux makes of the error for a socket (`icmp_err_convert`, `icmpv6_err_convert`).
fn kind(family: Family) -> io::ErrorKind {
    match family {
        Family::V4 => io::ErrorKind::HostUnreachable,
        Family::V6 => io::ErrorKind::PermissionDenied,
    }
}

fn code<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

fn egress_is_answered(topology: Topology) {
    let lab = TestLab::up_as(topology, &[], |options| options.deny_icmp = true);
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
    });
    lab.apply(DENY_EGRESS);
    in_both_families(|family| {
        let refused = Some(kind(family));
        // To a pod, to a service, and to the world.
        let pod = SocketAddr::new(lab.address("deploy/httpbin", family), 80);
        let service = format!("{}:8000", lab.service("default/httpbin", family));
        let world = match family {
            Family::V4 => "198.51.100.68:80",
            Family::V6 => "[2001:db8:100::68]:80",
        };
        for at in [pod, service.parse().unwrap(), world.parse().unwrap()] {
            let denied = tcp(&lab.netns(SLEEP), at, PATIENCE);
            assert_eq!(code(denied), refused, "{at}");
        }
        // A datagram's sender hears of it when it goes on.
        let socket = udp(&lab.netns(SLEEP), pod);
        socket.send(b"x").unwrap();
        assert_eq!(code(socket.recv(&mut [0; 1])), refused);
    });
    // Who is denied at the other end's ingress hears nothing.
    lab.delete_all("NetworkPolicy");
    lab.apply(DENY_INGRESS);
    lab.dropped(SLEEP, Family::V4, &["httpbin:8000/ip"]);
}
