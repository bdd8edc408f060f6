//! `/metrics` over HTTP.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use tokio::net::TcpListener;

use super::Metrics;

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
    let answer = move || {
        let (metrics, refresh) = (Arc::clone(&metrics), refresh.clone());
        async move {
            refresh().await;
            match metrics.text() {
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
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok(address)
}
