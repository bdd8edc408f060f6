//! `/metrics` over HTTP.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
    },
    routing::get,
};
use tokio::net::TcpListener;
use weir_gate::{Gate, descriptors::Share};

use super::{Metrics, open};

/// A connection lives for so long; a Prometheus then connects again.
const LIFE: Duration = Duration::from_secs(300);

/// Serves `/metrics` until the process ends; `refresh` brings the agent's own numbers up to date
/// before each answer. Gives the address that it listens on.
///
/// # Errors
/// Where the address is taken.
pub async fn serve<F, R>(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    refresh: F,
) -> io::Result<SocketAddr>
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let answer = move |ConnectInfo(client): ConnectInfo<SocketAddr>, headers: HeaderMap| {
        let (metrics, refresh) = (Arc::clone(&metrics), refresh.clone());
        let agent = headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        let scraper = agent
            .is_some_and(|agent| agent.starts_with("Prometheus/"))
            .then_some(client.ip());
        let open = headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("application/openmetrics-text"));
        async move {
            refresh().await;
            if open {
                let text = metrics.open_text(scraper);
                return (StatusCode::OK, [(CONTENT_TYPE, open::CONTENT_TYPE)], text);
            }
            let text = match scraper {
                Some(scraper) => metrics.text_for(scraper),
                None => metrics.text(),
            };
            match text {
                Ok(text) => (
                    StatusCode::OK,
                    [(CONTENT_TYPE, prometheus::TEXT_FORMAT)],
                    text,
                ),
                Err(error) => {
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    (status, [(CONTENT_TYPE, "text/plain")], error.to_string())
                }
            }
        }
    };
    let router = Router::new().route("/metrics", get(answer));
    let gate = Gate::of(Share::Metrics);
    tokio::spawn(weir_gate::http::serve(listener, gate, router, LIFE));
    Ok(address)
}
