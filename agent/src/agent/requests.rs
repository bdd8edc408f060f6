//! Requests of the agent's tools and of its own parts.

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_link::tools::{Asks, Question, Synced, Well};

use super::Agent;
use crate::{
    answers,
    change::Proxies as _,
    control::{Back, Call},
    waiting,
};

impl Agent {
    /// Takes a request.
    pub(super) async fn take(&mut self, request: Call) {
        // Who asked may have gone.
        match request {
            Call::Tool(question, back) => self.answer(question, back).await,
            Call::Alive(back) => {
                back.send(()).ok();
            }
            Call::Metrics(back) => {
                self.refresh_metrics();
                back.send(()).ok();
            }
        }
    }

    async fn answer(&mut self, question: Question, back: oneshot::Sender<String>) {
        match question {
            Question::Sync(asked) => {
                let synced = self.sync().await;
                Back::of(&asked, back).answer(synced);
            }
            Question::Status(asked) => Back::of(&asked, back).answer(Ok(answers::status(self))),
            Question::Alive(asked) => Back::of(&asked, back).answer(Ok(Well {})),
            Question::Endpoints(asked) => {
                let state = self.enforcement.state.clone();
                let back = Back::of(&asked, back);
                self.apart(back, move || Ok(answers::endpoints(&state)));
            }
            Question::Policies(asked) => {
                let (state, shown) = (self.enforcement.state.clone(), Arc::clone(&self.policies));
                let back = Back::of(&asked, back);
                self.apart(back, move || Ok(answers::policies(&state, &shown)));
            }
            Question::Attach(asked) => {
                let back = Back::of(&asked, back);
                if self.source.cluster().is_none() {
                    return back.answer(Err("this agent reads manifests, not a cluster".into()));
                }
                let attachment = asked.0;
                tracing::debug!(pod = %attachment.pod, interface = attachment.interface, "attaching");
                self.pods.attachments.add(attachment.clone());
                self.waiting.add(attachment, back);
                self.reconcile().await;
            }
            Question::Detach(asked) => {
                // There may be none: the plugin asks again and again. Until the kernel says that
                // the interface is gone, it denies.
                if self.pods.ended(&asked.container) {
                    self.reconcile().await;
                }
                Back::of(&asked, back).answer(Ok(Well {}));
            }
            Question::Attached(asked) => {
                let mut known = self.pods.attachments.all().iter();
                let attachment = known.find(|known| known.container == asked.container);
                let cluster = self.source.cluster();
                let in_force = match attachment {
                    None => Err("this container is not known".to_owned()),
                    Some(known) => waiting::in_force(known, &self.enforcement.state, cluster),
                };
                Back::of(&asked, back).answer(in_force.map(|()| Well {}));
            }
            Question::Keep(asked) => {
                if self.pods.keep(&asked.containers) {
                    self.reconcile().await;
                }
                Back::of(&asked, back).answer(Ok(Well {}));
            }
            Question::Explain(asked) => {
                let world = Arc::clone(&self.enforcement.state.world);
                let back = Back::of(&asked, back);
                self.apart(back, move || answers::explain(&world, &asked.0));
            }
        }
    }

    /// Answers from a copy of what is in force, on another thread: of a large cluster that takes longer
    /// than a change may wait. One such answer is made at a time.
    fn apart<Q: Asks + 'static>(
        &self,
        back: Back<Q>,
        make: impl FnOnce() -> Result<Q::Answer, String> + Send + 'static,
    ) {
        let turn = Arc::clone(&self.turn);
        tokio::spawn(async move {
            let turn = turn.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                if !back.is_closed() {
                    back.answer(make());
                }
                drop(turn);
            });
        });
    }

    /// Reads the objects; the answer comes when they are in force.
    async fn sync(&mut self) -> Result<Synced, String> {
        self.reconcile().await;
        let revision = self.enforcement.state.snapshot.revision;
        let proxy = self.proxies.acknowledged(revision, &mut self.kernel).await;
        answers::synced(&self.enforcement.state, proxy)
    }
}
