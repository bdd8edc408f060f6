//! What comes: every observer is followed, and followed again after it was away.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use prost_types::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Address, Client, Peers, Timing, past,
    peer::{Link, Peer},
    service::Out,
    tail::{Asked, Tail},
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
        began: Instant::now(),
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
    let mut seen = past::Seen::default();
    if request.number > 0 || request.since.is_some() {
        seen = past::read(connected, &request, timing, &out).await?;
        tails.given(&seen);
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
        Some(ResponseTypes::Flow(flow)) => seen.flows.remove(&flow.uuid),
        _ => false,
    }
}

/// One task for each observer.
struct Tails {
    running: BTreeMap<Address, Running>,
    events: mpsc::Sender<GetFlowsResponse>,
    request: GetFlowsRequest,
    timing: Timing,
    began: Instant,
}

struct Running {
    peer: Arc<Peer>,
    given: Arc<OnceLock<Timestamp>>,
    task: AbortHandle,
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
            let given = Arc::default();
            let asked = Asked {
                request: self.request.clone(),
                began: self.began,
                given: Arc::clone(&given),
            };
            let tail = Tail::new(Arc::clone(&peer), asked, self.timing, ready);
            let task = tokio::spawn(tail.run(self.events.clone())).abort_handle();
            let running = Running {
                peer: Arc::clone(&peer),
                given,
                task,
            };
            self.running.insert(peer.address.clone(), running);
            started.push(peer);
            waits.push(wait);
        }
        (started, waits)
    }

    /// Tells each what was given of it.
    fn given(&self, seen: &past::Seen) {
        for (address, time) in &seen.newest {
            if let Some(running) = self.running.get(address) {
                running.given.get_or_init(|| *time);
            }
        }
    }

    /// Leaves those that are no longer peers; gives their names.
    fn leave(&mut self, peers: &Peers) -> Vec<String> {
        let now: HashSet<Address> = peers.all().iter().map(|p| p.address.clone()).collect();
        let mut gone = Vec::new();
        self.running.retain(|address, running| {
            let stays = now.contains(address);
            if !stays {
                running.task.abort();
                gone.push(running.peer.name());
            }
            stays
        });
        gone
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}
