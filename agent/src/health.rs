//! Answers the kubelet's probes: `/livez` (the agent works on its requests) and `/readyz` (its
//! policies are in force).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Router, http::StatusCode, routing::get};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

use weir_gate::{Gate, descriptors::Share};

use crate::control::Call;

/// A connection lives for so long; a kubelet connects for each probe.
const LIFE: Duration = Duration::from_secs(60);

/// An agent that has not answered for so long does not live. A change may take it a while.
const PATIENCE: Duration = Duration::from_secs(15);

/// What probes are told.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Answers probes on an address, if there is one.
    pub async fn serve(address: Option<SocketAddr>, agent: mpsc::Sender<Call>) -> Result<Self> {
        let health = Self::default();
        let Some(address) = address else {
            return Ok(health);
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot answer probes on {address}"))?;
        let (live, ready) = (health.clone(), health.clone());
        let (asks, agent) = (agent.clone(), agent);
        let router = Router::new()
            .route("/livez", get(async move || live.live(&asks).await))
            .route("/readyz", get(async move || ready.answer(&agent).await));
        let gate = Gate::of(Share::Health);
        tokio::spawn(weir_gate::http::serve(listener, gate, router, LIFE));
        Ok(health)
    }

    /// The objects have been read, and put in force once.
    pub fn ready(&self) {
        self.ready.store(true, Relaxed);
    }

    async fn live(&self, agent: &mpsc::Sender<Call>) -> (StatusCode, String) {
        // Until all objects are known, it waits for the API server: that is no fault of its own.
        if !self.ready.load(Relaxed) || ask(agent).await.is_some() {
            return (StatusCode::OK, "ok\n".to_owned());
        }
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the agent has not answered within {PATIENCE:?}\n"),
        )
    }

    async fn answer(&self, agent: &mpsc::Sender<Call>) -> (StatusCode, String) {
        let not = |reason: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
        if !self.ready.load(Relaxed) {
            return not("waiting for a first full list of all objects".to_owned());
        }
        match ask(agent).await {
            None => not("the agent does not answer".to_owned()),
            Some(failure) => match failure {
                Some(failure) => not(format!("the last change is not in force: {failure}")),
                None => (StatusCode::OK, "ok\n".to_owned()),
            },
        }
    }
}

/// Why the last change is not in force, as the agent answers it; `None`: it does not answer.
async fn ask(agent: &mpsc::Sender<Call>) -> Option<Option<String>> {
    let (sender, answer) = oneshot::channel();
    let asked = async {
        agent.send(Call::Failure(sender)).await.ok()?;
        answer.await.ok()
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}
