//! One observer followed over its restarts.

use std::time::Duration;

use prost_types::Timestamp;
use tokio::sync::mpsc;
use tonic::{Code, Status, transport::Endpoint};
use weir_observe::{
    api::{
        observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
        relay::{NodeState, NodeStatusEvent},
    },
    service::nanoseconds,
};

type Answers = mpsc::Sender<Result<GetFlowsResponse, Status>>;

/// Between two tries; twice as long after each, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// Gives what an observer answers, until the browser goes. An observer that goes away is told of
/// once, and once more when it is back: then it is asked for what came after the last that it gave.
pub async fn follow(
    mut name: String,
    endpoint: Endpoint,
    mut request: GetFlowsRequest,
    answers: Answers,
) {
    let mut away = false;
    let mut pause = PAUSE.0;
    loop {
        let ended = match open(&endpoint, &request).await {
            Ok(mut stream) => {
                if away && tell(&answers, &name, NodeState::NodeConnected, "").await {
                    return;
                }
                away = false;
                pause = PAUSE.0;
                loop {
                    match stream.message().await {
                        Ok(Some(answer)) => {
                            if !answer.node_name.is_empty() {
                                name.clone_from(&answer.node_name);
                            }
                            after(&mut request, answer.time.as_ref());
                            if answers.send(Ok(answer)).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) => break Status::unavailable("it has ended the stream"),
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        if ended.code() == Code::InvalidArgument {
            // The browser that would be told may have gone.
            answers.send(Err(ended)).await.ok();
            return;
        }
        if !away && tell(&answers, &name, NodeState::NodeUnavailable, ended.message()).await {
            return;
        }
        away = true;
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = answers.closed() => return,
        }
    }
}

async fn open(
    endpoint: &Endpoint,
    request: &GetFlowsRequest,
) -> Result<tonic::Streaming<GetFlowsResponse>, Status> {
    let mut client = super::client(endpoint).await?;
    Ok(client.get_flows(request.clone()).await?.into_inner())
}

/// The next request begins after this.
fn after(request: &mut GetFlowsRequest, time: Option<&Timestamp>) {
    let Some(time) = time else { return };
    let newer = |since: &Timestamp| nanoseconds(time) > nanoseconds(since);
    if request.number > 0 || request.since.as_ref().is_none_or(newer) {
        request.number = 0;
        // The same moment once more: browsers know a record by its uuid.
        request.since = Some(*time);
    }
}

/// Tells the browser of the observer's state; true where the browser has gone.
async fn tell(answers: &Answers, name: &str, state: NodeState, message: &str) -> bool {
    let status = NodeStatusEvent {
        state_change: state.into(),
        node_names: vec![name.to_owned()],
        message: message.to_owned(),
    };
    let answer = GetFlowsResponse {
        node_name: name.to_owned(),
        time: Some(std::time::SystemTime::now().into()),
        response_types: Some(ResponseTypes::NodeStatus(status)),
    };
    answers.send(Ok(answer)).await.is_err()
}
