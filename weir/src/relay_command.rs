//! `weir relay`: one address for the flows of all nodes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args};
use tokio::signal::unix::{SignalKind, signal};
use weir_observe::{
    api::peer::peer_server::PeerServer,
    relay::{Address, ClientTls, DnsName, PeerService, Peers, Relay, Sources, Timing},
    serve::{self, Tcp, Tls},
};

use weir_ui::Options;

use crate::{gates::Served, ui_command};

const EXAMPLES: &str = "Examples:
  weir relay --peer 192.0.2.1:4244 --peer 192.0.2.2:4244
  weir relay --lab lab                            the nodes of a lab
  weir relay --peers-file /etc/weir/peers         one address a line; read again when it changes
  weir relay --peers-dns weir-observer.weir:4244 --listen '[::]:4245' \\
    --peer-ca ca.crt --peer-cert tls.crt --peer-key tls.key --peer-server-name weir-observer \\
    --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.crt
  weir observe --server localhost:4245 --print-node-name
";

/// Ask the observers of all nodes, and answer as one.
///
/// Flows come in the order of their times. A node that fails or is slow is named and does not stop
/// the others. `weir observe --server` and `hubble --server` ask the relay like an agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("peers").required(true).multiple(true).args(["peer", "peers_file", "peers_dns", "lab"]))]
pub struct RelayCommand {
    /// An observer: HOST:PORT or unix:///PATH
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<Address>,
    /// File with one observer's address a line; changes are taken over
    #[arg(long, value_name = "FILE")]
    peers_file: Option<PathBuf>,
    /// A name that stands for all observers, such as a headless service; resolved again and again
    #[arg(long, value_name = "NAME:PORT")]
    peers_dns: Option<DnsName>,
    /// The observers of a lab's nodes
    #[arg(long, value_name = "NAME")]
    lab: Option<String>,
    /// Seconds between two looks at the file and the name
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    refresh: u64,
    /// Milliseconds that a followed flow waits for older ones of other nodes
    #[arg(long, default_value_t = 300, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    window: u64,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    answering: Answering,
    /// Serve the live map in the browser on this address, too (see weir ui)
    #[arg(long, value_name = "ADDRESS")]
    ui: Option<SocketAddr>,
    /// File with the token that opens the page; without it one is made where --ui is not loopback
    #[arg(long, value_name = "FILE", requires = "ui")]
    ui_token_file: Option<PathBuf>,
    #[command(flatten)]
    gates: Served,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Asking observers")]
struct Asking {
    /// Authority of the observers' certificates, PEM; without it they are asked without TLS
    #[arg(long, value_name = "FILE")]
    peer_ca: Option<PathBuf>,
    /// The relay's certificate for them, PEM
    #[arg(long, value_name = "FILE", requires_all = ["peer_ca", "peer_key"])]
    peer_cert: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "peer_cert")]
    peer_key: Option<PathBuf>,
    /// Name that their certificates are for [default: the address; the name of --peers-dns]
    #[arg(long, value_name = "NAME", requires = "peer_ca")]
    peer_server_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Answering clients")]
struct Answering {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4245", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Listen on this Unix socket, too; only its owner may use it
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Certificate for --listen, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve only clients with a certificate of this authority, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl RelayCommand {
    pub fn run(self) -> Result<ExitCode> {
        let tls = self.client_tls()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(self.serve(tls))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self, tls: Option<ClientTls>) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let timing = Timing {
            window: Duration::from_millis(self.window),
            ..Timing::default()
        };
        let peers = Arc::new(Peers::new(tls, timing));
        let mut fixed = self.peer;
        if let Some(lab) = &self.lab {
            let sockets = weir_lab::Lab::open(lab)?.observers()?;
            fixed.extend(sockets.into_iter().map(Address::Socket));
        }
        let mut sources = Sources::new(fixed, self.peers_file, self.peers_dns)?;
        peers.set(&sources.look().await);
        let relay = Relay::new(Arc::clone(&peers));
        self.gates.serve().await?;
        if let Some(address) = self.ui {
            page(address, self.ui_token_file.as_deref(), relay.clone()).await?;
        }
        let routes = serve::routes(relay)
            .await
            .add_service(PeerServer::new(PeerService::new(Arc::clone(&peers))));
        if let Some(path) = &self.answering.socket {
            serve::unix(routes.clone(), path).await?;
            tracing::info!(path = %path.display(), "the relay answers");
        }
        let tcp = self.answering.tcp();
        if tcp.tls.is_none() && !tcp.address.ip().is_loopback() {
            tracing::warn!(address = %tcp.address, "everybody who reaches this address can read flows: give --tls-cert");
        }
        let address = serve::tcp(routes, &tcp).await?;
        tracing::info!(%address, "the relay answers");
        let mut look = tokio::time::interval(Duration::from_secs(self.refresh));
        look.tick().await;
        loop {
            tokio::select! {
                _ = look.tick() => peers.set(&sources.look().await),
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }

    fn client_tls(&self) -> Result<Option<ClientTls>> {
        let asking = &self.asking;
        let Some(authority) = asking.peer_ca.clone() else {
            return Ok(None);
        };
        let name = self.peers_dns.as_ref().map(|name| name.host.clone());
        let tls = ClientTls {
            authority,
            identity: asking.peer_cert.clone().zip(asking.peer_key.clone()),
            server_name: asking.peer_server_name.clone().or(name),
        };
        // They are read for each connection: a wrong name is told now all the same.
        tls.config()
            .map_err(anyhow::Error::msg)
            .context("the certificates for the observers")?;
        Ok(Some(tls))
    }
}

/// Serves the map in the browser.
async fn page(address: SocketAddr, token: Option<&Path>, relay: Relay) -> Result<()> {
    let options = Options {
        source: "all nodes".to_owned(),
        recorded: false,
        access: ui_command::access(address, token)?,
        // A relay has no manifests.
        foresight: None,
    };
    let (url, served) = ui_command::page(address, relay, options).await?;
    tracing::info!(url, "the map is served");
    tokio::spawn(served);
    Ok(())
}

impl Answering {
    fn tcp(&self) -> Tcp {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        Tcp {
            address: self.listen,
            tls: tls.map(|(certificate, key)| Tls {
                certificate,
                key,
                client_ca: self.tls_client_ca.clone(),
            }),
        }
    }
}
