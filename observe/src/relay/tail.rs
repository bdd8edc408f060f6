//! One observer as it is followed: again and again, as often as it comes back.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    named,
    peer::{Client, Link, Peer},
    recent::Recent,
    service::failed,
    told,
};
use crate::api::{
    observer::{GetFlowsRequest, GetFlowsResponse},
    relay::NodeState,
};

/// One observer as it is followed.
pub struct Tail {
    peer: Arc<Peer>,
    request: GetFlowsRequest,
    retry: Duration,
    /// The client knows that it is away.
    away: bool,
    ready: Option<oneshot::Sender<()>>,
    recent: Recent,
}

// === impl Tail ===

impl Tail {
    /// Asks an observer this; `ready` is told when it is followed, or cannot be.
    pub fn new(
        peer: Arc<Peer>,
        request: GetFlowsRequest,
        retry: Duration,
        ready: oneshot::Sender<()>,
    ) -> Self {
        Self {
            peer,
            request,
            retry,
            away: false,
            ready: Some(ready),
            recent: Recent::default(),
        }
    }

    /// Until nobody listens.
    pub async fn run(mut self, events: mpsc::Sender<GetFlowsResponse>) -> Option<()> {
        loop {
            let mut client = self.connected(&events).await?;
            let request = GetFlowsRequest {
                since: self.recent.since(),
                ..self.request.clone()
            };
            let status = match client.get_flows(request).await {
                Ok(stream) => {
                    self.begun(&events).await?;
                    self.pass_on(stream.into_inner(), &events).await?
                }
                Err(status) => status,
            };
            self.peer.doubt();
            if !self.away {
                self.away = true;
                events.send(failed(&self.peer, &status)).await.ok()?;
            }
            self.begin();
            sleep(self.retry).await;
        }
    }

    /// Waits for the connection, and tells the client that it must.
    async fn connected(&mut self, events: &mpsc::Sender<GetFlowsResponse>) -> Option<Client> {
        let mut link = self.peer.link();
        loop {
            let now = link.borrow_and_update().clone();
            match now {
                Link::Connected(client) => return Some(client),
                Link::Unavailable(reason) if !self.away => {
                    self.away = true;
                    let names = vec![self.peer.name()];
                    let answer = told(NodeState::NodeUnavailable, names, reason);
                    events.send(answer).await.ok()?;
                    self.begin();
                }
                Link::Unavailable(_) | Link::New => {}
            }
            link.changed().await.ok()?;
        }
    }

    fn begin(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Who waited may have gone on without it.
            ready.send(()).ok();
        }
    }

    async fn begun(&mut self, events: &mpsc::Sender<GetFlowsResponse>) -> Option<()> {
        // The ones of the beginning are told together. One that came later is told when it comes.
        if self.away || self.ready.as_ref().is_some_and(oneshot::Sender::is_closed) {
            self.away = false;
            let names = vec![self.peer.name()];
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
