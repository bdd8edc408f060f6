//! `POST /api/pending`: which of the flows that a page holds a policy would change, before anybody
//! applies it. Nothing is changed by asking.

use std::{fmt, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::App;

/// The most bytes of a question: a policy, and one record of each kind of flow.
pub const LARGEST: usize = 16 << 20;
/// Questions at once: each reads manifests and judges thousands of flows.
const AT_ONCE: usize = 2;

/// A policy that is not in force, and flows that were seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// YAML or JSON, one object or several. One of a name that is in force takes its place.
    pub policy: String,
    /// As the observer sent them, a JSON line each.
    pub flows: Vec<String>,
}

/// What would change.
#[derive(Debug, Default, Serialize)]
pub struct Foreseen {
    /// Flows that were judged, now and with the policy.
    pub judged: usize,
    /// Flows that were not: an end of theirs is not known.
    pub not_judged: usize,
    pub changes: Vec<Change>,
    /// What of the policy would not be in force as written.
    pub problems: Vec<String>,
}

/// Flows that would be judged otherwise.
#[derive(Debug, Serialize)]
pub struct Change {
    /// Their places in the question.
    pub places: Vec<usize>,
    pub from: String,
    pub to: String,
    /// `TCP/80 GET /ip`.
    pub flow: String,
    /// `allow`, `http-deny` or `deny`.
    pub before: String,
    pub after: String,
    /// Why it would be so.
    pub reason: String,
}

/// Who knows what is in force, and can judge.
pub trait Foresight: fmt::Debug + Send + Sync {
    /// Judges flows as they are now and with the policy.
    ///
    /// # Errors
    /// A text for people: the policy is none, or what is in force cannot be read.
    fn foresee(&self, pending: &Pending) -> Result<Foreseen, String>;
}

/// Whom a page may ask, and how many may at once.
#[derive(Debug)]
pub struct Asked {
    foresight: Option<Arc<dyn Foresight>>,
    places: Arc<Semaphore>,
}

// === impl Asked ===

impl Asked {
    pub fn new(foresight: Option<Arc<dyn Foresight>>) -> Self {
        Self {
            foresight,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub fn answers(&self) -> bool {
        self.foresight.is_some()
    }
}

pub async fn pending<S>(
    State(app): State<Arc<App<S>>>,
    Json(pending): Json<Pending>,
) -> Result<Json<Foreseen>, (StatusCode, String)> {
    let Some(foresight) = app.asked.foresight.clone() else {
        let text = "what is in force is not known here: start `weir ui` with --manifests\n";
        return Err((StatusCode::NOT_IMPLEMENTED, text.to_owned()));
    };
    let place = Arc::clone(&app.asked.places).try_acquire_owned();
    let place = place.map_err(|_| {
        let text = "others ask already: try again\n".to_owned();
        (StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    // The place is taken until it is judged, also where who asked has gone.
    let judge = move || {
        let _place = place;
        foresight.foresee(&pending)
    };
    let judged = tokio::task::spawn_blocking(judge).await;
    match judged {
        Ok(Ok(foreseen)) => Ok(Json(foreseen)),
        Ok(Err(text)) => Err((StatusCode::BAD_REQUEST, format!("{text}\n"))),
        Err(_) => {
            let text = "this could not be judged; the log of `weir ui` says why\n".to_owned();
            Err((StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}
