//! An ingress controller, as haproxy's: it forwards by host and path, and answers 503 where the pods
//! behind do not let it in.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::http::{Answer, Asked, response};
use crate::play::ingress::Route;

/// Real controllers wait some seconds, several times; a lab has less patience.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(10);
/// The file beside the zone.
const ROUTES: &str = "routes.json";

/// Where the routes are: in the lab's folder, beside the names of its DNS.
pub fn routes_beside(zone: &Path) -> PathBuf {
    zone.with_file_name(ROUTES)
}

pub async fn answer(asked: &Asked, routes: &Path) -> Answer {
    let host = asked.header(HOST);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let found = match read(routes) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error:#}");
            return unavailable();
        }
    };
    let Some(route) = found.iter().find(|route| route.takes(host, asked.path())) else {
        return response(
            StatusCode::NOT_FOUND,
            "text/plain",
            "default backend - 404\n",
        );
    };
    // Of the client's own family, so that each can be tried alone.
    let v6 = asked.client.ip().to_canonical().is_ipv6();
    let mut backends = route
        .backends
        .iter()
        .filter_map(|b| b.parse::<SocketAddr>().ok());
    let Some(backend) = backends.find(|backend| backend.is_ipv6() == v6) else {
        return unavailable();
    };
    match forward(asked, backend).await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{backend}: {error:#}");
            unavailable()
        }
    }
}

fn read(path: &Path) -> Result<Vec<Route>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no routes", path.display()))
}

async fn forward(asked: &Asked, backend: SocketAddr) -> Result<Answer> {
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(backend));
    let stream = connecting.await.context("no answer to a connection")??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let (mut parts, body) = asked.request.clone().into_parts();
    let client = HeaderValue::from_str(&asked.origin())?;
    parts
        .headers
        .insert(HeaderName::from_static("x-forwarded-for"), client);
    let request = Request::from_parts(parts, Full::new(body));
    let answering = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body: Bytes = body.collect().await?.to_bytes();
        anyhow::Ok(Response::from_parts(parts, Full::new(body)))
    };
    tokio::time::timeout(ANSWER, answering)
        .await
        .context("no answer to a request")?
}

fn unavailable() -> Answer {
    response(
        StatusCode::SERVICE_UNAVAILABLE,
        "text/html",
        "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
    )
}
