//! A denial as a log record.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};

use super::attributes;
use crate::{api::flow::Flow, log, trace::Parent};

/// The record of a denial, or of what audit mode let pass; `None` for everything else. A verdict is told
/// once, as in the flow log.
pub(super) fn record(flow: &Flow) -> Option<LogRecord> {
    if !log::wanted(flow, false) {
        return None;
    }
    let parent = Parent::of(flow);
    let audit = log::word(flow).ends_with("AUDIT");
    let (severity, word) = match audit {
        true => (SeverityNumber::Info, "INFO"),
        false => (SeverityNumber::Warn, "WARN"),
    };
    Some(LogRecord {
        time_unix_nano: attributes::time(flow),
        observed_time_unix_nano: attributes::time(flow),
        severity_number: severity.into(),
        severity_text: word.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(log::line(flow))),
        }),
        attributes: attributes::of(flow),
        trace_id: parent.map(|of| of.trace.to_vec()).unwrap_or_default(),
        span_id: parent.map(|of| of.span.to_vec()).unwrap_or_default(),
        flags: parent.map_or(0, |of| u32::from(of.sampled)),
        event_name: "weir.flow".to_owned(),
        ..LogRecord::default()
    })
}
