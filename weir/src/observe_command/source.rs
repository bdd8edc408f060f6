//! Where flows come from: one observer, several at once, a cluster's, or a file.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use weir_gate::lines::Lines;
use weir_observe::{
    api::observer::{GetFlowsRequest, GetFlowsResponse},
    recorded,
    relay::{self, Address, ClientTls, Peers, Relay, Timing},
};

use crate::kubernetes::Cluster;

/// Where flows come from.
pub enum Source {
    /// Observers, and what those on the network are asked with.
    Observers(Vec<Address>, Option<ClientTls>),
    /// Those of a cluster, which are looked for when they are asked.
    Cluster(Cluster),
    /// A record; `-` is standard input.
    File(PathBuf),
}

impl Source {
    /// One observer.
    pub fn server(text: &str, tls: Option<ClientTls>) -> Result<Self> {
        // Hubble's own way to ask for TLS.
        let address = match text.strip_prefix("tls://") {
            Some(_) if tls.is_none() => bail!("{text}: --tls-ca-cert-file says whom to trust"),
            Some(address) => address,
            None => text,
        };
        // They are read for each connection: a wrong name is told now all the same.
        let config = tls.as_ref().map(ClientTls::config).transpose();
        config.map_err(anyhow::Error::msg)?;
        Ok(Self::Observers(vec![address.parse()?], tls))
    }

    /// The observers behind these sockets.
    pub fn sockets(paths: Vec<PathBuf>) -> Self {
        let addresses = paths.into_iter().map(Address::Socket);
        Self::Observers(addresses.collect(), None)
    }

    /// Gives every answer to `show`, until it wants no more.
    pub fn read(
        self,
        request: GetFlowsRequest,
        mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
    ) -> Result<()> {
        if let Self::File(path) = &self {
            for answer in recorded(path, &request)? {
                if !show(answer)? {
                    break;
                }
            }
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let timing = self.timing();
            let (addresses, tls) = self.observers().await?;
            match addresses.as_slice() {
                [address] => ask(address, tls.as_ref(), request, show).await,
                _ => ask_all((addresses, tls, timing), request, show).await,
            }
        })
    }

    /// The observers, and what those on the network are asked with; of a record there are none.
    pub async fn observers(self) -> Result<(Vec<Address>, Option<ClientTls>)> {
        match self {
            Self::Observers(addresses, tls) => Ok((addresses, tls)),
            Self::Cluster(cluster) => Ok((cluster.connect().await?.observers().await?, None)),
            Self::File(_) => Ok((Vec::new(), None)),
        }
    }

    /// How patiently they are asked: a cluster's API may be far away, and finds them anew each time.
    pub fn timing(&self) -> Timing {
        let near = Timing::default();
        match self {
            Self::Cluster(_) => Timing {
                answer: near.answer.max(Duration::from_secs(15)),
                ..near
            },
            Self::Observers(..) | Self::File(_) => near,
        }
    }
}

/// What an observer answers. One that is not there is an error: it is not waited for.
async fn ask(
    address: &Address,
    tls: Option<&ClientTls>,
    request: GetFlowsRequest,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let client = relay::client(address, tls).await;
    let client = client
        .map_err(anyhow::Error::msg)
        .with_context(|| match address {
            Address::Forwarded(_) => format!("no observer answers at {address}"),
            Address::Socket(_) | Address::Tcp(..) => {
                format!(
                    "no observer answers at {address}: is `weir agent` running, and are you root?"
                )
            }
        });
    let mut client = client?;
    let said = |status: tonic::Status| anyhow!("{address}: {}", relay::reason(&status));
    let mut stream = client.get_flows(request).await.map_err(said)?.into_inner();
    while let Some(answer) = stream.message().await.map_err(said)? {
        if !show(answer)? {
            break;
        }
    }
    Ok(())
}

/// What several observers answer, as a relay puts it together.
async fn ask_all(
    (addresses, tls, timing): (Vec<Address>, Option<ClientTls>, Timing),
    request: GetFlowsRequest,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let peers = Arc::new(Peers::new(tls, timing));
    peers.set(&addresses.into_iter().collect());
    let relay = Relay::new(peers);
    let mut answers = relay
        .flows(request)
        .map_err(|status| anyhow!("{}", status.message()))?;
    while let Some(answer) = answers.recv().await {
        if !show(answer.map_err(|status| anyhow!("{}", status.message()))?)? {
            break;
        }
    }
    Ok(())
}

/// What a server would answer, from a record.
pub fn recorded(path: &Path, request: &GetFlowsRequest) -> Result<Vec<GetFlowsResponse>> {
    Ok(recorded::read(Lines::open(path)?, request)?)
}
