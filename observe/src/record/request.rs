//! Records of what the proxy has judged: requests, DNS queries and TLS connections.

use std::time::Duration;

use weir_link::proxy::{Application, Disposition, DnsRecord, HttpRecord, L7Record};
use weir_policy::model::Direction;

use super::{event_type, finished, ip, named, traffic};
use crate::{
    api::{
        flow::{
            CiliumEventType, Dns, DropReason, Flow, FlowType, Http, HttpHeader, L7FlowType, Layer4,
            Layer7, Tcp, Udp, Verdict, layer4::Protocol, layer7::Record,
        },
        weir::Why,
    },
    names::Directory,
    redact::Redaction,
    trace,
};

/// The records of a request: what was asked and, where something was answered, the answer.
pub fn requests(request: &L7Record, names: &Directory, redaction: &Redaction) -> Vec<Flow> {
    let asked = asked(request, names, redaction);
    let answer = answer(request, &asked);
    [Some(asked), answer]
        .into_iter()
        .flatten()
        .map(finished)
        .collect()
}

fn asked(request: &L7Record, names: &Directory, redaction: &Redaction) -> Flow {
    let revision = names.snapshot.revision;
    let verdict = match request.verdict {
        Disposition::Allowed => Verdict::Forwarded,
        Disposition::Audited => Verdict::Audit,
        Disposition::Denied | Disposition::Refused => Verdict::Dropped,
        Disposition::Error => Verdict::Error,
    };
    let ended = request.time();
    let began = ended.checked_sub(Duration::from_micros(request.latency_us));
    let (client, server) = (request.client, request.server);
    let mut destination_names = names.dns(server.ip());
    if let Application::Tls { name } = &request.application {
        destination_names = vec![name.clone()];
    }
    let path = match &request.application {
        Application::Http(http) => http.path.as_str(),
        _ => "",
    };
    let told = |sentence: &str| redaction.sentence(sentence, path);
    let mut flow = Flow {
        time: Some(began.unwrap_or(ended).into()),
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
        policy_log: std::iter::once(told(&request.reason))
            .chain(names.logs(&request.policies, &[]))
            .collect(),
        weir: Some(Why {
            policies: request.policies.clone(),
            rules: vec![String::new(); request.policies.len()],
            reason: told(&request.reason),
            nearest_miss: request.nearest.as_deref().map(told).unwrap_or_default(),
            revision,
            application: request.application.name().to_owned(),
            ..Why::default()
        }),
        ..Flow::default()
    };
    flow.trace_context = trace::context(&flow);
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
fn answer(request: &L7Record, asked: &Flow) -> Option<Flow> {
    let mut record = asked.l7.as_ref()?.record.clone()?;
    match (&mut record, &request.application) {
        (Record::Http(http), Application::Http(told)) => {
            http.code = told.status?.into();
            // Hubble's record has no place of its own for it.
            http.headers.extend(told.grpc_status.map(|code| HttpHeader {
                key: "grpc-status".into(),
                value: code.to_string(),
            }));
        }
        (Record::Dns(dns), Application::Dns(query)) => answered(dns, query)?,
        _ => return None,
    }
    let (client, server) = (request.client, request.server);
    Some(Flow {
        time: Some(request.time().into()),
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
            latency_ns: request.latency_ns(),
            record: Some(record),
        }),
        ..asked.clone()
    })
}

/// What the answer to a query adds; `None`: there is none.
fn answered(dns: &mut Dns, query: &DnsRecord) -> Option<()> {
    let full = |name: &String| format!("{}.", name.trim_end_matches('.'));
    dns.rcode = query.code?.into();
    dns.ips = query.addresses.iter().map(ToString::to_string).collect();
    dns.ttl = query.ttl;
    dns.cnames = query.aliases.iter().map(full).collect();
    dns.rrtypes.clone_from(&query.answer_types);
    Some(())
}

fn layer4(request: &L7Record, source_port: u16, destination_port: u16) -> Protocol {
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
        Application::Http(http) => Record::Http(Http {
            code: 0,
            method: http.method.clone(),
            url: redaction.url(&url(http)),
            protocol: http.version.to_string(),
            headers: redaction.headers(&http.headers),
        }),
        Application::Dns(query) => Record::Dns(Dns {
            query: format!("{}.", query.name.trim_end_matches('.')),
            observation_source: "proxy".into(),
            qtypes: query.query_types.clone(),
            ..Dns::default()
        }),
        Application::Tls { .. } | Application::Other { .. } => return None,
    })
}

fn url(HttpRecord { host, path, .. }: &HttpRecord) -> String {
    match (host.is_empty(), path.contains("://")) {
        (false, false) => format!("http://{host}{path}"),
        _ => path.clone(),
    }
}
