//! Where the pods of this node are: which interface is whose.

use std::collections::{BTreeMap, BTreeSet};

use weir_abi::host::HOST;
use weir_policy::model::PodName;

use crate::{lower::Placement, network::interface::Interfaces};

/// Where a pod is on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodInterface {
    /// The pod.
    pub pod: PodName,
    /// Host side of its veth.
    pub interface: String,
    /// Its index, where the pod is known to be at it; else it is looked up by its name.
    pub index: Option<u32>,
}

/// A pod that could not be put under policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmanaged {
    /// The pod.
    pub pod: PodName,
    /// Why.
    pub reason: String,
    /// It could not be looked whether it can: what was in force for it stays.
    pub unknown: bool,
}

/// Where the pods of this node are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    of: BTreeMap<PodName, (Placement, String)>,
    /// Index of the node's endpoint.
    pub(crate) host: Option<u16>,
}

impl Places {
    /// The place of a pod, or of the node, whose name has no namespace.
    pub fn get(&self, pod: &PodName) -> Option<Placement> {
        if pod.namespace.is_empty() {
            let place = |index| Placement {
                index,
                interface: HOST,
            };
            return self.host.map(place);
        }
        self.of.get(pod).map(|(placement, _)| *placement)
    }

    /// The interface of a pod.
    pub fn interface(&self, pod: &PodName) -> Option<&str> {
        self.of.get(pod).map(|(_, interface)| interface.as_str())
    }

    /// Pods with their places and interfaces, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&PodName, Placement, &str)> {
        let all = self.of.iter();
        all.map(|(pod, (place, interface))| (pod, *place, interface.as_str()))
    }

    /// The pod at an interface, by the interface's index.
    pub fn at(&self, interface: u32) -> Option<&PodName> {
        self.iter()
            .find_map(|(pod, place, _)| (place.interface == interface).then_some(pod))
    }

    /// Takes more in.
    pub fn extend(&mut self, more: Self) {
        self.of.extend(more.of);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

impl FromIterator<(PodName, Placement, String)> for Places {
    /// Each pod with its place and interface.
    fn from_iter<I: IntoIterator<Item = (PodName, Placement, String)>>(pods: I) -> Self {
        let of = pods.into_iter();
        let of = of.map(|(pod, place, interface)| (pod, (place, interface)));
        Self {
            of: of.collect(),
            host: None,
        }
    }
}

/// Finds the interface of each pod. An interface is one pod's: the first that is at it.
///
/// # Errors
/// Those of `index`, which gives the index of the endpoint at an interface.
pub(crate) fn place<E>(
    pods: &[PodInterface],
    interfaces: &impl Interfaces,
    mut index: impl FnMut(u32) -> Result<u16, E>,
) -> Result<(Places, Vec<Unmanaged>), E> {
    let mut places = Places::default();
    let mut taken = BTreeSet::new();
    let mut unmanaged = Vec::new();
    for pod in pods {
        let mut none = |reason: String, unknown| {
            unmanaged.push(Unmanaged {
                pod: pod.pod.clone(),
                reason: format!("interface `{}`: {reason}", pod.interface),
                unknown,
            });
        };
        let found = match pod.index {
            Some(index) => Ok(Some(index)),
            None => interfaces.index(&pod.interface),
        };
        let interface = match found {
            Ok(Some(interface)) => interface,
            Ok(None) => {
                none("no such device".to_owned(), false);
                continue;
            }
            Err(error) => {
                none(
                    format!("could not be looked up, tried again: {error}"),
                    true,
                );
                continue;
            }
        };
        if !taken.insert(interface) {
            none("it is another pod's, too".to_owned(), false);
            continue;
        }
        let placement = Placement {
            index: index(interface)?,
            interface,
        };
        let at = (placement, pod.interface.clone());
        places.of.insert(pod.pod.clone(), at);
    }
    Ok((places, unmanaged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::interface::testing::Fake;

    /// Answers for `veth1`, and for nothing else.
    struct Broken;

    impl Interfaces for Broken {
        fn index(&self, name: &str) -> std::io::Result<Option<u32>> {
            match name {
                "veth1" => Ok(Some(1)),
                "gone" => Ok(None),
                _ => Err(std::io::Error::from_raw_os_error(libc::EMFILE)),
            }
        }

        fn name(&self, _: u32) -> std::io::Result<Option<String>> {
            Err(std::io::Error::from_raw_os_error(libc::EMFILE))
        }
    }

    fn pod(name: &str, interface: &str, index: Option<u32>) -> PodInterface {
        PodInterface {
            pod: PodName::new("default", name),
            interface: interface.to_owned(),
            index,
        }
    }

    fn placed(pods: &[PodInterface], interfaces: &impl Interfaces) -> (Places, Vec<Unmanaged>) {
        let index = |interface| u16::try_from(interface * 10);
        place(pods, interfaces, index).expect("indices")
    }

    #[test]
    fn what_could_not_be_looked_up_is_not_called_gone() {
        let pods = [
            pod("a", "veth1", None),
            pod("b", "gone", None),
            pod("c", "veth3", None),
            // Known to be at its interface: nothing is asked.
            pod("d", "veth4", Some(4)),
        ];
        let (places, unmanaged) = placed(&pods, &Broken);
        let found: Vec<_> = places.iter().map(|(pod, ..)| pod.name.as_str()).collect();
        assert_eq!(found, ["a", "d"]);
        let said: Vec<_> = unmanaged
            .iter()
            .map(|pod| (pod.pod.name.as_str(), pod.unknown))
            .collect();
        assert_eq!(said, [("b", false), ("c", true)]);
    }

    #[test]
    fn an_interface_is_one_pods() {
        let interfaces = Fake([(1, Ok("veth1"))].into());
        let pods = [pod("a", "veth1", None), pod("b", "veth1", None)];
        let (places, unmanaged) = placed(&pods, &interfaces);
        assert_eq!(places.at(1), Some(&PodName::new("default", "a")));
        assert_eq!(places.len(), 1);
        assert!(
            unmanaged[0].reason.contains("another pod's"),
            "{unmanaged:?}"
        );
    }
}
