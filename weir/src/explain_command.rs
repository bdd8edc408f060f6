//! `weir explain`: the verdict on one flow, and everything that led to it.

pub mod show;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use weir_link::tools::Explain;
use weir_policy::{
    explain::{Explainer, Explanation},
    model::Protocol,
    verdict::{Flow, HttpRequest},
};

use crate::{
    ask::WhichAgent,
    manifests::{self, Played},
    screen::Output,
};

const EXAMPLES: &str = "Examples:
  weir explain -f manifests/ --from default/sleep --to default/httpbin --port 80
  weir explain -f manifests/ --from deploy/sleep --to svc/httpbin --port 8000 --http 'GET /headers?x=1'
  weir explain -f manifests/ --from sleep/visitor --to 192.0.2.7 --port 53 --protocol udp -o json
  helm template chart | weir explain -f - --namespace shop --from shop/web --to shop/db --port 5432
  weir explain --instance weir --from default/sleep --to default/httpbin --port 80   # a running agent
  weir explain --context production --from shop/web --to svc/db.shop --port postgres  # a cluster's

An end is NAMESPACE/POD, NAMESPACE/WORKLOAD, pod/NAME, deploy/NAME, node/NAME, svc/NAME or its DNS name
NAME.NAMESPACE.svc (destination only), or an address;
the namespace is `default` where none is written, whatever --namespace says of the manifests.
";

/// Say which verdict a flow gets, which rule decided, and which rule came nearest to allowing it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainCommand {
    /// Manifests: files or folders; `-` is standard input
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "PATH", num_args = 1..)]
    #[arg(conflicts_with_all = ["instance", "lab", "remote", "context", "kubeconfig", "weir_namespace"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    played: Played,
    #[command(flatten)]
    agent: WhichAgent,
    /// Who opens the connection
    #[arg(long, value_name = "END")]
    from: String,
    /// To whom
    #[arg(long, value_name = "END")]
    to: String,
    /// Destination port, by its number or its name: the pod's own, or the service's where `--to` is one
    #[arg(long, value_parser = port)]
    port: Option<Port>,
    /// Protocol
    #[arg(long, value_enum, default_value_t = ProtocolName::Tcp, ignore_case = true)]
    protocol: ProtocolName,
    /// A request on it: `METHOD PATH`, or a path
    #[arg(long, value_name = "REQUEST")]
    http: Option<String>,
    /// A header of the request: `Name: value`
    #[arg(long = "header", value_name = "HEADER", requires = "http")]
    headers: Vec<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProtocolName {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl ExplainCommand {
    pub fn run(self) -> Result<ExitCode> {
        let flow = self.flow()?;
        let mut whole = Ok(());
        let explanation: Explanation = match self.files.is_empty() {
            true if !self.agent.said() => {
                bail!("say whose rules: -f PATH, --lab, --instance or --context")
            }
            true => self.agent.ask_one(Explain(flow))?,
            false => {
                let reading = manifests::reading(&self.files, &self.played)?;
                whole = reading.whole();
                Explainer::new(&reading.world).explain(&flow)?
            }
        };
        self.output
            .show(&explanation, || show::lines(&explanation).join("\n"))?;
        whole?;
        Ok(ExitCode::SUCCESS)
    }

    fn flow(&self) -> Result<Flow> {
        let mut http = self.http.as_deref().map(request).transpose()?;
        for text in &self.headers {
            let (name, value) = text
                .split_once(':')
                .with_context(|| format!("--header {text:?}: write `Name: value`"))?;
            let name = name.trim().to_owned();
            if name.eq_ignore_ascii_case("host") {
                if let Some(http) = &mut http {
                    http.host = Some(value.trim().to_owned());
                }
            } else if let Some(http) = &mut http {
                http.headers.insert(name, value.trim().to_owned());
            }
        }
        let protocol = match self.protocol {
            ProtocolName::Tcp => Protocol::Tcp,
            ProtocolName::Udp => Protocol::Udp,
            ProtocolName::Sctp => Protocol::Sctp,
            ProtocolName::Icmp => Protocol::Icmp,
        };
        if protocol != Protocol::Icmp && self.port.is_none() {
            bail!("--port is missing: {protocol} needs one");
        }
        let (port, port_name) = match self.port.clone() {
            Some(Port::Number(port)) => (Some(port), None),
            Some(Port::Name(name)) => (None, Some(name)),
            None => (None, None),
        };
        Ok(Flow {
            from: self.from.clone(),
            to: self.to.clone(),
            protocol,
            port,
            port_name,
            http,
        })
    }
}

/// A port on the command line.
#[derive(Debug, Clone)]
enum Port {
    Number(u16),
    Name(String),
}

/// A port's number, or a name as Kubernetes takes it.
fn port(text: &str) -> Result<Port, String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = text.len() <= 15 && text.chars().all(letter);
    match text.parse() {
        Ok(number @ 1..) => Ok(Port::Number(number)),
        Err(_) if name && text.contains(|c: char| c.is_ascii_lowercase()) => {
            Ok(Port::Name(text.to_owned()))
        }
        _ => Err("is no port from 1 to 65535 and no name of one".to_owned()),
    }
}

/// `METHOD PATH`, or a path alone for GET.
fn request(text: &str) -> Result<HttpRequest> {
    let (method, path) = match text.trim().split_once(' ') {
        Some((method, path)) => (method, path.trim()),
        None => ("GET", text.trim()),
    };
    if !path.starts_with('/') && path != "*" {
        bail!("--http {text:?}: write `METHOD /PATH`, or `/PATH` for GET");
    }
    Ok(HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: None,
        headers: BTreeMap::new(),
    })
}
