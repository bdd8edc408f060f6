//! Which interface is a pod's: told by its manifest, by the CNI plugin, or found by its addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::task::block_in_place;
use weir_cluster::{Reading, objects::PodPlacement};
use weir_policy::model::Pod;
use weir_redirector::{PodInterface, Unmanaged, network::veth};

/// Interfaces that were found, by address: looking costs a walk over all processes.
#[derive(Debug, Default)]
pub struct Located {
    interfaces: BTreeMap<IpAddr, String>,
    /// What was looked for in vain, and when.
    missed: Option<(Instant, BTreeSet<IpAddr>)>,
    /// What could not be looked at the last time.
    unseen: Option<String>,
    /// How often something could not be looked at.
    unanswered: u64,
}

/// What was not found is looked for again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// The pods of this node with their interfaces, and those whose interface is not known.
///
/// `find`: look for the interfaces of pods that nobody told of, by their addresses. `is_gone`: the
/// kernel says that an interface (name) is gone.
pub fn interfaces(
    reading: &Reading,
    node: &str,
    find: Option<&mut Located>,
    is_gone: impl Fn(&str) -> bool,
) -> (Vec<PodInterface>, Vec<Unmanaged>) {
    let (mut pods, mut unmanaged) = (Vec::new(), Vec::new());
    let here = reading
        .placements
        .iter()
        .zip(&reading.world.pods)
        .filter(|(place, pod)| !pod.host_network && (place.node.is_empty() || place.node == node));
    let mut lost: Vec<(&PodPlacement, &Pod)> = Vec::new();
    let mut found = |place: &PodPlacement, interface: String| {
        pods.push(PodInterface {
            pod: place.pod.clone(),
            interface,
            index: None,
        });
    };
    let mut none = |place: &PodPlacement, reason: String| {
        unmanaged.push(Unmanaged {
            pod: place.pod.clone(),
            reason,
            unknown: false,
        });
    };
    for (place, pod) in here {
        match (&place.interface, &place.netns) {
            (Some(interface), _) => found(place, interface.clone()),
            (None, Some(netns)) => match block_in_place(|| veth::host_side(netns, None)) {
                Ok(interface) => found(place, interface),
                Err(error) => none(place, format!("annotation weir.dev/netns: {error}")),
            },
            // A pod without an address has no network yet.
            (None, None) if !pod.addresses.is_empty() => lost.push((place, pod)),
            (None, None) => {}
        }
    }
    let Some(located) = find else {
        return (pods, unmanaged);
    };
    // A pod that ends runs on for a while; when its network is gone another may have its address.
    if lost.iter().any(|(place, _)| place.terminating) {
        let pods = reading.placements.iter().zip(&reading.world.pods);
        let staying = pods.filter(|(place, _)| !place.terminating);
        let owned: BTreeSet<IpAddr> = staying.flat_map(|(_, pod)| pod.addresses.clone()).collect();
        let another = |pod: &Pod| pod.addresses.iter().any(|address| owned.contains(address));
        lost.retain(|(place, pod)| !place.terminating || !another(pod));
    }
    located.look(&lost, is_gone);
    for (place, pod) in lost {
        match (located.of(pod), &located.unseen) {
            (Some(interface), _) => found(place, interface.clone()),
            (None, _) if place.terminating => {}
            (None, Some(unseen)) => {
                none(
                    place,
                    format!("its interface could not be looked for, tried again: {unseen}"),
                );
            }
            (None, None) => none(
                place,
                "no interface of this node leads to its addresses: a network that is no veth, or \
                 a network namespace that the agent does not see (hostPID, /run/netns)"
                    .to_owned(),
            ),
        }
    }
    (pods, unmanaged)
}

impl Located {
    /// How often something could not be looked at.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Looks for pods that are not found yet, and forgets pods that are gone.
    fn look(&mut self, pods: &[(&PodPlacement, &Pod)], is_gone: impl Fn(&str) -> bool) {
        let of_pods = || pods.iter().flat_map(|(_, pod)| &pod.addresses).copied();
        self.interfaces.retain(|address, interface| {
            of_pods().any(|of_pod| of_pod == *address) && !is_gone(interface)
        });
        let missing = pods.iter().filter(|(_, pod)| self.of(pod).is_none());
        let missing: BTreeSet<IpAddr> = missing
            .flat_map(|(_, pod)| &pod.addresses)
            .copied()
            .collect();
        let again = |(when, missed): &(Instant, BTreeSet<IpAddr>)| {
            *missed != missing || when.elapsed() >= AGAIN
        };
        if missing.is_empty() || !self.missed.as_ref().is_none_or(again) {
            return;
        }
        match block_in_place(|| veth::of_addresses(&missing)) {
            Ok(search) => {
                self.interfaces.extend(search.found);
                self.unseen = search.unseen;
            }
            Err(error) => self.unseen = Some(error.to_string()),
        }
        if let Some(unseen) = &self.unseen {
            self.unanswered += 1;
            tracing::warn!(
                unseen,
                "pods' interfaces could not be looked for everywhere"
            );
        }
        self.missed = Some((Instant::now(), missing));
    }

    fn of(&self, pod: &Pod) -> Option<&String> {
        pod.addresses
            .iter()
            .find_map(|address| self.interfaces.get(address))
    }
}
