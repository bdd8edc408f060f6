//! The observers of a cluster: its relay, or without one every agent, over the API's port-forward.
//! Nothing listens on this machine: each connection is a stream of its own to a pod.

use std::{io, sync::Arc};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Pod, PodSpec, Secret};
use kube::Api;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_observe::relay::{Address, Bytes, Forwarded};

use crate::{Remote, argument, name, node, ready, stream::Stream};

/// The volume by which a pod has the observers' certificates.
const CERTIFICATES: &str = "observe-tls";

/// Whom a connection is for: pods may be others by the next one.
#[derive(Debug, Clone)]
enum Whom {
    Relay,
    AgentOf(String),
}

impl Remote {
    /// How the cluster's observers are reached.
    ///
    /// # Errors
    /// Neither a relay nor an agent is found.
    pub async fn observers(&self) -> Result<Vec<Address>> {
        if self.pods_of("relay").await?.iter().any(ready) {
            let name = format!("weir-relay in {}", self.namespace);
            return Ok(vec![self.forwarded(&name, Whom::Relay)]);
        }
        let agents = self.agents().await?;
        let nodes = agents.iter().map(node).filter(|node| !node.is_empty());
        let addresses: Vec<Address> = nodes
            .map(|node| self.forwarded(node, Whom::AgentOf(node.to_owned())))
            .collect();
        match addresses.is_empty() {
            true => bail!("no agent is on a node yet"),
            false => Ok(addresses),
        }
    }

    fn forwarded(&self, name: &str, whom: Whom) -> Address {
        let remote = self.clone();
        Address::Forwarded(Forwarded::new(name, move || {
            let (remote, whom) = (remote.clone(), whom.clone());
            Box::pin(async move {
                let dialled = remote.dial(&whom).await;
                dialled.map_err(|error| io::Error::other(format!("{error:#}")))
            })
        }))
    }

    async fn dial(&self, whom: &Whom) -> Result<Box<dyn Bytes>> {
        let pod = self.pod(whom).await?;
        let (name, spec) = (
            name(&pod),
            pod.spec.as_ref().context("a pod without a spec")?,
        );
        let port = match whom {
            Whom::Relay => port(argument(spec, "relay", "--listen"), 4245)?,
            Whom::AgentOf(_) => port(argument(spec, "agent", "--observe"), 4244)?,
        };
        let forwarding = self.pods().portforward(name, &[port]).await;
        let mut forwarding =
            forwarding.with_context(|| format!("cannot forward port {port} of pod {name}"))?;
        let bytes = forwarding.take_stream(port).context("no stream")?;
        let reason = forwarding.take_error(port).context("no reason")?;
        let stream = Stream::new(bytes, reason);
        match certificates(spec) {
            None => Ok(Box::new(stream)),
            Some(secret) => Ok(Box::new(self.with_tls(stream, secret).await?)),
        }
    }

    async fn pod(&self, whom: &Whom) -> Result<Pod> {
        let (pods, what) = match whom {
            Whom::Relay => (self.pods_of("relay").await?, "the relay".to_owned()),
            Whom::AgentOf(of) => {
                let mut pods = self.agents().await?;
                pods.retain(|pod| node(pod) == of);
                (pods, format!("the agent of node {of}"))
            }
        };
        let found = pods.into_iter().max_by_key(ready);
        found.with_context(|| format!("{what} is gone"))
    }

    /// Both ends prove that they are Weir's by the chart's certificates.
    async fn with_tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        secret: &str,
    ) -> Result<TlsStream<S>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let read = api.get(secret).await;
        let read = read.with_context(|| format!("the certificates in Secret {secret}"))?;
        let config = config(&read).with_context(|| format!("Secret {secret}"))?;
        let server = ServerName::try_from(format!("weir-observers.{}.svc", self.namespace))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(server, stream);
        connecting.await.context("TLS")
    }
}

/// The port of an address to listen at.
fn port(listen: Option<&str>, default: u16) -> Result<u16> {
    let Some(text) = listen else {
        return Ok(default);
    };
    let port = text.rsplit_once(':').map(|(_, port)| port);
    let port = port.and_then(|port| port.parse().ok());
    port.with_context(|| format!("{text:?} has no port"))
}

/// The Secret with a pod's certificates; `None` where it answers without TLS.
fn certificates(spec: &PodSpec) -> Option<&str> {
    let mut volumes = spec.volumes.iter().flatten();
    let volume = volumes.find(|volume| volume.name == CERTIFICATES)?;
    volume.secret.as_ref()?.secret_name.as_deref()
}

fn config(secret: &Secret) -> Result<ClientConfig> {
    let part = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        let data = data.map(|bytes| bytes.0.as_slice());
        data.with_context(|| format!("it has no {key}"))
    };
    let chain = |key: &str| -> Result<Vec<CertificateDer<'static>>> {
        let chain = CertificateDer::pem_slice_iter(part(key)?).collect::<Result<_, _>>();
        chain.with_context(|| format!("{key} is no PEM"))
    };
    let mut roots = RootCertStore::empty();
    for authority in chain("ca.crt")? {
        roots.add(authority).context("ca.crt")?;
    }
    let key = PrivateKeyDer::from_pem_slice(part("tls.key")?).context("tls.key is no PEM")?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain("tls.crt")?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
