//! The collector: three services behind one connection, which is made when it is first needed.

use std::{io, time::Duration};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    common::v1::InstrumentationScope,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{OtlpOptions, attributes::text};

/// How long a connection, and an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is sent everything.
pub(super) struct Collector {
    logs: LogsServiceClient<Channel>,
    spans: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    resource: Resource,
}

/// The endpoint of the options; nothing is asked of it yet.
///
/// # Errors
/// It is none, or the authority cannot be read.
pub(super) fn endpoint(options: &OtlpOptions) -> io::Result<Endpoint> {
    let wrong = |reason: String| {
        let reason = format!("--otlp {}: {reason}", options.endpoint);
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    };
    let endpoint = Endpoint::from_shared(options.endpoint.clone())
        .map_err(|error| wrong(error.to_string()))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    let secure = match options.endpoint.split_once("://") {
        Some(("http", _)) => return Ok(endpoint),
        Some(("https", _)) => options.authority.as_ref(),
        _ => {
            return Err(wrong(
                "needs http://HOST:PORT or https://HOST:PORT".to_owned(),
            ));
        }
    };
    let path = secure.ok_or_else(|| wrong("https:// needs --otlp-ca".to_owned()))?;
    let pem = std::fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    let secured = endpoint.tls_config(tls);
    secured.map_err(|error| wrong(error.to_string()))
}

// === impl Collector ===

impl Collector {
    /// The collector of an endpoint. To be called in the runtime that sends.
    pub(super) fn new(endpoint: &Endpoint, node: &str) -> Self {
        let channel = endpoint.connect_lazy();
        Self {
            logs: LogsServiceClient::new(channel.clone()),
            spans: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel),
            resource: Resource {
                attributes: vec![
                    text("service.name", "weir"),
                    text("service.version", env!("CARGO_PKG_VERSION")),
                    text("k8s.node.name", node),
                ],
                ..Resource::default()
            },
        }
    }

    /// Sends log records; none cost nothing.
    pub(super) async fn logs(&mut self, log_records: Vec<LogRecord>) -> Result<(), Status> {
        if log_records.is_empty() {
            return Ok(());
        }
        let scope_logs = vec![ScopeLogs {
            scope: scope(),
            log_records,
            ..ScopeLogs::default()
        }];
        let resource_logs = vec![ResourceLogs {
            resource: Some(self.resource.clone()),
            scope_logs,
            ..ResourceLogs::default()
        }];
        let request = ExportLogsServiceRequest { resource_logs };
        self.logs.export(request).await.map(drop)
    }

    /// Sends spans.
    pub(super) async fn spans(&mut self, spans: Vec<Span>) -> Result<(), Status> {
        if spans.is_empty() {
            return Ok(());
        }
        let scope_spans = vec![ScopeSpans {
            scope: scope(),
            spans,
            ..ScopeSpans::default()
        }];
        let resource_spans = vec![ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans,
            ..ResourceSpans::default()
        }];
        let request = ExportTraceServiceRequest { resource_spans };
        self.spans.export(request).await.map(drop)
    }

    /// Sends metrics.
    pub(super) async fn metrics(&mut self, metrics: Vec<Metric>) -> Result<(), Status> {
        let scope_metrics = vec![ScopeMetrics {
            scope: scope(),
            metrics,
            ..ScopeMetrics::default()
        }];
        let resource_metrics = vec![ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics,
            ..ResourceMetrics::default()
        }];
        let request = ExportMetricsServiceRequest { resource_metrics };
        self.metrics.export(request).await.map(drop)
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "weir".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}
