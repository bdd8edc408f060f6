//! What was seen already: the answers of all observers as one, in the order of time.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use prost_types::Timestamp;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::Status;

use super::{
    Address, Client, Timing, named,
    peer::Peer,
    service::{Out, failed},
    time_of, told,
};
use crate::api::{
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::NodeState,
};

/// Answers of one observer that are read ahead.
const AHEAD: usize = 64;

/// The answers of one observer, oldest first.
struct Source {
    peer: Arc<Peer>,
    answers: mpsc::Receiver<Result<GetFlowsResponse, Status>>,
    /// The next one.
    head: Option<GetFlowsResponse>,
    open: bool,
}

/// What was given.
#[derive(Debug, Default)]
pub struct Seen {
    /// Flows, by their uuid.
    pub flows: HashSet<String>,
    /// The time of the newest flow of each observer.
    pub newest: BTreeMap<Address, Timestamp>,
}

/// Asks the observers and gives what they answer. An observer that fails or lets the others wait is
/// told of and left out. `None`: the client has gone.
pub async fn read(
    peers: Vec<(Arc<Peer>, Client)>,
    request: &GetFlowsRequest,
    timing: Timing,
    out: &Out,
) -> Option<Seen> {
    let mut sources: Vec<Source> = peers
        .into_iter()
        .map(|(peer, client)| Source {
            peer,
            answers: open(client, request.clone()),
            head: None,
            open: true,
        })
        .collect();
    // Each observer gives so many: of all of them together the last or the first count.
    let most = match request.number {
        0 => usize::MAX,
        number => usize::try_from(number).unwrap_or(usize::MAX),
    };
    let last = request.number > 0 && !request.first && request.since.is_none();
    let (mut kept, mut seen, mut given) = (VecDeque::new(), Seen::default(), 0);
    loop {
        // All of them read ahead by themselves: one wait is enough for all.
        let deadline = Instant::now() + timing.answer;
        for source in &mut sources {
            source.fill(deadline, timing, out).await?;
        }
        let heads = sources.iter().enumerate();
        let oldest =
            heads.filter_map(|(index, source)| Some((time_of(source.head.as_ref()?), index)));
        let Some((source, answer)) = oldest
            .min()
            .and_then(|(_, index)| sources.get_mut(index))
            .and_then(|source| source.head.take().map(|answer| (source, answer)))
        else {
            break;
        };
        if let (true, Some(ResponseTypes::Flow(flow))) = (request.follow, &answer.response_types) {
            seen.flows.insert(flow.uuid.clone());
            if let Some(time) = flow.time {
                seen.newest.insert(source.peer.address.clone(), time);
            }
        }
        if last {
            kept.push_back(answer);
            if kept.len() > most {
                kept.pop_front();
            }
            continue;
        }
        out.send(answer).await?;
        given += 1;
        if given >= most {
            break;
        }
    }
    for answer in kept {
        out.send(answer).await?;
    }
    Some(seen)
}

impl Source {
    /// Gets the next flow, where there is one; what is none is given at once.
    async fn fill(&mut self, deadline: Instant, timing: Timing, out: &Out) -> Option<()> {
        while self.open && self.head.is_none() {
            let answer = timeout_at(deadline, self.answers.recv()).await;
            match answer {
                Ok(None) => self.open = false,
                Ok(Some(Ok(answer))) => match answer.response_types {
                    Some(ResponseTypes::Flow(_)) => self.head = Some(named(answer, &self.peer)),
                    _ => out.send(named(answer, &self.peer)).await?,
                },
                Ok(Some(Err(status))) => {
                    self.open = false;
                    self.peer.doubt();
                    out.send(failed(&self.peer, &status)).await?;
                }
                Err(_) => {
                    self.open = false;
                    self.peer.doubt();
                    let reason = format!(
                        "no answer within {:?}: flows of it are missing",
                        timing.answer
                    );
                    let names = vec![self.peer.name()];
                    out.send(told(NodeState::NodeError, names, reason)).await?;
                }
            }
        }
        Some(())
    }
}

/// Asks an observer; reading goes on by itself until there is enough.
fn open(
    mut client: Client,
    request: GetFlowsRequest,
) -> mpsc::Receiver<Result<GetFlowsResponse, Status>> {
    let (sender, answers) = mpsc::channel(AHEAD);
    let request = GetFlowsRequest {
        follow: false,
        ..request
    };
    tokio::spawn(async move {
        let read = async {
            let mut stream = match client.get_flows(request).await {
                Ok(stream) => stream.into_inner(),
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            while let Some(answer) = stream.message().await.transpose() {
                let last = answer.is_err();
                if sender.send(answer).await.is_err() || last {
                    return;
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = sender.closed() => {}
        }
    });
    answers
}
