//! One observer as it is followed: again and again, as often as it comes back.

use std::sync::{Arc, OnceLock};

use prost_types::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    Client, Timing, named,
    peer::{Link, Peer},
    recent::Recent,
    service::failed,
    told,
};
use crate::api::{
    observer::{GetFlowsRequest, GetFlowsResponse, ServerStatusRequest},
    relay::NodeState,
};

/// What a client wants of an observer.
pub struct Asked {
    pub request: GetFlowsRequest,
    /// Since when the client follows.
    pub began: Instant,
    /// The newest flow that the client got of those that were seen before.
    pub given: Arc<OnceLock<Timestamp>>,
}

/// One observer as it is followed.
pub struct Tail {
    peer: Arc<Peer>,
    asked: Asked,
    timing: Timing,
    /// The client was told that it is away, under this name.
    away: Option<String>,
    ready: Option<oneshot::Sender<()>>,
    recent: Recent,
}

// === impl Tail ===

impl Tail {
    /// Asks an observer this; `ready` is told when it is followed, or cannot be.
    pub fn new(peer: Arc<Peer>, asked: Asked, timing: Timing, ready: oneshot::Sender<()>) -> Self {
        Self {
            peer,
            asked,
            timing,
            away: None,
            ready: Some(ready),
            recent: Recent::default(),
        }
    }

    /// Until nobody listens.
    pub async fn run(mut self, events: mpsc::Sender<GetFlowsResponse>) -> Option<()> {
        loop {
            let mut client = self.connected(&events).await?;
            let request = GetFlowsRequest {
                since: self.since(&mut client).await,
                ..self.asked.request.clone()
            };
            let status = match client.get_flows(request).await {
                Ok(stream) => {
                    self.begun(&events).await?;
                    self.pass_on(stream.into_inner(), &events).await?
                }
                Err(status) => status,
            };
            self.peer.doubt();
            if self.away.is_none() {
                self.away = Some(self.peer.name());
                events.send(failed(&self.peer, &status)).await.ok()?;
            }
            self.begin();
            sleep(self.timing.retry).await;
        }
    }

    /// Waits for the connection, and tells the client that it must.
    async fn connected(&mut self, events: &mpsc::Sender<GetFlowsResponse>) -> Option<Client> {
        let mut link = self.peer.link();
        loop {
            let now = link.borrow_and_update().clone();
            match now {
                Link::Connected(client) => return Some(client),
                Link::Unavailable(reason) if self.away.is_none() => {
                    let names = vec![self.peer.name()];
                    self.away = names.first().cloned();
                    let answer = told(NodeState::NodeUnavailable, names, reason);
                    events.send(answer).await.ok()?;
                    self.begin();
                }
                Link::Unavailable(_) | Link::New => {}
            }
            link.changed().await.ok()?;
        }
    }

    /// From when on to ask, by the observer's own clock. One that the client has nothing of and that
    /// began after the client did is asked for all it has; of another one for what is new.
    async fn since(&self, client: &mut Client) -> Option<Timestamp> {
        if !self.is_late() {
            return None;
        }
        let given = self.asked.given.get().copied();
        if let Some(since) = self.recent.since(given) {
            return Some(since);
        }
        let status = client.server_status(ServerStatusRequest {});
        let status = timeout(self.timing.answer, status).await.ok()?.ok()?;
        let followed = self.asked.began.elapsed().as_nanos();
        let younger = u128::from(status.into_inner().uptime_ns) < followed;
        younger.then(Timestamp::default)
    }

    /// Whether the others are followed already.
    fn is_late(&self) -> bool {
        self.away.is_some() || self.ready.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn begin(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Who waited may have gone on without it.
            ready.send(()).ok();
        }
    }

    async fn begun(&mut self, events: &mpsc::Sender<GetFlowsResponse>) -> Option<()> {
        // The ones of the beginning are told together. One that came later is told when it comes.
        if self.is_late() {
            let mut names = vec![self.peer.name()];
            // It had no name yet when it was told away.
            names.extend(self.away.take().filter(|told| *told != self.peer.name()));
            let answer = told(NodeState::NodeConnected, names, "it answers again");
            events.send(answer).await.ok()?;
        }
        self.begin();
        Some(())
    }

    /// Gives what comes, until the observer ends.
    async fn pass_on(
        &mut self,
        mut stream: tonic::Streaming<GetFlowsResponse>,
        events: &mpsc::Sender<GetFlowsResponse>,
    ) -> Option<tonic::Status> {
        loop {
            match stream.message().await {
                Ok(Some(answer)) if self.recent.is_new(&answer) => {
                    events.send(named(answer, &self.peer)).await.ok()?;
                }
                Ok(Some(_)) => {}
                Ok(None) => return Some(tonic::Status::unavailable("it has ended")),
                Err(status) => return Some(status),
            }
        }
    }
}
