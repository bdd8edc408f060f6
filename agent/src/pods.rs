//! The pods of this node: what the CNI plugin told of them, how they were known last, and where
//! they are.

pub mod attachments;
mod known;
mod locate;

use std::{io, path::Path};

use weir_cluster::{Reading, objects::PodPlacement};
use weir_link::tools::Attachment;
use weir_policy::model::Pod;
use weir_redirector::{Places, RedirectorError, Unmanaged};

use crate::change::Kernel;
use attachments::Attachments;
use known::KnownPods;
use locate::{Located, interfaces};

/// The pods of this node.
#[derive(Debug, Default)]
pub struct Pods {
    /// Those that the CNI plugin told of.
    pub attachments: Attachments,
    known: KnownPods,
    /// Those that were found by their addresses; `None`: they are not looked for.
    located: Option<Located>,
}

/// Whether the plugin told of this pod: a new one may have the name of an old one.
fn is_of(attachment: &Attachment, placement: &PodPlacement) -> bool {
    attachment.pod == placement.pod
        && (attachment.uid.is_empty() || attachment.uid == placement.uid)
}

// === impl Pods ===

impl Pods {
    /// What an earlier agent knew. `search`: pods that nobody told of are looked for, as on a cluster.
    ///
    /// # Errors
    /// It is not known what it knew.
    pub fn load(folder: &Path, search: bool) -> io::Result<Self> {
        Ok(Self {
            attachments: Attachments::load(&folder.join("attachments.json"))?,
            known: KnownPods::load(&folder.join("known.json"))?,
            located: search.then(Located::default),
        })
    }

    /// Takes into a reading what the CNI plugin told, before the API knows of it. Manifests say it
    /// themselves: what a cluster's agent of the same name has left in its file is not about them.
    pub fn put_into(&self, reading: &mut Reading) {
        if !self.searches() {
            return;
        }
        let told = self.attachments.all();
        for (pod, placement) in reading.world.pods.iter_mut().zip(&mut reading.placements) {
            if let Some(told) = told.iter().find(|told| is_of(told, placement)) {
                placement.interface = Some(told.interface.clone());
                if pod.addresses.is_empty() {
                    pod.addresses.clone_from(&told.addresses);
                }
            }
        }
    }

    /// Where the pods of this node are, which have no place, and pods whose object is gone.
    ///
    /// # Errors
    /// The kernel cannot be asked, or takes no more pods.
    pub fn place(
        &mut self,
        reading: &Reading,
        node: &str,
        kernel: &mut impl Kernel,
    ) -> Result<(Places, Vec<Unmanaged>, Vec<Pod>), RedirectorError> {
        kernel.release_gone()?;
        self.known
            .forget_gone(|interface| matches!(kernel.is_there(interface), Ok(false)));
        let is_gone = |name: &str| matches!(kernel.is_there_by_name(name), Ok(false));
        let (pods, mut unmanaged) = interfaces(reading, node, self.located.as_mut(), is_gone);
        let (mut places, unplaced) = kernel.place(&pods)?;
        unmanaged.extend(unplaced);
        let completion = self.known.complete(reading, &places, self.searches());
        let (more, _) = kernel.place(&completion.places)?;
        places.extend(more);
        // Where it was in force before, it is in force.
        unmanaged.retain(|of| places.get(&of.pod).is_none());
        Ok((places, unmanaged, completion.orphans))
    }

    /// Takes in where the pods with an object are.
    pub fn learn(&mut self, reading: &Reading, places: &Places) {
        self.known.learn(reading, places, self.attachments.all());
    }

    /// Whether pods that nobody told of are looked for.
    pub fn searches(&self) -> bool {
        self.located.is_some()
    }

    /// How often pods could not be looked for everywhere.
    pub fn searches_failed(&self) -> u64 {
        self.located.as_ref().map_or(0, Located::unanswered)
    }

    /// Forgets a container that has ended (CNI DEL); tells whether its interface was known.
    pub fn ended(&mut self, container: &str) -> bool {
        self.known.ended(container);
        self.attachments
            .retain(|known| known.container != container)
    }

    /// Forgets containers that the runtime no longer has (CNI GC); tells whether there were any.
    pub fn keep(&mut self, containers: &[String]) -> bool {
        self.known.keep(containers);
        self.attachments
            .retain(|known| containers.contains(&known.container))
    }

    /// Forgets attachments of which the kernel says that their interface is gone.
    pub fn drop_dead_attachments(&mut self, kernel: &impl Kernel) {
        self.attachments
            .retain(|known| !matches!(kernel.is_there_by_name(&known.interface), Ok(false)));
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::model::PodName;

    use super::*;

    #[test]
    fn an_attachment_counts_before_the_api_knows_the_address() {
        let placement = PodPlacement {
            pod: PodName::new("default", "new"),
            uid: "u1".into(),
            ..PodPlacement::default()
        };
        let mut reading = Reading::default();
        reading.placements.push(placement);
        reading.world.pods.push(Pod {
            namespace: "default".into(),
            name: "new".into(),
            ..Pod::default()
        });
        let folder = tempfile::tempdir().unwrap();
        let put_where = |uid: &str, on_cluster| {
            let mut pods = Pods::load(folder.path(), on_cluster).unwrap();
            pods.attachments.add(Attachment {
                container: "c".into(),
                pod: PodName::new("default", "new"),
                uid: uid.into(),
                interface: "veth7".into(),
                netns: "/run/netns/x".into(),
                addresses: vec!["10.0.0.7".parse().unwrap()],
            });
            let mut reading = reading.clone();
            pods.put_into(&mut reading);
            reading
        };
        let put = |uid: &str| put_where(uid, true);
        assert_eq!(put_where("u1", false), reading, "manifests");
        for uid in ["u1", ""] {
            let reading = put(uid);
            assert_eq!(reading.placements[0].interface.as_deref(), Some("veth7"));
            assert_eq!(reading.world.pods[0].addresses.len(), 1);
        }
        // A pod of that name that is gone has nothing to do with this one.
        assert_eq!(put("older"), reading);
    }
}
