//! `weir proxy`: the per-node HTTP proxy as a process of its own.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use weir_link::Instance;
use weir_policy::model::Direction;
use weir_proxy::{
    context::{DeniedQuery, Limits},
    process::{self, ProxyConfig},
    worker::Place,
};
use weir_redirector::network::netns;

/// Run the per-node HTTP proxy
///
/// Enters the network namespaces NAME-ingress and NAME-egress, opens its listeners there, gives up
/// every privilege but CAP_NET_RAW, and serves the connections that the agent steers to it. Policy
/// comes from the agent over /run/weir/NAME/proxy.sock; until the first snapshot every connection
/// is reset. Without the agent it goes on with the last snapshot.
///
/// To upgrade without losing a connection, start the new proxy, wait until the agent steers to it,
/// and send SIGTERM to the old one: it finishes what is open, for as long as --drain says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  Serve the instance `weir` with one worker for each core and direction:
    weir proxy

  Serve another instance, with two workers for each direction:
    weir proxy --instance lab --workers 2

  Stop, with at most ten seconds for open connections (given at start):
    weir proxy --drain 10s & kill $!")]
pub struct ProxyCommand {
    /// Instance, as given to `weir agent`
    #[arg(long = "instance", alias = "name", value_name = "NAME", default_value = "weir", value_parser = Instance::new)]
    name: Instance,

    /// Worker threads for each direction [default: one for each core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// How long a request's head may take, from its first byte
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_time)]
    head_timeout: Duration,

    /// Most bytes of a request's path with its query; longer ones are answered with 414
    #[arg(long, default_value_t = Limits::default().path, value_name = "BYTES")]
    max_path: usize,

    /// How long a connection to a server may take
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_time)]
    connect_timeout: Duration,

    /// How long a server may take to ask for a body whose client waits for that (100 Continue)
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_time)]
    continue_timeout: Duration,

    /// How long open connections may go on after SIGTERM
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_time)]
    drain: Duration,

    /// Most connections at once for each worker; more wait
    #[arg(long, default_value_t = Limits::default().connections, value_name = "N")]
    connections: usize,

    /// How a DNS query is answered that policy denies; `nxdomain` where pods have musl, which ends its
    /// search at `refused`
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "CODE",
        env = "WEIR_DNS_REJECT"
    )]
    dns_reject: DnsReject,

    /// Wait until the agent has made the private networks, in place of failing
    #[arg(long)]
    wait: bool,

    /// Where the agent listens [default: /run/weir/NAME/proxy.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// What a client hears whose DNS query is denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum DnsReject {
    #[default]
    Refused,
    Nxdomain,
}

impl ProxyCommand {
    /// Serves until SIGTERM or SIGINT and the end of the drain.
    ///
    /// # Errors
    /// The namespaces cannot be entered, privileges cannot be given up, or a worker failed.
    pub fn run(self) -> anyhow::Result<()> {
        let workers = match self.workers {
            Some(workers) => workers,
            None => std::thread::available_parallelism()
                .context("cannot count cores")?
                .get(),
        };
        let limits = Limits {
            head_timeout: self.head_timeout,
            path: self.max_path,
            connect_timeout: self.connect_timeout,
            continue_timeout: self.continue_timeout,
            stall_timeout: Limits::default().stall_timeout,
            drain: self.drain,
            connections: self.connections.max(1),
            denied_query: match self.dns_reject {
                DnsReject::Refused => DeniedQuery::Refused,
                DnsReject::Nxdomain => DeniedQuery::NameError,
            },
        };
        let mut config = ProxyConfig::of_instance(&self.name, workers, limits);
        if let Some(socket) = self.socket {
            config.socket = socket;
        }
        if self.wait {
            wait_for(&config.places);
        }
        process::run(config).with_context(|| format!("proxy of instance {}", self.name.name()))
    }
}

/// Agent and proxy of a pod start at the same time, and a signal ends the process as ever.
fn wait_for(places: &[(Direction, Place)]) {
    let missing = || {
        places.iter().find_map(|(_, place)| match place {
            Place::Netns(path) if !matches!(netns::is_netns(path), Ok(true)) => Some(path),
            _ => None,
        })
    };
    if let Some(path) = missing() {
        tracing::info!(path = %path.display(), "waiting for the agent to make the private networks");
    }
    while missing().is_some() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A number with `ms`, `s` or `m`; a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a time such as 10s".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => number
            .checked_mul(60)
            .map(Duration::from_secs)
            .ok_or_else(|| "too long".to_owned()),
        _ => Err("expected a time in ms, s or m".to_owned()),
    }
}
