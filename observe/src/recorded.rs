//! A record of flows, as `weir observe -o jsonpb` writes it: one answer a line.

use std::collections::VecDeque;

use weir_gate::lines::Lines;
use weir_policy::record::{self, Recorded};

use crate::{
    api::observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    filter::{FilterError, Wanted},
    json::{self, JsonError},
    mask::{Mask, MaskError},
};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The request asks for nothing that means anything.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// It asks for parts that flows have not.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// What the system says of the file.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// A line is no answer.
    #[error("{place}: {source}")]
    Line {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        #[source]
        source: JsonError,
    },
}

/// What a server would answer that has seen what a record holds.
///
/// # Errors
/// [`RecordError`] where it cannot be read, or the request means nothing.
pub fn read(
    record: Lines,
    request: &GetFlowsRequest,
) -> Result<Vec<GetFlowsResponse>, RecordError> {
    let wanted = Wanted::of(request)?;
    let mask = Mask::new(request.field_mask.as_ref())?;
    let mut found = VecDeque::new();
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    let mut lines = record.kept();
    while let Some((text, place)) = lines.read()? {
        if text.trim().is_empty() {
            continue;
        }
        let mut answer =
            json::read_line(&text).map_err(|source| RecordError::Line { place, source })?;
        if let Some(ResponseTypes::Flow(flow)) = &mut answer.response_types {
            if !wanted.flow(flow) {
                continue;
            }
            if let Some(mask) = &mask {
                *flow = mask.apply(flow);
            }
        }
        found.push_back(answer);
        if number > 0 && found.len() > number {
            match request.first {
                true => found.pop_back(),
                false => found.pop_front(),
            };
        }
    }
    Ok(found.into())
}

/// The flow of an answer as policy looks at it, read as of a line of a record; `None` for what says
/// nothing to policy.
///
/// # Errors
/// The answer is no flow.
pub fn told(answer: &GetFlowsResponse) -> Result<Option<Recorded>, record::RecordError> {
    record::read(&json::to_value(answer).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::flow::FlowFilter;

    const RECORD: &str = r#"{"flow":{"uuid":"1","time":"1970-01-01T00:00:01Z","verdict":"DROPPED"}}

{"uuid":"2","time":"1970-01-01T00:00:02Z","verdict":"FORWARDED"}
{"lost_events":{"num_events_lost":"3"}}
{"flow":{"uuid":"4","time":"1970-01-01T00:00:04Z","verdict":"DROPPED"}}
"#;

    fn uuids(request: &GetFlowsRequest) -> Vec<String> {
        let answers = read(Lines::new(RECORD.as_bytes(), "x"), request).expect("a record");
        let uuid = |answer: GetFlowsResponse| match answer.response_types {
            Some(ResponseTypes::Flow(flow)) => flow.uuid,
            _ => "lost".to_owned(),
        };
        answers.into_iter().map(uuid).collect()
    }

    #[test]
    fn a_record_answers_like_a_server() {
        let all = GetFlowsRequest::default();
        assert_eq!(uuids(&all), ["1", "2", "lost", "4"]);
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let between = GetFlowsRequest {
            since: at(2),
            until: at(3),
            ..all.clone()
        };
        assert_eq!(uuids(&between), ["2", "lost"]);
        let dropped = FlowFilter {
            verdict: vec![2],
            ..FlowFilter::default()
        };
        let mut some = GetFlowsRequest {
            number: 1,
            whitelist: vec![dropped],
            ..all
        };
        assert_eq!(uuids(&some), ["4"]);
        some.first = true;
        assert_eq!(uuids(&some), ["1"]);
        let mask = some.field_mask.get_or_insert_default();
        mask.paths = vec!["verdict".to_owned()];
        assert_eq!(uuids(&some), [""]);
        some.field_mask.get_or_insert_default().paths = vec!["port".to_owned()];
        let error = read(Lines::new(RECORD.as_bytes(), "x"), &some);
        let error = error.expect_err("no field").to_string();
        assert_eq!(error, "field_mask: a flow has no field \"port\"");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let broken = format!("{RECORD}{{\"flow\": 1}}\n");
        let lines = Lines::new(std::io::Cursor::new(broken), "x");
        let error = read(lines, &GetFlowsRequest::default());
        let error = error.expect_err("no answer").to_string();
        assert!(error.starts_with("x:6: not a"), "{error}");
    }

    #[test]
    fn what_an_observer_answers_is_read_like_a_line() {
        let line = r#"{"flow":{"verdict":"FORWARDED","is_reply":false,"Type":"L3_L4",
            "IP":{"source":"172.18.0.2","destination":"10.244.0.8"},
            "l4":{"TCP":{"source_port":40000,"destination_port":80,"flags":{"SYN":true}}},
            "source":{"identity":1,"labels":["reserved:host"]},
            "destination":{"namespace":"default","pod_name":"web-0","labels":["k8s:app=web"]}}}"#;
        let answer = json::read_line(line).expect("an answer");
        let flow = told(&answer).expect("a line");
        assert!(flow.is_some());
        assert_eq!(flow, record::read(line).expect("a line"));
        let lost = json::read_line(r#"{"lost_events":{"num_events_lost":"3"}}"#);
        assert_eq!(told(&lost.expect("an answer")).expect("a line"), None);
    }
}
