//! A live map of flows in the browser, served from the binary.
//!
//! ```text
//!  observers (gRPC) ─▶ Relay ─┐                ┌─▶ GET /            the page, built from ui/web
//!  file of flows ───▶ Record ─┴─▶ router(..) ──┼─▶ GET /api/flows   server-sent events
//!                                              ├─▶ GET /api/status
//!                          Foresight ◀─────────┴─▶ POST /api/pending  what a policy would change
//! ```
//!
//! A source is whatever answers as [`Observer`]: each browser is one request to it, with the
//! browser's own filters, so that filtering is the observer's. A browser that reads too slowly is
//! read for no further; its request falls behind in the observer's ring, and is told how much it has
//! lost. Nobody else waits for it. Nothing can be changed from here: the one POST only asks.
//!
//! Who may ask is [`Access`]; the page may load nothing from anywhere else (docs/ui.md).
#![forbid(unsafe_code)]

mod access;
mod assets;
mod flows;
mod pending;
mod query;
mod record;
mod status;
#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::AtomicU64};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::sync::Semaphore;
use weir_observe::api::observer::observer_server::Observer;

pub use access::Access;
pub use pending::{Change, Foreseen, Foresight, Pending};
pub use record::Record;
pub use weir_gate::token::{Token, TokenError};

/// Requests for flows at once. Past it a browser is told so.
const FOLLOWERS: usize = 64;

/// What is served to whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose flows they are, as the page shows it: `lab demo`, `10.0.0.7:4244`.
    pub source: String,
    /// They are a record: nothing comes after it, and its time is not now.
    pub recorded: bool,
    /// Who may ask.
    pub access: Access,
    /// Who says what a pending policy would change; nobody, where it is not known what is in force.
    pub foresight: Option<Arc<dyn Foresight>>,
}

/// What all requests share.
struct App<S> {
    source: Arc<S>,
    options: Options,
    followers: Arc<Semaphore>,
    /// Records that observers or browsers were too slow for, as browsers were told.
    lost: Arc<AtomicU64>,
    asked: pending::Asked,
}

/// The page and its API. The caller serves it where it likes.
pub fn router<S: Observer>(source: S, options: Options) -> Router {
    let access = Arc::new(options.access.clone());
    let asked = pending::Asked::new(options.foresight.clone());
    let app = Arc::new(App {
        asked,
        source: Arc::new(source),
        options,
        followers: Arc::new(Semaphore::new(FOLLOWERS)),
        lost: Arc::default(),
    });
    Router::new()
        .route("/api/flows", get(flows::flows::<S>))
        .route("/api/status", get(status::status::<S>))
        .route("/api/pending", post(pending::pending::<S>))
        .layer(DefaultBodyLimit::max(pending::LARGEST))
        .with_state(app)
        .merge(assets::router())
        .layer(middleware::from_fn_with_state(access, access::check))
        .layer(middleware::map_response(assets::guard))
}
