//! A request with its answer as a span of its client's trace.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};

use super::attributes::{self, number, text};
use crate::{
    api::flow::{Flow, Http, L7FlowType, TrafficDirection, layer7::Record},
    trace::Parent,
};

/// The span of an answered request. `None` where the client records no trace: Weir begins none.
pub(super) fn span(flow: &Flow) -> Option<Span> {
    let l7 = flow.l7.as_ref()?;
    let Some(Record::Http(http)) = &l7.record else {
        return None;
    };
    let parent = Parent::of(flow).filter(|parent| parent.sampled)?;
    if l7.r#type() != L7FlowType::Response {
        return None;
    }
    let end = attributes::time(flow);
    // Seen at the server's side, a request is served there; at the client's it is being made.
    let kind = match flow.traffic_direction() {
        TrafficDirection::Egress => SpanKind::Client,
        _ => SpanKind::Server,
    };
    let code = match http.code >= 500 {
        true => StatusCode::Error,
        false => StatusCode::Unset,
    };
    Some(Span {
        trace_id: parent.trace.to_vec(),
        span_id: id(flow).to_be_bytes().to_vec(),
        parent_span_id: parent.span.to_vec(),
        flags: 1,
        name: http.method.clone(),
        kind: kind.into(),
        start_time_unix_nano: end.saturating_sub(l7.latency_ns),
        end_time_unix_nano: end,
        attributes: asked(flow, http),
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        ..Span::default()
    })
}

fn asked(flow: &Flow, http: &Http) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut all = attributes::of(flow);
    all.push(text("http.request.method", &http.method));
    all.push(text("url.full", &http.url));
    all.push(number("http.response.status_code", http.code.into()));
    let version = http.protocol.trim_start_matches("HTTP/");
    all.push(text("network.protocol.name", "http"));
    all.push(text("network.protocol.version", version));
    all
}

/// A number of its own for each record, the same whenever it is sent; never zero.
fn id(flow: &Flow) -> u64 {
    let mut hash = DefaultHasher::new();
    flow.uuid.hash(&mut hash);
    attributes::time(flow).hash(&mut hash);
    flow.traffic_direction.hash(&mut hash);
    flow.ip
        .as_ref()
        .map(|ip| (&ip.source, &ip.destination))
        .hash(&mut hash);
    flow.node_name.hash(&mut hash);
    hash.finish().max(1)
}
