//! New verdicts of the kernel, one log line each, with names in place of numbers.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{io::unix::AsyncFd, sync::watch};
use weir_abi::{
    event::Event,
    policy::{direction, verdict},
};
use weir_policy::{
    compile::Snapshot,
    model::{Direction, World},
};
use weir_redirector::{Places, maps::address};

use super::check::SelfCheck;

/// What the numbers in events mean, at one revision.
#[derive(Debug, Default)]
pub struct Names {
    endpoints: HashMap<u16, String>,
    pods: HashMap<IpAddr, String>,
    policies: HashMap<u32, String>,
    /// Policies that isolate an endpoint, by index and direction.
    isolating: HashMap<(u16, Direction), String>,
}

impl Names {
    /// The names of a snapshot.
    pub fn new(world: &World, snapshot: &Snapshot, places: &Places) -> Self {
        let mut names = Self {
            policies: snapshot
                .policies
                .iter()
                .map(|(id, name)| (*id, name.clone()))
                .collect(),
            ..Self::default()
        };
        for pod in world.pods.iter().filter(|pod| !pod.host_network) {
            for address in &pod.addresses {
                names.pods.insert(*address, pod.full_name());
            }
        }
        for endpoint in &snapshot.endpoints {
            let Some(place) = places.get(&endpoint.namespace, &endpoint.name) else {
                continue;
            };
            let name = format!("{}/{}", endpoint.namespace, endpoint.name);
            names.endpoints.insert(place.index, name);
            let Some(set) = snapshot.sets.get(&endpoint.set) else {
                continue;
            };
            for (direction, side) in [
                (Direction::Ingress, &set.ingress),
                (Direction::Egress, &set.egress),
            ] {
                let isolating: Vec<&str> = side
                    .isolating
                    .iter()
                    .map(|(_, name)| name.as_ref())
                    .collect();
                names
                    .isolating
                    .insert((place.index, direction), isolating.join(","));
            }
        }
        names
    }

    fn end(&self, address: IpAddr, port: u16) -> String {
        let shown = std::net::SocketAddr::new(address, port);
        match self.pods.get(&address) {
            Some(pod) => format!("{pod} ({shown})"),
            None => shown.to_string(),
        }
    }
}

/// How long events gather between two readings.
const GATHER: Duration = Duration::from_millis(20);

/// Reads events until the agent ends.
pub async fn report(
    events: RingBuf<MapData>,
    names: watch::Receiver<Arc<Names>>,
    mut check: SelfCheck,
) {
    // SAFETY: the ring owns its descriptor and keeps it open and the same as long as it lives.
    let mut events = match unsafe { AsyncFd::register(events) } {
        Ok(events) => events,
        Err(error) => return tracing::error!(%error, "no flows are reported"),
    };
    loop {
        let mut guard = match events.readable_mut().await {
            Ok(guard) => guard,
            Err(error) => return tracing::error!(%error, "flows are no longer reported"),
        };
        let names = names.borrow().clone();
        while let Some(item) = guard.get_inner_mut().next() {
            if item.len() >= size_of::<Event>() {
                // SAFETY: the ring holds only whole events of this plain type.
                let event = unsafe { std::ptr::read_unaligned(item.as_ptr().cast::<Event>()) };
                check.sample(&event);
                log(&event, &names);
            }
        }
        guard.clear_ready();
        // The kernel wakes us for the first event after a drained ring only: events that come
        // meanwhile cost no wake-up each.
        tokio::time::sleep(GATHER).await;
    }
}

fn log(event: &Event, names: &Names) {
    let direction = if event.direction == direction::INGRESS {
        Direction::Ingress
    } else {
        Direction::Egress
    };
    let source = names.end(address(event.source), event.source_port);
    let destination = names.end(address(event.destination), event.destination_port);
    let policy = match names.policies.get(&event.policy) {
        Some(policy) => policy.clone(),
        None if event.verdict == verdict::ALLOW => "none selects the endpoint".into(),
        None => match names.isolating.get(&(event.endpoint, direction)) {
            Some(isolating) => format!("default deny of {isolating}"),
            None => "default deny".into(),
        },
    };
    let endpoint = names
        .endpoints
        .get(&event.endpoint)
        .map_or("", String::as_str);
    let protocol = protocol(event.protocol);
    match event.verdict {
        verdict::ALLOW => tracing::debug!(
            target: "flow",
            "ALLOW {direction} {source} -> {destination} {protocol} endpoint={endpoint} policy=\"{policy}\"",
        ),
        verdict::REDIRECT => tracing::debug!(
            target: "flow",
            "REDIRECT {direction} {source} -> {destination} {protocol} endpoint={endpoint} policy=\"{policy}\"",
        ),
        verdict::AUDIT => tracing::info!(
            target: "flow",
            "AUDIT {direction} {source} -> {destination} {protocol} endpoint={endpoint} policy=\"{policy}\"",
        ),
        _ => tracing::info!(
            target: "flow",
            "DENY {direction} {source} -> {destination} {protocol} endpoint={endpoint} policy=\"{policy}\"",
        ),
    }
}

fn protocol(number: u8) -> String {
    match number {
        weir_abi::protocol::TCP => "TCP".into(),
        weir_abi::protocol::UDP => "UDP".into(),
        weir_abi::protocol::SCTP => "SCTP".into(),
        weir_abi::protocol::ICMP => "ICMP".into(),
        weir_abi::protocol::ICMPV6 => "ICMPv6".into(),
        other => format!("protocol-{other}"),
    }
}
