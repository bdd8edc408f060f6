//! What the CNI plugin asks: have a pod's policy in force before its first process starts.
//!
//! The pod may be known from the API a moment later than its network is made; the answer waits
//! for it. No answer in time is a failure, and the container runtime starts the pod again later.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};
use weir_cluster::kubernetes::Attachment;

use super::Agent;

/// How long a plugin's call waits for its pod to be known and for its policy to be in force.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plugin's call that waits.
#[derive(Debug)]
pub struct Waiting {
    attachment: Attachment,
    until: Instant,
    back: oneshot::Sender<Value>,
}

impl Agent {
    /// Takes in a pod's interface; the answer comes when its policy is in force.
    pub(super) async fn attach(&mut self, attachment: Attachment, back: oneshot::Sender<Value>) {
        if self.source.cluster().is_none() {
            return reply(
                back,
                Err("this agent reads manifests, not a cluster".into()),
            );
        }
        tracing::debug!(pod = %pod(&attachment), interface = attachment.interface, "attaching");
        self.attachments.add(attachment.clone());
        self.waiting.push(Waiting {
            attachment,
            until: Instant::now() + PATIENCE,
            back,
        });
        self.reconcile().await;
    }

    /// Forgets a container's interface. There may be none: the plugin asks again and again. Until
    /// the kernel says that the interface is gone, it denies.
    pub(super) async fn detach(&mut self, container: &str) -> Value {
        self.known.ended(container);
        if self
            .attachments
            .retain(|known| known.container != container)
        {
            self.reconcile().await;
        }
        json!({"ok": true})
    }

    /// Forgets containers that the runtime no longer has (CNI GC).
    pub(super) async fn keep_attachments(&mut self, containers: &[String]) -> Value {
        self.known.keep(containers);
        if self
            .attachments
            .retain(|known| containers.contains(&known.container))
        {
            self.reconcile().await;
        }
        json!({"ok": true})
    }

    /// Whether a container's policy is in force (CNI CHECK).
    pub(super) fn check_attachment(&self, container: &str) -> Value {
        let known = self.attachments.all().iter();
        let attachment = known.into_iter().find(|known| known.container == container);
        match attachment.map(|attachment| self.in_force(attachment)) {
            None => json!({"ok": false, "error": "this container is not known"}),
            Some(Err(reason)) => json!({"ok": false, "error": reason}),
            Some(Ok(())) => json!({"ok": true}),
        }
    }

    /// Answers the calls whose pods are under policy by now, and those whose time is over.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        for waiting in std::mem::take(&mut self.waiting) {
            match self.in_force(&waiting.attachment) {
                Ok(()) => reply(waiting.back, Ok(self.state.snapshot.revision)),
                Err(reason) if waiting.until <= now || waiting.back.is_closed() => {
                    let container = &waiting.attachment.container;
                    self.attachments
                        .retain(|known| known.container != *container);
                    tracing::warn!(pod = %pod(&waiting.attachment), reason, "the pod does not start yet");
                    reply(waiting.back, Err(reason));
                }
                Err(_) => self.waiting.push(waiting),
            }
        }
    }

    /// Drops attachments of which the kernel says that their interface is gone.
    pub(super) fn drop_dead_attachments(&mut self) {
        let redirector = &self.redirector;
        self.attachments
            .retain(|known| !matches!(redirector.is_there_by_name(&known.interface), Ok(false)));
    }

    fn in_force(&self, attachment: &Attachment) -> Result<(), String> {
        let Attachment {
            namespace,
            name,
            uid,
            ..
        } = attachment;
        let cluster = self.source.cluster();
        if !cluster.is_some_and(|cluster| cluster.knows(namespace, name, uid)) {
            return Err(format!(
                "the API server has not told of the pod {} (uid {uid}) yet",
                pod(attachment)
            ));
        }
        if let Some(failure) = &self.state.failure {
            return Err(format!("its policy is not in force: {failure}"));
        }
        let text = pod(attachment);
        if let Some(unmanaged) = self.state.unmanaged.iter().find(|of| of.pod == text) {
            return Err(unmanaged.reason.clone());
        }
        let place = self.state.places.interface(namespace, name);
        match place {
            Some(interface) if interface == attachment.interface => Ok(()),
            _ => Err(format!(
                "the programs are not at `{}` yet",
                attachment.interface
            )),
        }
    }
}

fn pod(attachment: &Attachment) -> String {
    format!("{}/{}", attachment.namespace, attachment.name)
}

/// Who asked may have gone.
fn reply(back: oneshot::Sender<Value>, done: Result<u64, String>) {
    let answer = match done {
        Ok(revision) => json!({"ok": true, "revision": revision}),
        Err(reason) => json!({"ok": false, "error": reason}),
    };
    back.send(answer).ok();
}
