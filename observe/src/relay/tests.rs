//! The relay before several real observers, over real sockets.

mod away;
mod ranges;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio::{
    runtime::Runtime,
    sync::mpsc::Receiver,
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use super::*;
use crate::{
    api::{
        flow::{Endpoint, Flow},
        observer::GetFlowsRequest,
    },
    ring::{Item, Ring},
    serve,
    service::Observer,
};

/// Long enough for a machine that is busy; no test waits for it in good times.
const LONG: Duration = Duration::from_secs(30);

fn quick() -> Timing {
    Timing {
        answer: Duration::from_secs(2),
        probe: Duration::from_millis(50),
        retry: Duration::from_millis(20),
        retry_most: Duration::from_millis(100),
        window: Duration::from_millis(200),
    }
}

/// An observer that can be killed: its tasks are of a runtime of its own.
struct Node {
    name: &'static str,
    path: PathBuf,
    ring: Arc<Ring>,
    running: Option<Runtime>,
}

impl Node {
    fn start(folder: &tempfile::TempDir, name: &'static str) -> Self {
        let mut node = Self {
            name,
            path: folder.path().join(name),
            ring: Arc::new(Ring::new(64)),
            running: None,
        };
        node.revive();
        node
    }

    fn revive(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let observer = Observer::new(Arc::clone(&self.ring), self.name.into());
        let (path, (done, ready)) = (self.path.clone(), std::sync::mpsc::channel());
        runtime.spawn(async move {
            let routes = serve::routes(observer).await;
            done.send(serve::unix(routes, &path).await).expect("a test");
        });
        ready.recv().expect("a server").expect("a socket");
        self.running = Some(runtime);
    }

    fn kill(&mut self) {
        self.running.take().expect("it runs").shutdown_background();
    }

    fn address(&self) -> Address {
        Address::Socket(self.path.clone())
    }

    /// A flow at this time by the node's clock, called by node and time.
    fn see(&self, seconds: i64) {
        self.ring.push(Item::Flow(Arc::new(Flow {
            uuid: format!("{}{seconds}", self.name),
            time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            node_name: self.name.into(),
            source: Some(Endpoint {
                namespace: self.name.into(),
                ..Endpoint::default()
            }),
            ..Flow::default()
        })));
        self.ring.publish();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

fn relay_of(addresses: impl IntoIterator<Item = Address>) -> (Relay, Arc<Peers>) {
    relay_in(addresses, quick())
}

fn relay_in(addresses: impl IntoIterator<Item = Address>, timing: Timing) -> (Relay, Arc<Peers>) {
    let peers = Arc::new(Peers::new(None, timing));
    peers.set(&addresses.into_iter().collect());
    (Relay::new(Arc::clone(&peers)), peers)
}

/// A flow by its uuid; of a node event its state and the names.
fn shown(answer: &GetFlowsResponse) -> String {
    match &answer.response_types {
        Some(ResponseTypes::Flow(flow)) => {
            assert_eq!(answer.node_name, flow.node_name);
            flow.uuid.clone()
        }
        Some(ResponseTypes::NodeStatus(status)) => {
            let names = status.node_names.join("+");
            format!("{} {names}", status.state_change().as_str_name())
        }
        Some(ResponseTypes::LostEvents(lost)) => format!("lost {}", lost.num_events_lost),
        None => "nothing".into(),
    }
}

async fn next(answers: &mut Receiver<Result<GetFlowsResponse, Status>>) -> Option<String> {
    let answer = timeout(LONG, answers.recv())
        .await
        .expect("an answer in time");
    Some(shown(&answer?.expect("an answer")))
}

async fn all(relay: &Relay, request: GetFlowsRequest) -> Vec<String> {
    let mut answers = relay.flows(request).expect("a good request");
    let mut found = Vec::new();
    while let Some(answer) = next(&mut answers).await {
        found.push(answer);
    }
    found
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}
