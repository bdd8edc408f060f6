//! Watches.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;

use super::{
    Shared, answers,
    routes::{Params, in_namespace},
};
use crate::kubernetes::Resource;

/// Opens a watch.
pub fn watch(
    shared: Arc<Shared>,
    resource: &'static Resource,
    namespace: Option<String>,
    params: &Params,
) -> Response {
    let text = |name: &str| params.get(name).map_or("", String::as_str);
    let initial = text("sendInitialEvents") == "true";
    let given = text("resourceVersion").parse::<u64>().unwrap_or(0);
    let mut objects = shared.lock();
    if initial && objects.faults.no_streaming_lists {
        let message =
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return answers::failure(422, "Invalid", message);
    }
    let expired = !initial && given != 0 && given < objects.oldest;
    if expired && objects.faults.gone_at_once {
        return answers::failure(410, "Expired", "too old resource version");
    }
    let mut first = Vec::new();
    if expired {
        first.push(line("ERROR", &answers::expired()));
    }
    if initial {
        for object in objects.all(resource.plural) {
            if in_namespace(&object, namespace.as_deref()) {
                first.push(line("ADDED", &object));
            }
        }
        if !objects.faults.cut_lists {
            first.push(bookmark(resource, objects.version, true));
        }
    }
    let seen = match initial || given == 0 {
        true => objects.version,
        false => given,
    };
    objects.watches += 1;
    let open = Open {
        resource,
        namespace,
        seen,
        cuts: objects.cuts,
        epoch: objects.epoch,
        ended: expired || initial && objects.faults.cut_lists,
        first,
        news: shared.news.subscribe(),
        patience: Duration::from_secs(text("timeoutSeconds").parse().unwrap_or(290)),
        count: Count(Arc::clone(&shared)),
    };
    drop(objects);
    let body = Body::from_stream(stream::unfold(open, Open::next));
    ([("content-type", "application/json")], body).into_response()
}

struct Open {
    resource: &'static Resource,
    namespace: Option<String>,
    /// The last version that was told.
    seen: u64,
    cuts: u64,
    epoch: u64,
    ended: bool,
    first: Vec<Bytes>,
    news: Receiver<u64>,
    patience: Duration,
    count: Count,
}

/// Counts an open watch as long as it lives.
struct Count(Arc<Shared>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.lock().watches -= 1;
    }
}

impl Open {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !self.first.is_empty() {
            let bytes = self.first.concat();
            self.first.clear();
            return Some((Ok(bytes.into()), self));
        }
        loop {
            if self.ended {
                return None;
            }
            let late = self.count.0.lock().faults.slow;
            if let Some(bytes) = self.waiting() {
                if let Some(late) = late {
                    tokio::time::sleep(late).await;
                }
                return Some((Ok(bytes), self));
            }
            if self.ended {
                return None;
            }
            match tokio::time::timeout(self.patience, self.news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// What has happened since.
    fn waiting(&mut self) -> Option<Bytes> {
        let objects = self.count.0.lock();
        if objects.epoch != self.epoch {
            self.ended = true;
            return None;
        }
        if objects.cuts != self.cuts {
            // The connection goes in the middle of an event.
            self.ended = true;
            return Some(Bytes::from_static(
                b"{\"type\": \"MODIFIED\", \"object\": {\"metad",
            ));
        }
        if self.seen < objects.oldest {
            self.ended = true;
            return Some(line("ERROR", &answers::expired()));
        }
        let mut lines = Vec::new();
        for change in objects
            .history
            .iter()
            .filter(|change| change.version > self.seen)
        {
            if change.plural == self.resource.plural
                && in_namespace(&change.object, self.namespace.as_deref())
            {
                lines.push(line(change.what, &change.object));
            }
        }
        let told = objects.version > self.seen;
        self.seen = objects.version;
        if told && objects.faults.bookmarks {
            lines.push(bookmark(self.resource, self.seen, false));
        }
        (!lines.is_empty()).then(|| lines.concat().into())
    }
}

/// An event, in the order in which the API server writes it.
fn line(what: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{what}\",\"object\":{object}}}\n").into()
}

fn bookmark(resource: &Resource, version: u64, end: bool) -> Bytes {
    let annotations = match end {
        true => json!({"k8s.io/initial-events-end": "true"}),
        false => json!({}),
    };
    let object = json!({
        "kind": resource.kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": version.to_string(), "annotations": annotations},
    });
    line("BOOKMARK", &object)
}
