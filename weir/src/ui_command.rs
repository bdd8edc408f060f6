//! `weir ui`: a live map of flows in the browser.

mod pending;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use weir_gate::{Gate, descriptors::Share};
use weir_observe::{
    api::observer::{GetFlowsRequest, ServerStatusRequest, observer_server::Observer},
    relay::{Address, Peers, Relay, Timing},
};
use weir_ui::{Access, Options, Record, Token};

use crate::{
    gates::Served,
    observe_command::{
        Place,
        source::{Source, recorded},
    },
};

const EXAMPLES: &str = "Examples:
  weir ui                                  flows of this node: http://127.0.0.1:12000/
  weir ui --lab lab                        a lab's flows
  weir ui --context production             a cluster's, of all its nodes
  weir ui --server 10.0.0.7:4244           another machine's
  weir ui --input-file flows.jsonl         a record (weir observe --all --why -o json > flows.jsonl)
  weir ui --manifests deploy/policies/     and what a policy would change, before it is applied
  weir ui --listen 0.0.0.0:12000 --token-file /etc/weir/ui-token
";

/// A connection lives for so long: a page that follows connects again by itself.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// A live map in the browser: who talks to whom, what was denied and why.
///
/// Serves until it is ended. Nothing can be changed from the page. Off this machine it opens for the
/// token only; that is HTTP without encryption, so put TLS in front of it or use a tunnel.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UiCommand {
    #[command(flatten)]
    place: Place,
    /// Namespace that Weir is installed in, as --weir-namespace
    #[arg(short, long, conflicts_with_all = ["instance", "lab", "server", "input_file", "weir_namespace"])]
    namespace: Option<String>,
    /// Print how to open the page, and open no browser
    #[arg(long)]
    no_browser: bool,
    /// Where to serve the page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:12000")]
    listen: SocketAddr,
    /// File with the token that opens the page; without it one is made where --listen is not loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What is in force, files or folders: the page then says what a pending policy would change
    /// [default: a lab's own]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    manifests: Vec<PathBuf>,
    #[command(flatten)]
    gates: Served,
}

impl UiCommand {
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let place = self.place.or_in(self.namespace);
        let source = place.source()?;
        let options = Options {
            source: place.described(),
            recorded: matches!(source, Source::File(_)),
            access: access(self.listen, self.token_file.as_deref())?,
            foresight: pending::foresight(&place, self.manifests)?,
        };
        runtime.block_on(async {
            self.gates.serve().await?;
            let browser = !self.no_browser;
            match source {
                Source::File(path) => {
                    let all = GetFlowsRequest::default();
                    let record = Record::new(recorded(&path, &all)?);
                    serve(self.listen, record, options, browser).await
                }
                source => {
                    let patience = source.timing();
                    let (addresses, tls) = source.observers().await?;
                    let peers = Arc::new(Peers::new(tls, timing(patience, &addresses)));
                    peers.set(&addresses.into_iter().collect());
                    let relay = Relay::new(peers);
                    warn_of_absent(&relay).await;
                    serve(self.listen, relay, options, browser).await
                }
            }
        })
    }
}

/// Prints how a browser opens the page, opens one where there is one, and serves the page.
async fn serve(
    address: SocketAddr,
    source: impl Observer,
    options: Options,
    browser: bool,
) -> Result<()> {
    let (url, served) = page(address, source, options).await?;
    let mut out = io::stdout().lock();
    writeln!(out, "{url}").and_then(|()| out.flush())?;
    drop(out);
    if browser && has_display() {
        // Whoever has no browser has the URL.
        if let Err(error) = open::that_detached(&url) {
            tracing::debug!(%error, "no browser");
        }
    }
    served.await;
    Ok(())
}

/// Whether a browser would have a window: a text browser would take the terminal.
#[expect(
    clippy::disallowed_methods,
    reason = "how a session says that it has a display"
)]
fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Who may open the page at an address.
pub fn access(address: SocketAddr, token: Option<&Path>) -> Result<Access> {
    let token = token.map(Token::read).transpose()?;
    Ok(Access::at(address, token)?)
}

/// The page, once it can be opened: by this URL, as long as the future runs.
pub async fn page(
    address: SocketAddr,
    source: impl Observer,
    options: Options,
) -> Result<(String, impl Future<Output = ()>)> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve the map at {address}"))?;
    let url = options.access.url(&authority(listener.local_addr()?)?);
    let router = weir_ui::router(source, options);
    let served = weir_gate::http::serve(listener, Gate::of(Share::Ui), router, LIFE);
    Ok((url, served))
}

/// How a browser reaches an address: where it is every address of this machine, by the machine's name.
fn authority(address: SocketAddr) -> Result<String> {
    if !address.ip().is_unspecified() {
        return Ok(address.to_string());
    }
    let name = nix::unistd::gethostname().context("this machine's name")?;
    Ok(format!("{}:{}", name.to_string_lossy(), address.port()))
}

/// Somebody looks at the page: an agent that comes back is on it soon, and where there is one alone
/// nothing waits for the flows of others.
fn timing(patience: Timing, observers: &[Address]) -> Timing {
    let far = observers
        .iter()
        .any(|of| matches!(of, Address::Forwarded(_)));
    Timing {
        answer: match far {
            true => patience.answer,
            false => Duration::from_secs(2),
        },
        retry_most: Duration::from_secs(4),
        window: match observers.len() > 1 {
            true => patience.window,
            false => Duration::ZERO,
        },
        ..patience
    }
}

/// An observer that does not answer may begin later, so that this is no error; the page shows it, too.
async fn warn_of_absent(relay: &Relay) {
    let request = tonic::Request::new(ServerStatusRequest {});
    let Ok(status) = relay.server_status(request).await else {
        return;
    };
    for name in status.into_inner().unavailable_nodes {
        eprintln!(
            "weir: no observer answers at {name} yet: is `weir agent` running, and are you root?"
        );
    }
}
