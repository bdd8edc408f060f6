//! Calls of the CNI plugin that wait: a pod's policy is to be in force before its first process
//! starts.
//!
//! The pod may be known from the API a moment later than its network is made; the answer waits
//! for it. No answer in time is a failure, and the container runtime starts the pod again later.

use std::time::Duration;

use tokio::time::Instant;
use weir_cluster::kubernetes::ClusterSource;
use weir_link::tools::{Attach, Attachment, InForce};

use crate::{change::State, control::Back, pods::Pods};

/// How long a plugin's call waits for its pod to be known and for its policy to be in force.
const PATIENCE: Duration = Duration::from_secs(20);

/// The calls that wait.
#[derive(Debug, Default)]
pub struct Waiting(Vec<Call>);

#[derive(Debug)]
struct Call {
    attachment: Attachment,
    until: Instant,
    back: Back<Attach>,
}

// === impl Waiting ===

impl Waiting {
    /// Takes in a call.
    pub fn add(&mut self, attachment: Attachment, back: Back<Attach>) {
        self.0.push(Call {
            attachment,
            until: Instant::now() + PATIENCE,
            back,
        });
    }

    /// No call waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Answers the calls whose pods are under policy by now, and those whose time is over.
    pub fn settle(&mut self, state: &State, cluster: Option<&ClusterSource>, pods: &mut Pods) {
        let now = Instant::now();
        for call in std::mem::take(&mut self.0) {
            match in_force(&call.attachment, state, cluster) {
                Ok(()) => call.back.answer(Ok(InForce {
                    revision: state.snapshot.revision,
                })),
                Err(reason) if call.until <= now || call.back.is_closed() => {
                    let container = &call.attachment.container;
                    pods.attachments
                        .retain(|known| known.container != *container);
                    tracing::warn!(pod = %call.attachment.pod, reason, "the pod does not start yet");
                    call.back.answer(Err(reason));
                }
                Err(_) => self.0.push(call),
            }
        }
    }
}

/// Whether the policy of a pod that the plugin told of is in force; else why not.
pub fn in_force(
    attachment: &Attachment,
    state: &State,
    cluster: Option<&ClusterSource>,
) -> Result<(), String> {
    let Attachment { pod, uid, .. } = attachment;
    if !cluster.is_some_and(|cluster| cluster.knows(pod, uid)) {
        return Err(format!(
            "the API server has not told of the pod {pod} (uid {uid}) yet"
        ));
    }
    if let Some(failure) = &state.failure {
        return Err(format!("its policy is not in force: {failure}"));
    }
    if let Some(unmanaged) = state.unmanaged.iter().find(|of| of.pod == *pod) {
        return Err(unmanaged.reason.clone());
    }
    match state.places.interface(pod) {
        Some(interface) if interface == attachment.interface => Ok(()),
        _ => Err(format!(
            "the programs are not at `{}` yet",
            attachment.interface
        )),
    }
}
