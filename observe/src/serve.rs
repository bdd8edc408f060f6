//! Where the observer listens: a Unix socket, and TCP where it is asked for.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::{TcpListener, UnixListener};
use tonic::{
    service::Routes,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};
use weir_gate::{Gate, descriptors::Share};

use crate::{
    api::observer::observer_server::{Observer, ObserverServer},
    service::{self, REQUEST},
};

mod incoming;
mod refused;

/// A client that does not answer a ping is let go.
const PING: Duration = Duration::from_secs(20);
/// A connection takes no new request after so long: who asks again connects again.
const LIFE: Duration = Duration::from_secs(3600);
/// Who follows on it may do so for so long yet.
const REST: Duration = Duration::from_secs(12 * 3600);
/// Requests at once on one connection.
const STREAMS: u32 = 64;
/// A larger head of a request is refused.
const LARGEST_HEAD: u32 = 16 << 10;

/// The name under which Hubble's client asks for the observer's health.
const HEALTH: &str = "hubble.server.Observer";

/// TCP for clients on other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// Where to listen.
    pub address: SocketAddr,
    /// Certificates; without them everybody who reaches the address can read.
    pub tls: Option<Tls>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate, with those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority of clients: only those with a certificate of it are served.
    pub client_ca: Option<PathBuf>,
}

/// What keeps the observer from listening.
#[derive(Debug, thiserror::Error)]
#[error("the observer cannot {what}: {reason}")]
pub struct ServeError {
    /// What was tried.
    what: String,
    /// Why it failed.
    reason: String,
}

fn failed(what: impl Into<String>) -> impl FnOnce(Box<dyn std::error::Error>) -> ServeError {
    let what = what.into();
    move |error| ServeError {
        what,
        reason: error.to_string(),
    }
}

/// An observer with its health, as Hubble's client asks for it. More services may be added.
pub async fn routes<S: Observer>(observer: S) -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(HEALTH, tonic_health::ServingStatus::Serving)
        .await;
    reporter.set_serving::<ObserverServer<S>>().await;
    let observer = ObserverServer::new(observer).max_decoding_message_size(REQUEST);
    let routes = Routes::new(health).add_service(observer);
    routes.into_axum_router().merge(refused::router()).into()
}

/// The same of one node, whose followers share what is encoded.
pub async fn node(observer: service::Observer) -> Routes {
    let routes = routes(observer.clone()).await.into_axum_router();
    routes.merge(service::router(observer)).into()
}

/// Serves on a Unix socket that only the owner may use, until the process ends.
///
/// # Errors
/// Where the socket cannot be made.
pub async fn unix(routes: Routes, path: &Path) -> Result<(), ServeError> {
    unix_with(routes, path, Gate::of(Share::Observer), server())
}

fn unix_with(
    routes: Routes,
    path: &Path,
    gate: Arc<Gate>,
    mut server: Server,
) -> Result<(), ServeError> {
    let listen = || -> io::Result<UnixListener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    let what = format!("listen on {}", path.display());
    let listener = listen().map_err(|error| failed(what)(error.into()))?;
    let router = server.add_routes(routes);
    tokio::spawn(async move {
        let served = router.serve_with_incoming(incoming::unix(listener, gate));
        if let Err(error) = served.await {
            tracing::error!(%error, "the observer no longer answers on its socket");
        }
    });
    Ok(())
}

/// Serves on TCP until the process ends; gives the address that it listens on.
///
/// # Errors
/// Where the address is taken or a certificate cannot be read.
pub async fn tcp(routes: Routes, tcp: &Tcp) -> Result<SocketAddr, ServeError> {
    let mut server = server();
    if let Some(tls) = &tcp.tls {
        server = server
            .tls_config(tls.config()?)
            .map_err(|error| failed("use its certificate")(error.into()))?;
    }
    let bound = async {
        let listener = TcpListener::bind(tcp.address).await?;
        Ok::<_, io::Error>((listener.local_addr()?, listener))
    };
    let what = format!("listen on {}", tcp.address);
    let (address, listener) = bound.await.map_err(|error| failed(what)(error.into()))?;
    let router = server.add_routes(routes);
    let gate = Gate::of(Share::ObserverTcp);
    tokio::spawn(async move {
        let served = router.serve_with_incoming(incoming::tcp(listener, gate));
        if let Err(error) = served.await {
            tracing::error!(%error, "the observer no longer answers on TCP");
        }
    });
    Ok(address)
}

/// What one connection may ask for at once. Its time is bounded by `incoming`: who is silent is
/// asked for a sign of life, and closed when none comes.
fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .http2_max_header_list_size(LARGEST_HEAD)
        .max_concurrent_streams(STREAMS)
        .max_connection_age(LIFE)
        .max_connection_age_grace(REST)
}

impl Tls {
    fn config(&self) -> Result<ServerTlsConfig, ServeError> {
        let read = |path: &Path| {
            let what = format!("read {}", path.display());
            std::fs::read(path).map_err(|error| failed(what)(error.into()))
        };
        let identity = Identity::from_pem(read(&self.certificate)?, read(&self.key)?);
        let config = ServerTlsConfig::new().identity(identity);
        Ok(match &self.client_ca {
            Some(authority) => config.client_ca_root(Certificate::from_pem(read(authority)?)),
            None => config,
        })
    }
}

#[cfg(test)]
mod tests;
