//! What comes: every observer is followed, and followed again after it was away.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use prost_types::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    Address, Peers, Timing, named, past,
    peer::{Client, Link, Peer},
    service::{Out, failed},
    told,
    window::Window,
};
use crate::api::{
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::NodeState,
};

/// Answers that wait to be put in order. Past it observers are read no more: they fall behind in
/// their own rings, and say how much they lost.
const WAITING: usize = 256;
/// Flows of an observer that are remembered, so that none is given twice after it was away.
const REMEMBERED: usize = 4096;
/// A flow may be recorded so much later than it began.
const LATE: i64 = 60;

/// Follows until the client goes.
pub async fn follow(peers: Arc<Peers>, request: GetFlowsRequest, out: Out) -> Option<()> {
    let timing = peers.timing();
    let mut changes = peers.changes();
    changes.mark_unchanged();
    let (events, mut answers) = mpsc::channel(WAITING);
    let live = GetFlowsRequest {
        number: 0,
        since: None,
        follow: true,
        ..request.clone()
    };
    let mut tails = Tails {
        running: BTreeMap::new(),
        events,
        request: live,
        timing,
    };
    // The new flows are asked for first: what comes between the two is in both, and none is lost.
    let (connected, waits) = tails.start(&peers);
    let deadline = Instant::now() + timing.answer;
    for wait in waits {
        // Who does not begin in time begins later.
        timeout_at(deadline, wait).await.ok();
    }
    let connected = tried(connected).await;
    let names: Vec<String> = connected.iter().map(|(peer, _)| peer.name()).collect();
    if !names.is_empty() {
        out.send(told(NodeState::NodeConnected, names, "")).await?;
    }
    let mut seen = past::Seen::new();
    if request.number > 0 || request.since.is_some() {
        seen = past::read(connected, &request, timing, &out).await?;
    }
    let mut window = Window::new(timing.window);
    loop {
        let due = window.next();
        tokio::select! {
            answer = answers.recv() => match answer? {
                answer if given_before(&answer, &mut seen) => {}
                answer if matches!(answer.response_types, Some(ResponseTypes::Flow(_))) => {
                    window.push(Instant::now(), answer);
                }
                answer => out.send(answer).await?,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            changed = changes.changed() => {
                changed.ok()?;
                for gone in tails.leave(&peers) {
                    out.send(told(NodeState::NodeGone, vec![gone], "no longer one of the peers")).await?;
                }
                tails.start(&peers);
            }
            () = out.closed() => return None,
        }
        for answer in window.due(Instant::now()) {
            out.send(answer).await?;
        }
    }
}

/// Those that are connected, once each has been tried.
pub async fn tried(peers: Vec<Arc<Peer>>) -> Vec<(Arc<Peer>, Client)> {
    let mut connected = Vec::new();
    // All are tried by themselves: the waits are one wait.
    for peer in peers {
        if let Link::Connected(client) = peer.tried().await {
            connected.push((peer, client));
        }
    }
    connected
}

fn given_before(answer: &GetFlowsResponse, seen: &mut past::Seen) -> bool {
    match &answer.response_types {
        Some(ResponseTypes::Flow(flow)) => seen.remove(&flow.uuid),
        _ => false,
    }
}

/// One task for each observer.
struct Tails {
    running: BTreeMap<Address, (Arc<Peer>, AbortHandle)>,
    events: mpsc::Sender<GetFlowsResponse>,
    request: GetFlowsRequest,
    timing: Timing,
}

// === impl Tails ===

impl Tails {
    /// Follows those that are not followed yet; gives them, and what tells that each is.
    fn start(&mut self, peers: &Peers) -> (Vec<Arc<Peer>>, Vec<oneshot::Receiver<()>>) {
        let (mut started, mut waits) = (Vec::new(), Vec::new());
        for peer in peers.all() {
            if self.running.contains_key(&peer.address) {
                continue;
            }
            let (ready, wait) = oneshot::channel();
            let tail = Tail {
                peer: Arc::clone(&peer),
                request: self.request.clone(),
                retry: self.timing.retry,
                away: false,
                ready: Some(ready),
                recent: Recent::default(),
            };
            let task = tokio::spawn(tail.run(self.events.clone())).abort_handle();
            self.running
                .insert(peer.address.clone(), (Arc::clone(&peer), task));
            started.push(peer);
            waits.push(wait);
        }
        (started, waits)
    }

    /// Leaves those that are no longer peers; gives their names.
    fn leave(&mut self, peers: &Peers) -> Vec<String> {
        let now: HashSet<Address> = peers.all().iter().map(|p| p.address.clone()).collect();
        let mut gone = Vec::new();
        self.running.retain(|address, (peer, task)| {
            let stays = now.contains(address);
            if !stays {
                task.abort();
                gone.push(peer.name());
            }
            stays
        });
        gone
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        for (_, task) in self.running.values() {
            task.abort();
        }
    }
}

/// One observer as it is followed.
struct Tail {
    peer: Arc<Peer>,
    request: GetFlowsRequest,
    retry: Duration,
    /// The client knows that it is away.
    away: bool,
    ready: Option<oneshot::Sender<()>>,
    recent: Recent,
}

impl Tail {
    /// Until nobody listens.
    async fn run(mut self, events: mpsc::Sender<GetFlowsResponse>) -> Option<()> {
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

/// The last flows of an observer.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<(Timestamp, String)>,
    known: HashSet<String>,
    newest: Option<Timestamp>,
}

impl Recent {
    /// Whether it was not given yet; now it is.
    fn is_new(&mut self, answer: &GetFlowsResponse) -> bool {
        let (Some(ResponseTypes::Flow(flow)), Some(time)) = (&answer.response_types, answer.time)
        else {
            return true;
        };
        if flow.uuid.is_empty() {
            return true;
        }
        if !self.known.insert(flow.uuid.clone()) {
            return false;
        }
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        if self
            .newest
            .as_ref()
            .is_none_or(|newest| key(newest) < key(&time))
        {
            self.newest = Some(time);
        }
        self.order.push_back((time, flow.uuid.clone()));
        if self.order.len() > REMEMBERED
            && let Some((_, old)) = self.order.pop_front()
        {
            self.known.remove(&old);
        }
        true
    }

    /// From when on flows may be missing; `None`: none was seen, and only new ones are wanted.
    fn since(&self) -> Option<Timestamp> {
        let newest = self.newest?;
        let late = newest.seconds - LATE;
        // Before what is remembered none could be told from one that was given.
        let known = match self.order.len() >= REMEMBERED {
            true => self.order.front().map(|(time, _)| time.seconds),
            false => None,
        };
        Some(Timestamp {
            seconds: known.map_or(late, |known| known.max(late)),
            nanos: 0,
        })
    }
}
