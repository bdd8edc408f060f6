//! Rules that only look, as the annotation of a pod or its namespace asks for them.

use std::sync::Arc;

use super::{CompiledPort, CompiledRule, PeerMatch, Watches};
use crate::{
    model::{Action, Direction, HttpRule, L7, Protocol, Tier, Visibility},
    names::NamePattern,
};

/// The port of DNS (RFC 1035, 4.2).
const DNS: u16 = 53;

/// The rules of a direction. They are no policy's: their number is 0 and their name empty.
pub(super) fn rules(asked: Visibility, direction: Direction) -> Vec<CompiledRule> {
    let http = asked.http.then(|| {
        let ports = CompiledPort::Range(Protocol::Tcp, 0, u16::MAX);
        watching(ports, L7::Http(vec![HttpRule::default()]))
    });
    // Who asks is seen at the one who asks.
    let dns = (asked.dns && direction == Direction::Egress).then(|| {
        let ports = CompiledPort::Range(Protocol::Udp, DNS, DNS);
        watching(ports, L7::Dns(vec![NamePattern::every()]))
    });
    http.into_iter().chain(dns).collect()
}

fn watching(ports: CompiledPort, l7: L7) -> CompiledRule {
    CompiledRule {
        policy: 0,
        object: Arc::from(""),
        place: String::new(),
        action: Action::Allow,
        tier: Tier::Normal,
        audit: false,
        watches: Watches::Only,
        peers: PeerMatch::Any,
        ports: vec![ports],
        l7: Some(Arc::new(l7)),
    }
}
