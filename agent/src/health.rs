//! Answers the kubelet's probes: `/livez` (the agent works on its requests) and `/readyz` (its
//! policies are in force).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{Router, http::StatusCode, routing::get};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot, watch},
    time::timeout,
};

use weir_gate::{Gate, descriptors::Share};

use crate::control::Call;

/// A connection lives for so long; a kubelet connects for each probe.
const LIFE: Duration = Duration::from_secs(60);

/// An agent that has not answered for so long does not live. A change may take it a while.
const PATIENCE: Duration = Duration::from_secs(15);

/// An agent that has just answered one probe is not asked for the next: whoever reaches the port may
/// send thousands a second.
const EVERY: Duration = Duration::from_millis(500);

/// What probes are told.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    /// Why the last change is not in force.
    failure: watch::Sender<Option<String>>,
    /// When the agent answered last.
    answered: Arc<Mutex<Option<Instant>>>,
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

    /// Why the last change is not in force, as probes are told from now on.
    pub fn failure(&self, failure: &Option<String>) {
        self.failure.send_if_modified(|told| {
            let other = *told != *failure;
            if other {
                told.clone_from(failure);
            }
            other
        });
    }

    async fn live(&self, agent: &mpsc::Sender<Call>) -> (StatusCode, String) {
        // Until all objects are known, it waits for the API server: that is no fault of its own.
        if !self.ready.load(Relaxed) || self.ask(agent).await.is_some() {
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
        if self.ask(agent).await.is_none() {
            return not("the agent does not answer".to_owned());
        }
        match &*self.failure.borrow() {
            Some(failure) => not(format!("the last change is not in force: {failure}")),
            None => (StatusCode::OK, "ok\n".to_owned()),
        }
    }

    /// Whether the agent answers; `None`: it does not. Of many who ask at once one asks for all.
    async fn ask(&self, agent: &mpsc::Sender<Call>) -> Option<()> {
        let asked = async {
            let mut answered = self.answered.lock().await;
            if answered.is_some_and(|last| last.elapsed() < EVERY) {
                return Some(());
            }
            let (sender, answer) = oneshot::channel();
            agent.send(Call::Alive(sender)).await.ok()?;
            answer.await.ok()?;
            *answered = Some(Instant::now());
            Some(())
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn thousands_of_probes_are_one_question_to_the_agent() {
        let (sender, mut calls) = mpsc::channel(1);
        let health = Health::default();
        health.ready();
        let agent = tokio::spawn(async move {
            let mut asked = 0;
            while let Some(Call::Alive(back)) = calls.recv().await {
                asked += 1;
                back.send(()).ok();
            }
            asked
        });
        let began = Instant::now();
        for _ in 0..2000 {
            assert_eq!(health.live(&sender).await.0, StatusCode::OK);
            assert_eq!(health.answer(&sender).await.0, StatusCode::OK);
        }
        // What is not in force is told at once.
        health.failure(&Some("no room".to_owned()));
        let (status, text) = health.answer(&sender).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("no room"), "{text}");
        drop(sender);
        let most = 1 + began.elapsed().as_millis() / EVERY.as_millis();
        let asked: u128 = agent.await.expect("it ends");
        assert!(asked <= most, "{asked} of {most}");
    }
}
