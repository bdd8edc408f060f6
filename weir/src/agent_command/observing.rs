//! What an agent records of flows, as its flags say.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use weir_agent::ObserveOptions;
use weir_link::Instance;
use weir_observe::{
    export::ExportOptions,
    flags::{self, FlagError, Lists},
    log::LogOptions,
    metrics::http::MetricsOptions,
    otlp::OtlpOptions,
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
    /// File of a token that whoever asks for metrics must show (Authorization: Bearer): they name
    /// workloads and policies
    #[arg(long, value_name = "FILE", requires = "metrics")]
    metrics_token_file: Option<PathBuf>,
    /// Write flows to a file, one JSON object a line, as `weir observe -o jsonpb` does; three older files
    /// are kept
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Export only flows that this filter matches, or another one (JSON, as `hubble observe --allowlist`)
    #[arg(long, value_name = "JSON", requires = "export", value_parser = allowed)]
    export_allow: Vec<Lists>,
    /// Export no flow that this filter matches
    #[arg(long, value_name = "JSON", requires = "export", value_parser = denied)]
    export_deny: Vec<Lists>,
    /// Export only these fields of flows, such as source.pod_name
    #[arg(long, value_delimiter = ',', value_name = "FIELD", requires = "export")]
    export_fields: Vec<String>,
    /// Size at which a new export begins
    #[arg(long, default_value_t = 10 << 20, value_name = "BYTES")]
    export_bytes: usize,
    /// Send denials as logs, requests of a trace as spans, and metrics to an OpenTelemetry collector
    /// (OTLP over gRPC): http://HOST:4317
    #[arg(long, value_name = "URL", env = "WEIR_OTLP")]
    otlp: Option<String>,
    /// Authority of the collector's certificate, PEM; for https://
    #[arg(long, value_name = "FILE", requires = "otlp")]
    otlp_ca: Option<PathBuf>,
    /// Seconds between two times that metrics are sent to the collector
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    otlp_every: u64,
}

fn allowed(text: &str) -> Result<Lists, FlagError> {
    flags::read([(flags::ALLOW, text)])
}

fn denied(text: &str) -> Result<Lists, FlagError> {
    flags::read([(flags::DENY, text)])
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
            metrics: self.metrics.map(|address| MetricsOptions {
                address,
                token: self.metrics_token_file,
            }),
            export: self.export.map(|path| ExportOptions {
                path,
                lists: Lists {
                    allow: self
                        .export_allow
                        .into_iter()
                        .flat_map(|of| of.allow)
                        .collect(),
                    deny: self
                        .export_deny
                        .into_iter()
                        .flat_map(|of| of.deny)
                        .collect(),
                },
                fields: self.export_fields,
                bytes: self.export_bytes,
                files: 3,
            }),
            otlp: self.otlp.map(|endpoint| OtlpOptions {
                endpoint,
                authority: self.otlp_ca,
                every: Duration::from_secs(self.otlp_every),
            }),
        }
    }
}
