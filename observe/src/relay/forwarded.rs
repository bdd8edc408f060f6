//! An observer behind something that is dialled anew for each connection, such as a cluster's
//! port-forward.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};

/// Bytes in both directions.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection that is being made.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Bytes>>> + Send>>;

/// How an observer is reached. Two of one name are the same.
#[derive(Clone)]
pub struct Forwarded {
    name: Arc<str>,
    dial: Arc<dyn Fn() -> Dialling + Send + Sync>,
}

// === impl Forwarded ===

impl Forwarded {
    /// An observer by what it is called in messages, and how to reach it. TLS, where it asks for it, is
    /// the dialler's.
    pub fn new(name: &str, dial: impl Fn() -> Dialling + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            dial: Arc::new(dial),
        }
    }

    pub(super) async fn connect(
        &self,
        endpoint: Endpoint,
    ) -> Result<Channel, tonic::transport::Error> {
        endpoint.connect_with_connector(self.clone()).await
    }
}

impl Service<Uri> for Forwarded {
    type Response = TokioIo<Box<dyn Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialling = (self.dial)();
        Box::pin(async move { dialling.await.map(TokioIo::new) })
    }
}

impl fmt::Display for Forwarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Forwarded")
            .field(&self.name)
            .finish()
    }
}

impl PartialEq for Forwarded {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Forwarded {}

impl PartialOrd for Forwarded {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Forwarded {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Hash for Forwarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
