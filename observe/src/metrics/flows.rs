//! What is counted of flows: Hubble's metrics.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    time::{Duration, Instant, SystemTime},
};

use prometheus::{HistogramVec, IntCounterVec};
use weir_abi::event::{Ended, Event};
use weir_link::proxy::{Application, Disposition, HttpRecord, L7Record};
use weir_policy::model::{Direction, Policy};

use super::{
    ended::EndedMetrics,
    family::{Family, Live, NONE, OTHER},
    labels::{self, direction, ends, kinds, protocol_name, protocol_of},
    open::{Exemplar, Exemplars},
    registry::{Counter, Documented, Gauge},
};
use crate::{
    api::flow::{
        Dns, Flow, IpVersion, L7FlowType, LostEventSource, Verdict, layer4::Protocol,
        layer7::Record,
    },
    names::{Directory, identity},
    print, record,
    trace::{Parent, TRACEPARENT},
};

/// Both ends, as Hubble's context labels have them.
const ENDS: [&str; 4] = [
    "source_namespace",
    "source_workload",
    "destination_namespace",
    "destination_workload",
];
/// Of a query: the server is the same for nearly all.
const DNS: [&str; 5] = [
    "rcode",
    "qtypes",
    "ips_returned",
    "source_namespace",
    "source_workload",
];
/// Seconds; a request of a local service takes a millisecond or two.
const LATENCIES: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// The family that has exemplars.
pub const DURATIONS: &str = "hubble_http_request_duration_seconds";
/// Where events can be lost.
const LOSSES: [LostEventSource; 2] = [
    LostEventSource::PerfEventRingBuffer,
    LostEventSource::ObserverEventsQueue,
];
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
];

/// The families about flows.
#[derive(Debug)]
pub struct FlowMetrics {
    processed: Family<IntCounterVec>,
    drops: Family<IntCounterVec>,
    verdicts: Family<IntCounterVec>,
    denials: Family<IntCounterVec>,
    requests: Family<IntCounterVec>,
    calls: Family<IntCounterVec>,
    durations: Family<HistogramVec>,
    ports: Family<IntCounterVec>,
    icmp: Family<IntCounterVec>,
    queries: Family<IntCounterVec>,
    responses: Family<IntCounterVec>,
    response_types: Family<IntCounterVec>,
    flags: Family<IntCounterVec>,
    world: Family<IntCounterVec>,
    ended: EndedMetrics,
    lost: Family<IntCounterVec>,
    repeats: Counter,
    /// What the policies in force say, by hash: `None` before the first.
    policies: Option<Vec<u64>>,
    policies_changed: Gauge,
    /// Of the durations of requests.
    exemplars: Exemplars,
}

// === impl FlowMetrics ===

impl FlowMetrics {
    pub fn new(all: &mut Documented) -> Self {
        let with_ends = |first: &[&'static str]| -> Vec<&'static str> {
            first.iter().copied().chain(ENDS).collect()
        };
        let mut lost = all.counters(
            "hubble_lost_events_total",
            "Events that no record was made of.",
            &["source"],
        );
        // A rate needs a count to begin with.
        for source in LOSSES {
            lost.add(&[&source.as_str_name().to_lowercase()], 0);
        }
        let ended = EndedMetrics::new(all, with_ends);
        Self {
            processed: all.counters(
                "hubble_flows_processed_total",
                "Records made of flows.",
                &with_ends(&["type", "subtype", "verdict"]),
            ),
            drops: all.counters(
                "hubble_drop_total",
                "Packets of new flows dropped by policy, those that came again included.",
                &["reason", "protocol"],
            ),
            verdicts: all.counters(
                "hubble_policy_verdicts_total",
                "Verdicts on new flows.",
                &with_ends(&["direction", "match", "action"]),
            ),
            denials: all.counters(
                "weir_policy_denials_total",
                "New flows and requests that a policy denied (action denied) or would deny but for audit mode (action audited), by policy; none where a request could not be judged.",
                &with_ends(&["policy", "direction", "layer", "action"]),
            ),
            requests: all.counters(
                "hubble_http_requests_total",
                "HTTP requests, answered or not. Reporter is server for ingress rules, client for egress rules.",
                &with_ends(&["method", "protocol", "status", "reporter"]),
            ),
            calls: all.counters(
                "weir_grpc_calls_total",
                "Calls of gRPC by the status that they ended with, Weir's own answers included (PERMISSION_DENIED). Reporter as above.",
                &with_ends(&["code", "reporter"]),
            ),
            durations: all.histograms(
                DURATIONS,
                "From the end of a request's head to the end of its answer.",
                &with_ends(&["method", "reporter"]),
                &LATENCIES,
            ),
            ports: all.counters(
                "hubble_port_distribution_total",
                "New flows that passed, by destination port.",
                &["protocol", "port"],
            ),
            icmp: all.counters("hubble_icmp_total", "New ICMP flows.", &["family", "type"]),
            queries: all.counters(
                "hubble_dns_queries_total",
                "DNS queries that rules on names judged, by who asked.",
                &DNS,
            ),
            responses: all.counters(
                "hubble_dns_responses_total",
                "DNS answers to such queries, by who asked.",
                &DNS,
            ),
            response_types: all.counters(
                "hubble_dns_response_types_total",
                "Records in DNS answers to such queries, by type.",
                &["type", "qtypes"],
            ),
            flags: all.counters(
                "hubble_tcp_flags_total",
                "New TCP flows by the flags of their first packet.",
                &["flag", "family"],
            ),
            world: all.counters(
                "hubble_flows_to_world_total",
                "New flows to addresses outside the cluster.",
                &["protocol", "verdict"],
            ),
            ended,
            lost,
            repeats: all.counter(
                "weir_flow_repeats_total",
                "Packets of a denied or unanswered flow that came again and were counted in its record.",
            ),
            policies: None,
            policies_changed: all.gauge(
                "weir_policies_changed_timestamp_seconds",
                "When a change of policies came into force last; 0: not since the agent began.",
            ),
            exemplars: Exemplars::default(),
        }
    }

    pub fn flow(&mut self, flow: &Flow) {
        let ends = ends(
            flow.source.as_ref(),
            flow.destination.as_ref(),
            flow.is_reply == Some(true),
        );
        let ends = ends.each_ref().map(String::as_str);
        let (kind, subtype) = kinds(flow);
        let verdict = flow.verdict().as_str_name();
        self.processed
            .add(&[&[kind, subtype.as_str(), verdict], &ends[..]].concat(), 1);
        let judged = kind == "PolicyVerdict";
        let protocol = protocol_name(flow);
        if kind == "Drop" {
            let reason = flow.drop_reason_desc().as_str_name();
            self.drops.add(&[reason, protocol], 1);
        }
        if judged {
            let matched = print::kind(flow);
            let matched = matched
                .strip_prefix("policy-verdict:")
                .and_then(|rest| rest.split(' ').next())
                .unwrap_or_default();
            let action = match flow.verdict() {
                Verdict::Dropped | Verdict::Error => "dropped",
                Verdict::Audit => "audit",
                Verdict::Redirected => "redirected",
                _ => "forwarded",
            };
            let direction = direction(flow);
            self.verdicts
                .add(&[&[direction, matched, action], &ends[..]].concat(), 1);
        }
        let asked = flow
            .l7
            .as_ref()
            .is_none_or(|l7| l7.r#type() == L7FlowType::Request);
        if judged || (flow.l7.is_some() && asked) {
            self.denial(flow, &ends);
        }
        match kind {
            "PolicyVerdict" | "Trace" => self.packet(flow, protocol),
            "L7" => self.application(flow, &ends),
            _ => {}
        }
    }

    fn denial(&mut self, flow: &Flow, ends: &[&str; 4]) {
        let action = match flow.verdict() {
            Verdict::Dropped => "denied",
            Verdict::Audit => "audited",
            _ => return,
        };
        let layer = if flow.l7.is_some() { "l7" } else { "l4" };
        let policies = flow
            .weir
            .as_ref()
            .map_or(&[][..], |why| why.policies.as_slice());
        let named: HashSet<&str> = policies.iter().map(String::as_str).collect();
        let named = if named.is_empty() {
            HashSet::from([NONE])
        } else {
            named
        };
        for policy in named {
            let labels = [policy, direction(flow), layer, action];
            self.denials.add(&[&labels, &ends[..]].concat(), 1);
        }
    }

    /// The first packet of a flow.
    fn packet(&mut self, flow: &Flow, protocol: &str) {
        let verdict = flow.verdict().as_str_name();
        let family = match flow.ip.as_ref().map(|ip| ip.ip_version()) {
            Some(IpVersion::IPv6) => "IPv6",
            _ => "IPv4",
        };
        let passed = !matches!(flow.verdict(), Verdict::Dropped | Verdict::Error);
        let world = flow
            .destination
            .as_ref()
            .is_some_and(|end| end.identity == identity::WORLD);
        if world {
            self.world.add(&[protocol, verdict], 1);
        }
        let Some(layer4) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
            return;
        };
        let port = match layer4 {
            Protocol::Tcp(tcp) => {
                if let Some(flags) = &tcp.flags {
                    let flag = match (flags.syn, flags.ack, flags.fin, flags.rst) {
                        (true, false, ..) => "SYN",
                        (true, true, ..) => "SYN-ACK",
                        (false, _, true, _) => "FIN",
                        (false, _, _, true) => "RST",
                        _ => OTHER,
                    };
                    self.flags.add(&[flag, family], 1);
                }
                tcp.destination_port
            }
            Protocol::Udp(udp) => udp.destination_port,
            Protocol::Sctp(sctp) => sctp.destination_port,
            Protocol::IcmPv4(icmp) => return self.icmp.add(&[family, &icmp.r#type.to_string()], 1),
            Protocol::IcmPv6(icmp) => return self.icmp.add(&[family, &icmp.r#type.to_string()], 1),
        };
        if passed {
            self.ports.add(&[protocol, &port.to_string()], 1);
        }
    }

    fn application(&mut self, flow: &Flow, ends: &[&str; 4]) {
        let Some(l7) = &flow.l7 else { return };
        if let Some(Record::Dns(Dns {
            rcode,
            qtypes,
            ips,
            rrtypes,
            ..
        })) = &l7.record
        {
            let qtypes = qtypes.join(",");
            let answered = l7.r#type() == L7FlowType::Response;
            if answered {
                for kind in rrtypes {
                    self.response_types.add(&[kind, &qtypes], 1);
                }
            }
            let [namespace, workload, ..] = ends;
            let (rcode, ips) = (rcode.to_string(), ips.len().to_string());
            let labels = [&rcode, qtypes.as_str(), &ips, namespace, workload];
            let family = match answered {
                true => &mut self.responses,
                false => &mut self.queries,
            };
            family.add(&labels, 1);
        }
    }

    /// Counted whole: its status is known, and one that got no answer counts, too.
    pub fn request(&mut self, request: &L7Record, names: &Directory) {
        self.requests(request, &[request.latency_ns()], names);
    }

    pub fn passed(&mut self, request: &L7Record, latencies: &[u64], names: &Directory) {
        let answered = self.requests(request, latencies, names);
        let (client, server) = (
            names.end(request.client.ip()),
            names.end(request.server.ip()),
        );
        let ends = ends(Some(&client), Some(&server), false);
        let ends = ends.each_ref().map(String::as_str);
        let records = latencies.len() as u64 * if answered { 2 } else { 1 };
        let verdict = Verdict::Forwarded.as_str_name();
        let labels = [&["L7", "HTTP", verdict], &ends[..]].concat();
        self.processed.add(&labels, records);
    }

    pub fn ended(&mut self, ended: &Ended, names: &Directory) {
        self.ended.ended(ended, names);
    }

    /// Requests that count alike; whether they were answered.
    fn requests(&mut self, request: &L7Record, latencies: &[u64], names: &Directory) -> bool {
        let Application::Http(http) = &request.application else {
            return false;
        };
        let client = names.end(request.client.ip());
        let server = names.end(request.server.ip());
        let ends = ends(Some(&client), Some(&server), false);
        let ends = ends.each_ref().map(String::as_str);
        let known = METHODS.iter().find(|known| **known == http.method);
        let method = known.copied().unwrap_or(OTHER);
        let reporter = match request.direction {
            Direction::Ingress => "server",
            Direction::Egress => "client",
        };
        let code = labels::status(http.status);
        self.requests.add(
            &[&[method, http.version.as_str(), &code, reporter], &ends[..]].concat(),
            latencies.len() as u64,
        );
        if let Some(code) = http.grpc_status {
            self.calls.add(
                &[&[labels::grpc(code), reporter], &ends[..]].concat(),
                latencies.len() as u64,
            );
        }
        // The proxy's own answers would hide how long the server takes.
        if matches!(request.verdict, Disposition::Allowed | Disposition::Audited) {
            let seconds = |ns: &u64| Duration::from_nanos(*ns).as_secs_f64();
            let seconds: Vec<f64> = latencies.iter().map(seconds).collect();
            let labels = [&[method, reporter], &ends[..]].concat();
            self.durations.observe_all(&labels, &seconds);
            self.exemplify(request, http, &labels, &seconds);
        }
        http.status.is_some()
    }

    /// Keeps a request whose client records a trace, where its duration was counted.
    fn exemplify(
        &mut self,
        request: &L7Record,
        http: &HttpRecord,
        series: &[&str],
        seconds: &[f64],
    ) {
        let header = http.headers.iter();
        let header = header.filter(|(name, _)| name.eq_ignore_ascii_case(TRACEPARENT));
        let parents: Vec<_> = header.map(|(_, value)| Parent::read(value)).collect();
        if let ([Some(parent)], Some(value)) = (parents.as_slice(), seconds.first())
            && parent.sampled
        {
            let bound = LATENCIES.iter().find(|bound| value <= *bound);
            let exemplar = Exemplar {
                trace: parent.trace_id(),
                value: *value,
                time: request.time(),
            };
            let bound = bound.copied().unwrap_or(f64::INFINITY);
            self.exemplars.put(series, bound, exemplar);
        }
    }

    /// Requests with a trace, by where their durations were counted.
    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    pub fn repeated(&mut self, event: &Event) {
        self.repeats.add(1);
        if let Some(reason) = record::drop_reason(event) {
            self.drops
                .add(&[reason.as_str_name(), protocol_of(event.protocol)], 1);
        }
    }

    pub fn lost(&mut self, source: LostEventSource, count: u64) {
        self.lost
            .add(&[&source.as_str_name().to_lowercase()], count);
    }

    /// Marks what is about workloads and policies that are gone.
    pub fn renamed(&mut self, names: &Directory) {
        let policies = names.world.policies.iter();
        let mut live = Live {
            policies: policies.map(|policy| policy.object.to_string()).collect(),
            ..Live::default()
        };
        for pod in &names.world.pods {
            for address in &pod.addresses {
                let end = names.end(*address);
                let workloads = end.workloads.iter();
                live.workloads
                    .extend(workloads.map(|w| format!("{}/{}", end.namespace, w.name)));
            }
        }
        for family in self.by_workload() {
            family.mark(&live);
        }
        self.durations.mark(&live);
        self.policies(&names.world.policies);
    }

    /// Pods come and go all the time, and each time there is a new revision: people want to see when
    /// what the policies say changed.
    fn policies(&mut self, policies: &[Policy]) {
        let hash = |policy| BuildHasherDefault::<DefaultHasher>::default().hash_one(policy);
        let mut said: Vec<u64> = policies.iter().map(hash).collect();
        said.sort_unstable();
        let before = self.policies.replace(said);
        if before.is_some() && before != self.policies {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.policies_changed
                .set(now.map_or(0, |now| now.as_secs()));
        }
    }

    pub fn forget_gone(&mut self) {
        let now = Instant::now();
        for family in self.by_workload() {
            family.forget(now);
        }
        self.durations.forget(now);
    }

    fn by_workload(&mut self) -> impl Iterator<Item = &mut Family<IntCounterVec>> {
        let own = [
            &mut self.processed,
            &mut self.verdicts,
            &mut self.denials,
            &mut self.requests,
            &mut self.calls,
            &mut self.queries,
            &mut self.responses,
        ];
        own.into_iter().chain(self.ended.families())
    }
}
