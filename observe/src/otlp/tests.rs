//! Everything against a collector that is scripted.

use std::{net::SocketAddr, sync::Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data},
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use weir_abi::policy::verdict;
use weir_link::proxy::{Application, L7Record};

use super::*;
use crate::{
    api::flow::Flow,
    record,
    redact::Redaction,
    testing::{names, passed, syn},
    why::Reasoner,
};

const SOON: Duration = Duration::from_secs(20);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the collector was sent.
#[derive(Debug, Clone, Default)]
struct Taken {
    logs: Arc<Mutex<Vec<LogRecord>>>,
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<Metric>>>,
}

#[tonic::async_trait]
impl LogsService for Taken {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let scopes = resources.flat_map(|of| of.scope_logs);
        self.logs
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|of| of.log_records));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|of| of.scope_spans);
        self.spans
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|of| of.spans));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Taken {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|of| of.scope_metrics);
        self.metrics
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|of| of.metrics));
        Ok(Response::new(Default::default()))
    }
}

impl Taken {
    async fn serve(&self, listener: TcpListener) {
        Server::builder()
            .add_service(LogsServiceServer::new(self.clone()))
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, wait).await;
        assert!(waited.is_ok(), "{what}: {self:?}");
    }
}

/// The records of a request with this trace.
fn asked(status: u16, traceparent: &str) -> Vec<Flow> {
    let mut request = passed(Some(status));
    if let Application::Http(http) = &mut request.application {
        http.headers = vec![("traceparent".into(), traceparent.into())];
    }
    flows(&request)
}

fn flows(request: &L7Record) -> Vec<Flow> {
    record::requests(request, &names(Vec::new()), &Redaction::default())
}

fn denied() -> Vec<Flow> {
    let names = crate::testing::policy(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {name: deny, namespace: default}, spec: {podSelector: {}}}",
    );
    let event = syn(&names, verdict::DENY);
    let reasons = Reasoner::new(&names).reasons(&event);
    record::verdicts(&event, SystemTime::now(), &names, &reasons)
}

/// A ring that is followed, and where it is sent.
fn following(address: SocketAddr) -> (Arc<Ring>, Arc<Metrics>) {
    let (ring, metrics) = (Arc::new(Ring::new(1000)), Arc::new(Metrics::new()));
    let options = OtlpOptions {
        endpoint: format!("http://{address}"),
        authority: None,
        every: Duration::from_millis(500),
    };
    start(&options, ring.clone(), metrics.clone(), "node", async || {}).unwrap();
    (ring, metrics)
}

fn put(ring: &Ring, flows: Vec<Flow>) {
    for flow in flows {
        ring.push(Item::Flow(Arc::new(flow)));
    }
    ring.publish();
}

#[tokio::test]
async fn a_denial_is_a_log_a_request_of_a_trace_a_span_and_metrics_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Taken::default();
    tokio::spawn({
        let taken = taken.clone();
        async move { taken.serve(listener).await }
    });
    let (ring, metrics) = following(address);
    // The exporter reads from where it begins.
    taken
        .until("metrics", |taken| !taken.metrics.lock().unwrap().is_empty())
        .await;
    put(&ring, denied());
    put(&ring, asked(200, TRACE));
    put(&ring, asked(503, &TRACE.replace("-01", "-00")));
    put(&ring, asked(200, "none"));
    taken
        .until("a log and a span", |taken| {
            !taken.logs.lock().unwrap().is_empty() && !taken.spans.lock().unwrap().is_empty()
        })
        .await;
    let logs = taken.logs.lock().unwrap().clone();
    assert_eq!(logs.len(), 1, "the denial, once: {logs:?}");
    assert_eq!(logs[0].severity_text, "WARN");
    let reason = logs[0].attributes.iter().find(|of| of.key == "weir.reason");
    assert!(format!("{reason:?}").contains("default deny of NetworkPolicy/default/deny"));
    let spans = taken.spans.lock().unwrap().clone();
    let [span] = spans.as_slice() else {
        panic!("one of a trace that is recorded: {spans:?}");
    };
    assert_eq!(span.trace_id[..2], [0x4b, 0xf9]);
    assert_eq!(
        span.parent_span_id,
        [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
    );
    assert!(span.span_id.len() == 8 && span.span_id != span.parent_span_id);
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    let status = span
        .attributes
        .iter()
        .find(|of| of.key == "http.response.status_code");
    assert!(format!("{status:?}").contains("200"), "{span:?}");
    // They are counted when the collector's answer has come.
    taken
        .until("both are counted", |_| {
            let text = metrics.text().unwrap();
            text.contains("weir_otlp_sent_total 2\n")
        })
        .await;
    let families = taken.metrics.lock().unwrap().clone();
    let build = families.iter().find(|of| of.name == "weir_build_info");
    assert!(matches!(
        build.and_then(|of| of.data.as_ref()),
        Some(Data::Gauge(_))
    ));
}

/// Nothing waits for a collector that is away, and what it misses is counted.
#[tokio::test]
async fn a_dead_collector_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (ring, metrics) = following(address);
    let dropped = || {
        let text = metrics.text().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("weir_otlp_dropped_total "));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok())
    };
    let deadline = Instant::now() + SOON;
    while dropped() < Some(500) {
        let begin = Instant::now();
        for _ in 0..100 {
            put(&ring, denied());
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "the writer waits");
        assert!(Instant::now() < deadline, "not counted: {:?}", dropped());
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn an_endpoint_that_is_none_is_refused() {
    for (endpoint, said) in [
        ("collector:4317", "needs http://HOST:PORT"),
        ("ftp://collector", "needs http://HOST:PORT"),
        ("https://collector:4317", "needs --otlp-ca"),
        ("http://", "http://"),
    ] {
        let options = OtlpOptions {
            endpoint: endpoint.into(),
            authority: None,
            every: GATHER,
        };
        let error = send::endpoint(&options).unwrap_err().to_string();
        assert!(error.contains(said), "{endpoint}: {error}");
    }
}
