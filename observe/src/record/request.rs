//! Records of what the proxy has judged: requests, DNS queries and TLS connections.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use weir_policy::model::Direction;

use super::{event_type, finished, ip, named, traffic};
use crate::{
    api::{
        flow::{
            CiliumEventType, Dns, DropReason, Flow, FlowType, Http, L7FlowType, Layer4, Layer7,
            Tcp, Udp, Verdict, layer4::Protocol, layer7::Record,
        },
        weir::Why,
    },
    names::Names,
    redact::Redaction,
};

/// One request with its answer, as the proxy reports it.
#[derive(Debug, Clone)]
pub struct Request {
    /// When the answer ended.
    pub time: SystemTime,
    /// The endpoint whose rules decided.
    pub endpoint: Option<u16>,
    /// Whether they were its ingress or its egress rules.
    pub direction: Direction,
    /// Who asked.
    pub client: SocketAddr,
    /// Who was asked, after service translation.
    pub server: SocketAddr,
    /// What was asked.
    pub application: Application,
    /// What became of it.
    pub verdict: RequestVerdict,
    /// `Kind/NS/NAME` of the policies that decided.
    pub policies: Vec<String>,
    /// One sentence.
    pub reason: String,
    /// From the end of the request's head to the end of the answer, in ns.
    pub latency_ns: u64,
}

/// What was asked.
#[derive(Debug, Clone)]
pub enum Application {
    /// A request.
    Http {
        /// Its method.
        method: String,
        /// Its path with query, as sent.
        path: String,
        /// Its host; empty where it has none.
        host: String,
        /// `HTTP/1.1`, `HTTP/2`.
        version: String,
        /// Headers in order.
        headers: Vec<(String, String)>,
        /// What the client was answered; `None`: nothing.
        status: Option<u16>,
    },
    /// A query.
    Dns(Query),
    /// A TLS connection.
    Tls {
        /// The server's name as the client wrote it.
        name: String,
    },
    /// Nothing that was understood.
    Unknown,
}

/// A DNS query with its answer.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The name.
    pub name: String,
    /// Over TCP; else UDP.
    pub tcp: bool,
    /// Types that were asked for, such as `AAAA`.
    pub types: Vec<String>,
    /// Code of the answer; `None`: none came.
    pub code: Option<u16>,
    /// Addresses that the name leads to.
    pub addresses: Vec<IpAddr>,
    /// The shortest time that one may be kept, in seconds.
    pub ttl: u32,
    /// Names that it leads to.
    pub aliases: Vec<String>,
    /// Types of the records in the answer.
    pub answer_types: Vec<String>,
}

impl Application {
    /// `http`, `dns`, `tls` or `unknown`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Dns(_) => "dns",
            Self::Tls { .. } => "tls",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestVerdict {
    /// It was allowed.
    Allowed,
    /// Policies in audit mode would deny it.
    Audited,
    /// It was denied, or refused because it could not be judged.
    Denied,
    /// It was allowed but failed.
    Error,
}

/// The records of a request: what was asked and, where something was answered, the answer.
pub fn requests(request: &Request, names: &Names, redaction: &Redaction) -> Vec<Flow> {
    let asked = asked(request, names, redaction);
    let answer = answer(request, &asked);
    [Some(asked), answer]
        .into_iter()
        .flatten()
        .map(finished)
        .collect()
}

fn asked(request: &Request, names: &Names, redaction: &Redaction) -> Flow {
    let revision = names.snapshot.revision;
    let verdict = match request.verdict {
        RequestVerdict::Allowed => Verdict::Forwarded,
        RequestVerdict::Audited => Verdict::Audit,
        RequestVerdict::Denied => Verdict::Dropped,
        RequestVerdict::Error => Verdict::Error,
    };
    let began = request
        .time
        .checked_sub(std::time::Duration::from_nanos(request.latency_ns));
    let (client, server) = (request.client, request.server);
    let mut destination_names = names.dns(server.ip());
    if let Application::Tls { name } = &request.application {
        destination_names = vec![name.clone()];
    }
    let mut flow = Flow {
        time: Some(began.unwrap_or(request.time).into()),
        verdict: verdict.into(),
        ip: Some(ip(client.ip(), server.ip())),
        l4: Some(Layer4 {
            protocol: Some(layer4(request, client.port(), server.port())),
        }),
        source: Some(names.end(client.ip())),
        destination: Some(names.end(server.ip())),
        source_names: names.dns(client.ip()),
        destination_names,
        r#type: FlowType::L7.into(),
        node_name: names.node.clone(),
        is_reply: Some(false),
        traffic_direction: traffic(request.direction).into(),
        event_type: Some(CiliumEventType {
            r#type: event_type::L7,
            sub_type: 0,
        }),
        l7: Some(Layer7 {
            r#type: L7FlowType::Request.into(),
            latency_ns: 0,
            record: record(&request.application, redaction),
        }),
        policy_log: vec![request.reason.clone()],
        weir: Some(Why {
            policies: request.policies.clone(),
            rules: vec![String::new(); request.policies.len()],
            reason: request.reason.clone(),
            revision,
            application: request.application.name().to_owned(),
            ..Why::default()
        }),
        ..Flow::default()
    };
    let denied = matches!(verdict, Verdict::Dropped | Verdict::Audit);
    if verdict == Verdict::Dropped {
        flow.drop_reason_desc = DropReason::PolicyDenied.into();
        flow.drop_reason = DropReason::PolicyDenied as u32;
    }
    *match (request.direction, denied) {
        (Direction::Ingress, true) => &mut flow.ingress_denied_by,
        (Direction::Ingress, false) => &mut flow.ingress_allowed_by,
        (Direction::Egress, true) => &mut flow.egress_denied_by,
        (Direction::Egress, false) => &mut flow.egress_allowed_by,
    } = named(&request.policies, revision);
    flow
}

/// The way back, whose source is the server.
fn answer(request: &Request, asked: &Flow) -> Option<Flow> {
    let mut record = asked.l7.as_ref()?.record.clone()?;
    match (&mut record, &request.application) {
        (Record::Http(http), Application::Http { status, .. }) => http.code = (*status)?.into(),
        (Record::Dns(dns), Application::Dns(query)) => answered(dns, query)?,
        _ => return None,
    }
    let (client, server) = (request.client, request.server);
    Some(Flow {
        time: Some(request.time.into()),
        // The answer itself was forwarded: also the proxy's own one to a request that it denied.
        verdict: Verdict::Forwarded.into(),
        drop_reason: 0,
        drop_reason_desc: 0,
        ip: Some(ip(server.ip(), client.ip())),
        l4: Some(Layer4 {
            protocol: Some(layer4(request, server.port(), client.port())),
        }),
        source: asked.destination.clone(),
        destination: asked.source.clone(),
        source_names: asked.destination_names.clone(),
        destination_names: asked.source_names.clone(),
        is_reply: Some(true),
        reply: true,
        l7: Some(Layer7 {
            r#type: L7FlowType::Response.into(),
            latency_ns: request.latency_ns,
            record: Some(record),
        }),
        ..asked.clone()
    })
}

/// What the answer to a query adds; `None`: there is none.
fn answered(dns: &mut Dns, query: &Query) -> Option<()> {
    let full = |name: &String| format!("{}.", name.trim_end_matches('.'));
    dns.rcode = query.code?.into();
    dns.ips = query.addresses.iter().map(ToString::to_string).collect();
    dns.ttl = query.ttl;
    dns.cnames = query.aliases.iter().map(full).collect();
    dns.rrtypes.clone_from(&query.answer_types);
    Some(())
}

fn layer4(request: &Request, source_port: u16, destination_port: u16) -> Protocol {
    let (source_port, destination_port) = (source_port.into(), destination_port.into());
    match &request.application {
        Application::Dns(query) if !query.tcp => Protocol::Udp(Udp {
            source_port,
            destination_port,
        }),
        _ => Protocol::Tcp(Tcp {
            source_port,
            destination_port,
            flags: None,
        }),
    }
}

fn record(application: &Application, redaction: &Redaction) -> Option<Record> {
    Some(match application {
        Application::Http {
            method,
            path,
            host,
            version,
            headers,
            ..
        } => Record::Http(Http {
            code: 0,
            method: method.clone(),
            url: redaction.url(&url(host, path)),
            protocol: version.clone(),
            headers: redaction.headers(headers),
        }),
        Application::Dns(query) => Record::Dns(Dns {
            query: format!("{}.", query.name.trim_end_matches('.')),
            observation_source: "proxy".into(),
            qtypes: query.types.clone(),
            ..Dns::default()
        }),
        Application::Tls { .. } | Application::Unknown => return None,
    })
}

fn url(host: &str, path: &str) -> String {
    match (host.is_empty(), path.contains("://")) {
        (false, false) => format!("http://{host}{path}"),
        _ => path.to_owned(),
    }
}
