//! `weir ui`: a live map of flows in the browser.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use weir_gate::{Gate, descriptors::Share};
use weir_observe::api::observer::{
    GetFlowsRequest, ServerStatusRequest, observer_server::Observer as _,
};
use weir_ui::{Access, Options, Record, Remote, Token};

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
  weir ui --server 10.0.0.7:4244           another machine's
  weir ui --input-file flows.jsonl         a record (weir observe --all --why -o json > flows.jsonl)
  weir ui --listen 0.0.0.0:12000 --token-file /etc/weir/ui-token
";

/// A live map in the browser: who talks to whom, what was denied and why.
///
/// Serves until it is ended. Nothing can be changed from the page. Off this machine it opens for the
/// token only; that is HTTP without encryption, so put TLS in front of it or use a tunnel.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UiCommand {
    #[command(flatten)]
    place: Place,
    /// Where to serve the page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:12000")]
    listen: SocketAddr,
    /// File with the token that opens the page; without it one is made where --listen is not loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    gates: Served,
}

impl UiCommand {
    pub fn run(self) -> Result<()> {
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        let access = Access::at(self.listen, token)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let source = self.place.source()?;
        let options = Options {
            source: self.place.described(),
            recorded: matches!(source, Source::File(_)),
            access: access.clone(),
        };
        let router = match source {
            Source::File(path) => {
                let all = GetFlowsRequest::default();
                weir_ui::router(Record::new(recorded(&path, &all)?), options)
            }
            live => {
                let remote = Remote::new(live.observers()?);
                warn_of_absent(&runtime, &remote);
                weir_ui::router(remote, options)
            }
        };
        runtime.block_on(async {
            self.gates.serve().await?;
            let listener = tokio::net::TcpListener::bind(self.listen)
                .await
                .with_context(|| format!("cannot serve at {}", self.listen))?;
            let url = access.url(&authority(listener.local_addr()?)?);
            let mut out = io::stdout().lock();
            writeln!(out, "{url}").and_then(|()| out.flush())?;
            drop(out);
            let gate = Gate::of(Share::Ui);
            // Followers stay as long as they listen.
            weir_gate::http::serve(listener, gate, router, Duration::MAX).await;
            Ok(())
        })
    }
}

/// How a browser reaches an address: where it is every address of this machine, by the machine's name.
fn authority(address: SocketAddr) -> Result<String> {
    if !address.ip().is_unspecified() {
        return Ok(address.to_string());
    }
    let name = nix::unistd::gethostname().context("this machine's name")?;
    Ok(format!("{}:{}", name.to_string_lossy(), address.port()))
}

/// An observer that does not answer may begin later, so that this is no error; the page shows it, too.
fn warn_of_absent(runtime: &tokio::runtime::Runtime, remote: &Remote) {
    let request = tonic::Request::new(ServerStatusRequest {});
    let Ok(status) = runtime.block_on(remote.server_status(request)) else {
        return;
    };
    for name in status.into_inner().unavailable_nodes {
        eprintln!(
            "weir: no observer answers at {name} yet: is `weir agent` running, and are you root?"
        );
    }
}
