//! What an agent records of flows, as its flags say.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use weir_agent::ObserveOptions;
use weir_link::Instance;
use weir_observe::{
    log::LogOptions,
    serve::{Tcp, Tls},
};

/// Where flow logs are, unless it is said otherwise.
const LOGS: &str = "/var/log/weir";

/// What is recorded of flows, and who can read it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Observing")]
pub struct ObserveFlags {
    /// Records kept in memory; 0: nothing is recorded, logged or counted of flows
    #[arg(
        long,
        default_value_t = 16_384,
        value_name = "NUMBER",
        env = "WEIR_FLOW_RECORDS"
    )]
    flow_records: usize,
    /// Log of flows, one line each; `none`: no log [default: /var/log/weir/flows.log, another
    /// instance's /var/log/weir/NAME-flows.log]
    #[arg(long, value_name = "FILE")]
    flow_log: Option<PathBuf>,
    /// Log what was allowed, too
    #[arg(long, env = "WEIR_FLOW_LOG_ALL")]
    flow_log_all: bool,
    /// Log as JSON lines
    #[arg(long)]
    flow_log_json: bool,
    /// Size at which a new log begins; three older ones are kept
    #[arg(long, default_value_t = 10 << 20, value_name = "BYTES")]
    flow_log_bytes: usize,
    /// Leave query strings out of what is recorded
    #[arg(long)]
    redact_query: bool,
    /// Record the values of these headers (never those of Authorization and Cookie)
    #[arg(long, value_delimiter = ',', value_name = "HEADER")]
    show_headers: Vec<String>,
    /// Serve the observer on TCP, too, for hubble clients on other machines
    #[arg(long, value_name = "ADDRESS")]
    observe: Option<SocketAddr>,
    /// Certificate for --observe, PEM
    #[arg(long, value_name = "FILE", requires_all = ["observe", "observe_key"])]
    observe_cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "observe_cert")]
    observe_key: Option<PathBuf>,
    /// Serve only clients with a certificate of this authority, PEM
    #[arg(long, value_name = "FILE", requires = "observe_cert")]
    observe_client_ca: Option<PathBuf>,
    /// Serve /metrics on this address
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl ObserveFlags {
    /// What they say of an instance.
    pub fn options(self, instance: &Instance) -> ObserveOptions {
        let tls = self.observe_cert.zip(self.observe_key);
        let path = match self.flow_log {
            Some(path) => path,
            None => PathBuf::from(LOGS).join(match instance.name() {
                "weir" => "flows.log".to_owned(),
                other => format!("{other}-flows.log"),
            }),
        };
        let log = LogOptions {
            all: self.flow_log_all,
            json: self.flow_log_json,
            bytes: self.flow_log_bytes,
            ..LogOptions::new(path.clone())
        };
        let shown = self.show_headers.iter();
        ObserveOptions {
            records: self.flow_records,
            log: Some(log).filter(|_| path.as_os_str() != "none"),
            redact_query: self.redact_query,
            show_headers: shown.map(|name| name.to_ascii_lowercase()).collect(),
            tcp: self.observe.map(|address| Tcp {
                address,
                tls: tls.map(|(certificate, key)| Tls {
                    certificate,
                    key,
                    client_ca: self.observe_client_ca,
                }),
            }),
            metrics: self.metrics,
        }
    }
}
