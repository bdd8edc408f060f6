//! What a lab's agent sends to an OpenTelemetry collector beside it, and other things that its processes
//! are told by their environment.

use std::process::Command;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use tonic::{Request, Response, Status, transport::Server};
use weir_lab::{Lab, Topology};

use crate::common::{
    Family, TestLab, WEIR, free_name, in_both_topologies, listen, scenario, wait_for, weir,
};

in_both_topologies!(logs_and_spans, denied_names);

const SLEEP: &str = "deploy/sleep";
const COLLECTOR: &str = "127.0.0.1:4317";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A lab whose processes have more in their environment; gone at the end.
struct Told(TestLab);

impl Told {
    fn up(topology: Topology, environment: (&str, &str)) -> Self {
        let name = free_name();
        let word = match topology {
            Topology::Routed => "routed",
            Topology::Bridge => "bridge",
        };
        let up = Command::new(WEIR)
            .args(["lab", "up", "--name", &name, "--topology", word, "-f"])
            .arg(scenario())
            .env(environment.0, environment.1)
            .output()
            .expect("the weir binary");
        assert!(up.status.success(), "{up:?}");
        let lab = Lab::open(&name).expect("the lab that came up");
        Self(TestLab { lab, name })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        weir(&["lab", "down", "--name", &self.0.name]);
    }
}

/// A collector that keeps what it is sent.
#[derive(Debug, Clone, Default)]
struct Taken {
    logs: Arc<Mutex<Vec<LogRecord>>>,
    spans: Arc<Mutex<Vec<Span>>>,
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

impl Taken {
    /// Serves in a lab's node until the process ends.
    fn serve(&self, lab: &TestLab) {
        let listener = listen(&lab.netns("@node"), COLLECTOR.parse().unwrap());
        listener.set_nonblocking(true).unwrap();
        let taken = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                Server::builder()
                    .add_service(LogsServiceServer::new(taken.clone()))
                    .add_service(TraceServiceServer::new(taken))
                    .serve_with_incoming(incoming)
                    .await
            })
        });
    }
}

/// A request of a trace is a span below its client's, a denial a log of that trace; nothing is made up
/// for a request without one.
fn logs_and_spans(topology: Topology) {
    let told = Told::up(topology, ("WEIR_OTLP", &format!("http://{COLLECTOR}")));
    let lab = &told.0;
    let taken = Taken::default();
    taken.serve(lab);
    lab.apply(crate::policies::ALLOW_GET_HEADERS);
    let header = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    lab.allowed(SLEEP, Family::V6, &["-H", &header, "httpbin:8000/headers"]);
    lab.forbidden(SLEEP, Family::V4, &["-H", &header, "httpbin:8000/ip"]);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // The collector came after the agent: it is found at the next try.
    wait_for("the denial as a log", || {
        lab.curl(SLEEP, Family::V4, &["-H", &header, "httpbin:8000/ip"]);
        let logs = taken.logs.lock().unwrap();
        logs.iter().any(|log| hex(&log.trace_id) == TRACE)
    });
    lab.allowed(SLEEP, Family::V6, &["-H", &header, "httpbin:8000/headers"]);
    wait_for("the request as a span", || {
        let spans = taken.spans.lock().unwrap();
        spans.iter().any(|span| {
            hex(&span.trace_id) == TRACE
                && hex(&span.parent_span_id) == "00f067aa0ba902b7"
                && format!("{:?}", span.attributes).contains("/headers")
        })
    });
    let spans = taken.spans.lock().unwrap().clone();
    assert!(
        spans.iter().all(|span| hex(&span.trace_id) == TRACE),
        "{spans:?}"
    );
    let seen = weir(&["observe", "--lab", &lab.name, "--all", "--trace-id", TRACE]);
    let seen = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.contains("/headers") && seen.contains("/ip"), "{seen}");
}

/// A denied query is answered as the proxy is told.
fn denied_names(topology: Topology) {
    let told = Told::up(topology, ("WEIR_DNS_REJECT", "nxdomain"));
    let lab = &told.0;
    lab.apply(
        "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: dns}, \
         spec: {endpointSelector: {matchLabels: {app: sleep}}, egress: [{toPorts: [\
         {ports: [{port: '53'}], rules: {dns: [{matchName: www.google.com}]}}]}]}}",
    );
    for transport in ["+notcp", "+tcp"] {
        let dig = lab.exec(SLEEP, &["dig", transport, "www.example.com"]);
        let said = String::from_utf8_lossy(&dig.stdout).into_owned();
        assert!(said.contains("status: NXDOMAIN"), "{transport}: {said}");
    }
}
