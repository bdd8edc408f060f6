//! An API server for tests: real HTTP, real lists, watches and patches, and every way in which a
//! server can fail its watchers. It knows the kinds of [`RESOURCES`](crate::kubernetes::RESOURCES)
//! events and secrets, forwards ports and runs commands, and validates nothing. On loopback it asks for no credentials; elsewhere it has TLS,
//! tokens and a role ([`ApiServer::secure`]).
//!
//! Verbs, parameters and answers follow "Kubernetes API Concepts" (kubernetes.io).

mod access;
mod answers;
mod discovery;
mod objects;
mod pods;
mod routes;
mod secure;
mod stream;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::Output,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::serve::Listener;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use access::{Access, Rule};
pub use objects::Faults;
use objects::Objects;
use pods::Insides;
use secure::Secure;

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    objects: Mutex<Objects>,
    /// Told after every change and every new fault.
    news: watch::Sender<u64>,
    /// Requests that changed something or asked for a list: `VERB PATH`.
    log: Mutex<Vec<String>>,
    /// What is in pods.
    insides: Mutex<Insides>,
    /// `None`: everybody may do everything.
    access: Option<Mutex<Access>>,
}

impl ApiServer {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// Where no socket is to be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let mut server = Self::new(listener.local_addr()?, None);
        server.accept(listener);
        Ok(server)
    }

    /// Starts at an address, with TLS and with tokens. It cannot be [`away`](Self::away).
    ///
    /// # Errors
    /// The address is taken, or certificate and key are no PEM or do not belong together.
    pub async fn secure(
        address: SocketAddr,
        cert: &Path,
        key: &Path,
        access: Access,
    ) -> io::Result<Self> {
        let listener = Secure::new(TcpListener::bind(address).await?, cert, key)?;
        let mut server = Self::new(address, Some(access));
        server.accept(listener);
        Ok(server)
    }

    fn new(address: SocketAddr, access: Option<Access>) -> Self {
        let shared = Arc::new(Shared {
            objects: Mutex::new(Objects::new()),
            news: watch::Sender::new(0),
            log: Mutex::new(Vec::new()),
            insides: Mutex::default(),
            access: access.map(Mutex::new),
        });
        Self {
            shared,
            address,
            accepting: None,
        }
    }

    fn accept(&mut self, listener: impl Listener<Addr = SocketAddr>) {
        let router = routes::router(Arc::clone(&self.shared));
        self.accepting = Some(tokio::spawn(async move {
            // It runs until it is aborted.
            axum::serve(listener, router).await.ok();
        }));
    }

    /// Base address of the API.
    pub fn url(&self) -> String {
        match &self.shared.access {
            Some(_) => format!("https://{}", self.address),
            None => format!("http://{}", self.address),
        }
    }

    /// Writes a kubeconfig that leads here.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn kubeconfig(&self, file: &Path) -> io::Result<()> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: double\n\
             clusters: [{{name: double, cluster: {{server: '{}'}}}}]\n\
             users: [{{name: nobody, user: {{}}}}]\n\
             contexts: [{{name: double, context: {{cluster: double, user: nobody}}}}]\n",
            self.url()
        );
        std::fs::write(file, text)
    }

    /// Puts an object in, new or changed, as an API client would.
    ///
    /// # Panics
    /// On an object of a kind that the server does not know.
    pub fn put(&self, object: Value) {
        self.lock().put(object).expect("a kind of the server");
        self.tell();
    }

    /// Takes an object out.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.lock().delete(kind, namespace, name);
        self.tell();
    }

    /// An object as it is now.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().get(kind, namespace, name)
    }

    /// Says where a port of a pod leads. Its other ports refuse.
    pub fn pod_listens(&self, pod: &str, port: u16, to: SocketAddr) {
        let mut insides = self.shared.insides();
        insides.ports.insert((pod.to_owned(), port), to);
    }

    /// Says what a pod does with a command and its arguments.
    pub fn pod_runs(
        &self,
        pod: &str,
        run: impl Fn(&[String]) -> io::Result<Output> + Send + Sync + 'static,
    ) {
        let mut insides = self.shared.insides();
        insides.commands.insert(pod.to_owned(), Arc::new(run));
    }

    /// All objects of a kind.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        self.lock().all(kind)
    }

    /// Changes what goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.tell();
    }

    /// Forgets history: watches that begin before now are told 410.
    pub fn compact(&self) {
        self.lock().compact();
        self.tell();
    }

    /// Ends every watch, each in the middle of an event.
    pub fn cut(&self) {
        self.lock().cuts += 1;
        self.tell();
    }

    /// Watches that are open.
    pub fn watches(&self) -> usize {
        self.lock().watches
    }

    /// Requests since the last call, as `VERB PATH?QUERY`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .shared
                .log
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Stops listening and drops every connection, as a server that is gone.
    pub async fn away(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            accepting.await.ok();
        }
        self.lock().epoch += 1;
        self.tell();
    }

    /// Listens again, at the same address and with the same objects.
    ///
    /// # Errors
    /// Where the port is another's by now.
    pub async fn back(&mut self) -> io::Result<()> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.accept(socket.listen(64)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.shared.lock()
    }

    fn tell(&self) {
        self.shared.news.send_modify(|count| *count += 1);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insides(&self) -> MutexGuard<'_, Insides> {
        self.insides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, request: String) {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
    }
}
