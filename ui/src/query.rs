//! What a browser asks for, from the parameters of its URL: the flags of `weir observe` by their
//! names, and any filter at all as JSON.

use weir_observe::{
    api::{
        flow::{EventTypeFilter, FlowFilter},
        observer::GetFlowsRequest,
    },
    flags::{self, FlagError},
    record::event_type,
    times,
};

/// Flows that are sent of those seen before, where nothing else is asked for.
const LAST: u64 = 1000;

/// A parameter that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("parameter `{name}`: {reason}")]
pub struct QueryError {
    name: String,
    reason: String,
}

/// The request for the flows that parameters ask for, which goes on with new ones.
///
/// # Errors
/// [`QueryError`] for the first parameter that is not known or means nothing.
pub fn request(parameters: &[(String, String)]) -> Result<GetFlowsRequest, QueryError> {
    let mut request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let (mut last, mut ends) = (None, false);
    let mut words = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "since" => {
                let time = times::time(value);
                request.since = Some(time.map_err(|error| wrong(name, error))?);
            }
            "ends" => ends = true,
            "last" => {
                let number = value.parse();
                last = Some(number.map_err(|_| wrong(name, "is no number"))?);
            }
            _ => words.push((name.as_str(), value.as_str())),
        }
    }
    let lists = flags::read(words).map_err(|error| match error {
        FlagError::Word { flag, reason, .. } => wrong(&flag, reason),
        FlagError::Filter(error) => wrong("filter", error),
    })?;
    (request.whitelist, request.blacklist) = (lists.allow, lists.deny);
    if ends {
        with_ends(&mut request.whitelist);
    }
    request.number = match (last, &request.since) {
        (Some(last), _) => last,
        (None, Some(_)) => 0,
        (None, None) => LAST,
    };
    Ok(request)
}

/// Asks for ends of flows beside what is asked for.
fn with_ends(allow: &mut Vec<FlowFilter>) {
    if allow.is_empty() {
        allow.push(FlowFilter::default());
    }
    let every = [
        event_type::DROP,
        event_type::TRACE,
        event_type::POLICY_VERDICT,
        event_type::L7,
        event_type::ENDED,
    ];
    for filter in allow {
        if filter.event_type.is_empty() {
            filter.event_type = every
                .map(|kind| EventTypeFilter {
                    r#type: kind,
                    ..EventTypeFilter::default()
                })
                .into();
        }
    }
}

fn wrong(name: &str, reason: impl ToString) -> QueryError {
    QueryError {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parameters: &[(&str, &str)]) -> Result<GetFlowsRequest, QueryError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        request(&parameters.iter().map(own).collect::<Vec<_>>())
    }

    #[test]
    fn parameters_are_filters_on_either_end() {
        let request = of(&[
            ("namespace", "shop"),
            ("workload", "Deployment/cart"),
            ("verdict", "dropped"),
            ("verdict", "AUDIT"),
            ("not", ""),
            ("http-path", "/healthz"),
        ])
        .expect("a request");
        assert!(request.follow);
        assert_eq!(request.number, LAST);
        let [source, destination] = &request.whitelist[..] else {
            panic!("{:?}", request.whitelist);
        };
        assert_eq!(source.source_pod, ["shop/"]);
        assert_eq!(destination.destination_pod, ["shop/"]);
        assert!(source.destination_pod.is_empty() && destination.source_pod.is_empty());
        assert_eq!(source.source_workload[0].kind, "Deployment");
        assert_eq!(destination.destination_workload[0].name, "cart");
        assert_eq!(source.verdict, destination.verdict);
        assert_eq!(source.verdict.len(), 2);
        assert_eq!(request.blacklist[0].http_path, ["/healthz"]);
    }

    #[test]
    fn ends_of_flows_come_beside_what_is_asked_for() {
        let kinds = |parameters: &[(&str, &str)]| -> Vec<Vec<i32>> {
            let asked = of(parameters).expect("a request").whitelist;
            let kinds = |filter: &FlowFilter| filter.event_type.iter().map(|e| e.r#type).collect();
            asked.iter().map(kinds).collect()
        };
        assert_eq!(kinds(&[]), Vec::<Vec<i32>>::new());
        assert_eq!(kinds(&[("ends", "")]), [[1, 4, 5, 129, 200]]);
        let both_ends = kinds(&[("ends", ""), ("namespace", "shop")]);
        assert_eq!(both_ends, [[1, 4, 5, 129, 200]; 2]);
        assert_eq!(kinds(&[("ends", ""), ("type", "l7")]), [[129]]);
    }

    #[test]
    fn any_filter_can_be_given_as_json() {
        let request = of(&[
            ("allowlist", r#"{"http_status_code":["4+"]}"#),
            ("denylist", r#"{"source_pod":["kube-system/"]}"#),
            ("since", "5m"),
        ])
        .expect("a request");
        assert_eq!(request.whitelist[0].http_status_code, ["4+"]);
        assert_eq!(request.blacklist[0].source_pod, ["kube-system/"]);
        assert_eq!(request.number, 0, "all of the five minutes");
        assert!(request.since.is_some());
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_name() {
        for (name, value, reason) in [
            ("verdict", "maybe", "is no verdict"),
            ("verdicts", "DROPPED", "is not known"),
            ("since", "yesterday", "neither a time"),
            ("last", "many", "is no number"),
            ("http-status", "teapot", "http_status_code"),
            ("allowlist", "{", "EOF"),
            ("protocol", "smtp", "no protocol"),
        ] {
            let error = of(&[(name, value)]).expect_err(name).to_string();
            assert!(error.contains(reason), "{name}={value}: {error}");
        }
    }
}
