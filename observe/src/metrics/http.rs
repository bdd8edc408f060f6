//! `/metrics` over HTTP.

use std::{future::Future, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::net::TcpListener;
use weir_gate::{
    Gate,
    descriptors::Share,
    token::{Token, bearer},
};

use super::{Metrics, open};

/// A connection lives for so long; a Prometheus then connects again.
const LIFE: Duration = Duration::from_secs(300);

/// Where metrics are served, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsOptions {
    /// The address.
    pub address: SocketAddr,
    /// The file of the token that whoever asks must show (`Authorization: Bearer`): metrics name workloads
    /// and policies. It is read for each request, so that it can be replaced.
    pub token: Option<PathBuf>,
}

/// Serves `/metrics` until the process ends; `refresh` brings the agent's own numbers up to date
/// before each answer. Gives the address that it listens on.
///
/// # Errors
/// Where the address is taken, or there is no token in its file.
pub async fn serve<F, R>(
    options: &MetricsOptions,
    metrics: Arc<Metrics>,
    refresh: F,
) -> io::Result<SocketAddr>
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    let token = options.token.clone();
    if let Some(path) = &token {
        Token::read(path).map_err(io::Error::other)?;
    }
    let listener = TcpListener::bind(options.address).await?;
    let address = listener.local_addr()?;
    let answer = move |ConnectInfo(client): ConnectInfo<SocketAddr>, headers: HeaderMap| {
        let (metrics, refresh) = (Arc::clone(&metrics), refresh.clone());
        let refused = refused(token.as_deref(), &headers);
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
            if let Some(refused) = refused {
                return refused;
            }
            refresh().await;
            if open {
                let text = metrics.open_text(scraper);
                return ([(CONTENT_TYPE, open::CONTENT_TYPE)], text).into_response();
            }
            let text = match scraper {
                Some(scraper) => metrics.text_for(scraper),
                None => metrics.text(),
            };
            match text {
                Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
                }
            }
        }
    };
    let router = Router::new().route("/metrics", get(answer));
    let gate = Gate::of(Share::Metrics);
    tokio::spawn(weir_gate::http::serve(listener, gate, router, LIFE));
    Ok(address)
}

/// What a request gets that does not show the token; `None`: it does, or there is none.
fn refused(token: Option<&std::path::Path>, headers: &HeaderMap) -> Option<Response> {
    match Token::read(token?) {
        Ok(token) if bearer(headers).is_some_and(|shown| token.is(shown)) => None,
        Ok(_) => {
            let challenge = [(WWW_AUTHENTICATE, "Bearer")];
            let text = "metrics need the token: Authorization: Bearer TOKEN\n";
            Some((StatusCode::UNAUTHORIZED, challenge, text).into_response())
        }
        Err(error) => {
            tracing::error!(%error, "nobody gets metrics");
            let text = "the token cannot be read\n";
            Some((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn who_does_not_show_the_token_gets_nothing() {
        const TOKEN: &str = "0123456789abcdef";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let status = |shown: Option<&str>| {
            let shown = shown.map(|text| (AUTHORIZATION, text.parse().unwrap()));
            refused(Some(&file), &HeaderMap::from_iter(shown)).map(|answer| answer.status())
        };
        let right = format!("Bearer {TOKEN}");
        assert_eq!(status(Some(&right)), Some(StatusCode::SERVICE_UNAVAILABLE));
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        assert_eq!(status(Some(&right)), None);
        for wrong in [
            None,
            Some(TOKEN),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer "),
        ] {
            assert_eq!(status(wrong), Some(StatusCode::UNAUTHORIZED), "{wrong:?}");
        }
        // It is another one now.
        std::fs::write(&file, "fedcba9876543210").unwrap();
        assert_eq!(status(Some(&right)), Some(StatusCode::UNAUTHORIZED));
        assert!(refused(None, &HeaderMap::new()).is_none());
    }
}
