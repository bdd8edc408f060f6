//! `GET /api/flows`: what is seen, as server-sent events.
//!
//! Events: `hello` (once: whose flows, and what time it is here), `flow`, `lost`, `node` (each as
//! `weir observe -o json --why` writes it), `failed` with a message, and `end` after the last one of a
//! record. The connection stays open otherwise; after a failure the browser connects again by itself.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use weir_observe::{
    api::observer::{
        GetFlowsResponse, get_flows_response::ResponseTypes, observer_server::Observer,
    },
    json,
};

use crate::{App, FOLLOWERS, query};

type Refusal = (StatusCode, String);

/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);
/// A line without meaning goes out this often where there is nothing to say: dead browsers show.
const ALIVE: Duration = Duration::from_secs(15);

pub async fn flows<S: Observer>(
    State(app): State<Arc<App<S>>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let request = query::request(&parameters)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let place = Arc::clone(&app.followers)
        .try_acquire_owned()
        .map_err(|_| {
            let text = format!("{FOLLOWERS} pages are open already: close one\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        })?;
    let answers = app.source.get_flows(tonic::Request::new(request)).await;
    let answers = answers.map_err(refusal)?.into_inner();
    let hello = event("hello", &hello(&app)).retry(RETRY);
    let last = match app.options.recorded {
        true => Some(event("end", &json!({}))),
        false => None,
    };
    let events = stream::once(async { hello })
        .chain(answers.map(move |answer| told(&app, answer)))
        .chain(stream::iter(last));
    let events = held(place, events.map(Ok));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

fn hello<S>(app: &App<S>) -> serde_json::Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    json!({
        "source": app.options.source,
        "recorded": app.options.recorded,
        "foresees": app.asked.answers(),
        "time_ms": now.map_or(0, |now| now.as_millis() as u64),
    })
}

fn told<S>(app: &App<S>, answer: Result<GetFlowsResponse, Status>) -> Event {
    match answer {
        Ok(answer) => {
            let name = match &answer.response_types {
                Some(ResponseTypes::LostEvents(lost)) => {
                    app.lost.fetch_add(lost.num_events_lost, Relaxed);
                    "lost"
                }
                Some(ResponseTypes::NodeStatus(_)) => "node",
                _ => "flow",
            };
            event(name, &json::to_value(&answer))
        }
        Err(status) => event("failed", &json!({"message": status.message()})),
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Keeps the place until the stream is dropped: with the browser's connection.
fn held<T>(place: OwnedSemaphorePermit, events: impl Stream<Item = T>) -> impl Stream<Item = T> {
    events.map(move |event| {
        let _held = &place;
        event
    })
}

/// What the source says of a request that it does not serve.
pub fn refusal(status: Status) -> Refusal {
    let code = match status.code() {
        tonic::Code::InvalidArgument => StatusCode::BAD_REQUEST,
        tonic::Code::Unavailable => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (code, format!("{}\n", status.message()))
}
