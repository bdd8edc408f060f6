//! Watching one kind: a list, then changes since it.
//!
//! The list is a watch that begins with every object (streaming list, Kubernetes 1.32 and, where
//! switched on, 1.27), else pages. The client library has such a loop, too; it does not tell a
//! watch that is open and silent from one that cannot be opened, and staleness is exactly that.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::{Stream, StreamExt as _};
use kube::{
    Client, Error, Resource as _,
    api::{ListParams, WatchParams},
    core::{DynamicObject, ObjectList, Request, Status, WatchEvent},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Resource, Shared, shallow::Shallow};

/// Objects of a page.
const PAGE: u32 = 500;
/// A watch ends on the server's side after this many seconds.
const WATCH: u32 = 290;
/// Past it, no end has come either: the connection is dead.
const DEAD: Duration = Duration::from_secs(WATCH as u64 + 10);
/// Between two attempts, with jitter: an API server that comes back is not overrun by its nodes.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a watch of this length, pauses are short again.
const GOOD: Duration = Duration::from_secs(60);
/// A watch that ended sooner was no good.
const SHORT: Duration = Duration::from_secs(1);
/// The annotation of the bookmark after the last object of a streaming list.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// Watches until the task is dropped.
pub async fn watch(client: Client, resource: &'static Resource, shared: Arc<Shared>) {
    let mut watch = Watch {
        client,
        path: DynamicObject::url_path(&resource.api(), None),
        resource,
        shared,
        streaming: true,
        version: None,
    };
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter();
    let mut next = pauses.build();
    let mut hurried: Option<Instant> = None;
    loop {
        let begin = Instant::now();
        let ended = watch.once().await;
        if begin.elapsed() >= GOOD {
            next = pauses.build();
        }
        match ended {
            // The server ends a watch from time to time.
            Ok(()) if begin.elapsed() >= SHORT => continue,
            Ok(()) => {}
            Err(fault) => watch.failed(fault),
        }
        let length = next.next().unwrap_or(LONGEST_PAUSE);
        pause(length, &watch.shared.back, &mut hurried).await;
    }
}

/// Waits; but where one kind is in step again, the others need not wait for their turn. Not again and
/// again, where the server is there for moments only: `hurried` is when that was last.
async fn pause(length: Duration, back: &Notify, hurried: &mut Option<Instant>) {
    if hurried.is_some_and(|before| before.elapsed() < LONGEST_PAUSE) {
        sleep(length).await;
    } else if timeout(length, back.notified()).await.is_ok() {
        *hurried = Some(Instant::now());
    }
}

struct Watch {
    client: Client,
    /// Of the kind, in all namespaces.
    path: String,
    resource: &'static Resource,
    shared: Arc<Shared>,
    /// Whether the server can stream lists.
    streaming: bool,
    /// What is known; `None`: nothing, or too old.
    version: Option<String>,
}

/// Why a watch did not go on.
enum Fault {
    /// What is known is too old for the server.
    Gone,
    /// The kind is not served.
    NotInstalled,
    Other(String),
}

type Events = std::pin::Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Shallow>>> + Send>>;

impl Watch {
    /// Lists where that must be, then follows until the watch ends.
    async fn once(&mut self) -> Result<(), Fault> {
        if let Some(version) = self.version.clone() {
            let events = self.open(&version, false).await?;
            self.in_step();
            return self.follow(events).await;
        }
        if self.streaming {
            match self.open("", true).await {
                Ok(events) => {
                    self.shared.lock().begin(self.resource);
                    return self.follow(events).await;
                }
                Err(Fault::Other(reason)) if !self.streaming => {
                    tracing::debug!(kind = self.resource.plural, reason, "no streaming lists");
                }
                Err(fault) => return Err(fault),
            }
        }
        self.list().await
    }

    /// Opens a watch; with `list` one that begins with every object.
    async fn open(&mut self, version: &str, list: bool) -> Result<Events, Fault> {
        let params = WatchParams {
            timeout: Some(WATCH),
            bookmarks: true,
            send_initial_events: list,
            ..WatchParams::default()
        };
        let request = Request::new(&self.path)
            .watch(&params, version)
            .map_err(|error| self.fault(&Error::BuildRequest(error)))?;
        match timeout(DEAD, self.client.request_events::<Shallow>(request)).await {
            Ok(Ok(events)) => Ok(Box::pin(events)),
            Ok(Err(error)) => {
                // 400, 422: the server does not know streaming lists, or they are switched off.
                if list && matches!(&error, Error::Api(status) if [400, 422].contains(&status.code))
                {
                    self.streaming = false;
                }
                Err(self.fault(&error))
            }
            Err(_) => Err(Fault::Other("no answer".to_owned())),
        }
    }

    /// Lists in pages.
    async fn list(&mut self) -> Result<(), Fault> {
        self.shared.lock().begin(self.resource);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let request = Request::new(&self.path)
                .list(&params)
                .map_err(|error| self.fault(&Error::BuildRequest(error)))?;
            let page = self.client.request::<ObjectList<Shallow>>(request);
            let page = match timeout(DEAD, page).await {
                Ok(page) => page.map_err(|error| self.fault(&error))?,
                Err(_) => return Err(Fault::Other("no answer".to_owned())),
            };
            for object in page.items {
                self.apply(self.known(object)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    self.whole(page.metadata.resource_version);
                    return match self.version {
                        Some(_) => Ok(()),
                        None => Err(Fault::Other("a list without a version".to_owned())),
                    };
                }
            }
        }
    }

    async fn follow(&mut self, mut events: Events) -> Result<(), Fault> {
        loop {
            let event = match timeout(DEAD, events.next()).await {
                Ok(Some(event)) => event.map_err(|error| self.fault(&error))?,
                Ok(None) if self.version.is_none() => {
                    return Err(Fault::Other("the list was cut off".to_owned()));
                }
                Ok(None) => return Ok(()),
                Err(_) => return Err(Fault::Other("the watch is silent".to_owned())),
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let object = self.known(object)?;
                    let version = object.metadata.resource_version.clone();
                    self.apply(object);
                    self.reached(version);
                }
                WatchEvent::Deleted(object) => {
                    let object = self.known(object)?;
                    let version = object.metadata.resource_version.clone();
                    if self.shared.lock().remove(self.resource, object) {
                        self.shared.changed.notify_one();
                    }
                    self.reached(version);
                }
                WatchEvent::Bookmark(bookmark) => {
                    let version = Some(bookmark.metadata.resource_version);
                    match bookmark.metadata.annotations.contains_key(END_OF_LIST) {
                        true if self.version.is_none() => self.whole(version),
                        _ => self.reached(version),
                    }
                }
                WatchEvent::Error(status) => return Err(self.status(&status)),
            }
        }
    }

    /// The object, with its metadata understood.
    fn known(&self, object: Shallow) -> Result<DynamicObject, Fault> {
        serde_json::from_value(object.0).map_err(|error| self.fault(&Error::SerdeError(error)))
    }

    fn apply(&self, object: DynamicObject) {
        if self.shared.lock().apply(self.resource, object) {
            self.shared.changed.notify_one();
        }
    }

    /// The next watch begins after this version, once the list is whole.
    fn reached(&mut self, version: Option<String>) {
        if self.version.is_some() && version.as_ref().is_some_and(|version| !version.is_empty()) {
            self.version = version;
        }
    }

    fn whole(&mut self, version: Option<String>) {
        self.version = version.filter(|version| !version.is_empty());
        if self.shared.lock().whole(self.resource) {
            self.shared.changed.notify_one();
        }
        self.in_step();
    }

    fn in_step(&self) {
        if self.shared.lock().in_step(self.resource) {
            tracing::info!(kind = self.resource.plural, "in step with the API server");
            self.shared.changed.notify_one();
            self.shared.back.notify_waiters();
        }
    }

    fn failed(&mut self, fault: Fault) {
        let reason = match fault {
            Fault::Gone if self.version.is_none() => {
                "the server forgets faster than it lists".to_owned()
            }
            Fault::Gone => {
                self.version = None;
                // No fault of the server's: what it has forgotten is asked for anew.
                tracing::debug!(kind = self.resource.plural, "too old: listing again");
                return;
            }
            Fault::NotInstalled => {
                self.version = None;
                let mut store = self.shared.lock();
                if !store.holds_any(self.resource) {
                    store.begin(self.resource);
                    let first = store.whole(self.resource);
                    if store.in_step(self.resource) || first {
                        tracing::info!(kind = self.resource.plural, "not installed here");
                        self.shared.changed.notify_one();
                    }
                    return;
                }
                // Its objects were not deleted, so they stay.
                "not installed any more; its objects stay in force".to_owned()
            }
            Fault::Other(reason) => reason,
        };
        let new = self
            .shared
            .lock()
            .failed(self.resource, reason.clone(), SystemTime::now());
        if new {
            tracing::warn!(
                kind = self.resource.plural,
                reason,
                "out of step with the API server; what is known stays in force"
            );
            self.shared.changed.notify_one();
        }
    }

    fn fault(&self, error: &Error) -> Fault {
        match error {
            Error::Api(status) => self.status(status),
            other => Fault::Other(chain(other)),
        }
    }

    fn status(&self, status: &Status) -> Fault {
        match status.code {
            410 => Fault::Gone,
            404 if self.resource.optional => Fault::NotInstalled,
            code => Fault::Other(format!("{} ({code})", status.message)),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_back_ends_a_pause_once() {
        let back = Notify::new();
        let mut hurried = None;
        let tell = async || {
            loop {
                back.notify_waiters();
                tokio::task::yield_now().await;
            }
        };
        let hour = Duration::from_secs(3600);
        tokio::select! {
            () = pause(hour, &back, &mut hurried) => {}
            () = tell() => {}
        }
        assert!(hurried.is_some());
        let short = Duration::from_millis(50);
        let begin = Instant::now();
        tokio::select! {
            () = pause(short, &back, &mut hurried) => {}
            () = tell() => {}
        }
        assert!(begin.elapsed() >= short, "not again so soon");
    }
}
