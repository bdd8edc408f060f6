//! What a browser asks for, from the parameters of its URL: the flags of `weir observe` by their
//! names, as far as the page has a field for them, and any filter at all as JSON.

use jiff::{SignedDuration, Timestamp};
use weir_observe::{
    api::{
        flow::{FlowFilter, Verdict, Workload},
        observer::GetFlowsRequest,
    },
    filter::Filters,
    json,
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

/// A flow to an end and one from it are two filters, which differ in nothing else.
#[derive(Default)]
struct Sides {
    source: FlowFilter,
    destination: FlowFilter,
    /// The two differ.
    apart: bool,
    any: bool,
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
    let mut sides = Sides::default();
    let mut last = None;
    for (name, value) in parameters {
        let failed = |reason: String| QueryError {
            name: name.clone(),
            reason,
        };
        match name.as_str() {
            "since" => request.since = Some(time(value).map_err(failed)?),
            "last" => last = Some(value.parse().map_err(|_| failed("is no number".into()))?),
            "allowlist" | "denylist" => {
                let filter = serde_json::from_str(value)
                    .map_err(|error| error.to_string())
                    .and_then(|value| json::from_value(value).map_err(|e| e.to_string()))
                    .map_err(failed)?;
                match name.as_str() {
                    "allowlist" => request.whitelist.push(filter),
                    _ => request.blacklist.push(filter),
                }
            }
            _ => sides.add(name, value).map_err(failed)?,
        }
    }
    request.whitelist.extend(sides.filters());
    request.number = match (last, &request.since) {
        (Some(last), _) => last,
        (None, Some(_)) => 0,
        (None, None) => LAST,
    };
    Filters::new(&request.whitelist, &request.blacklist).map_err(|error| QueryError {
        name: "filter".into(),
        reason: error.to_string(),
    })?;
    Ok(request)
}

/// A time, or how long ago.
fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let ago = |ago: SignedDuration| Timestamp::now().checked_sub(ago).ok();
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| text.parse().ok().and_then(ago));
    let time = time.ok_or("is neither a time (2026-06-09T20:38:30Z) nor a duration (5m)")?;
    Ok(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

// === impl Sides ===

impl Sides {
    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.any = true;
        let both = |sides: &mut Self, set: &dyn Fn(&mut FlowFilter)| {
            set(&mut sides.source);
            set(&mut sides.destination);
        };
        let text = value.to_owned();
        match name {
            "namespace" | "pod" => {
                let prefix = match name {
                    "namespace" => format!("{value}/"),
                    _ => text,
                };
                self.apart = true;
                self.source.source_pod.push(prefix.clone());
                self.destination.destination_pod.push(prefix);
            }
            "workload" => {
                let (kind, name) = value.split_once('/').unwrap_or(("", value));
                let workload = Workload {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                };
                self.apart = true;
                self.source.source_workload.push(workload.clone());
                self.destination.destination_workload.push(workload);
            }
            "port" => {
                self.apart = true;
                self.source.source_port.push(text.clone());
                self.destination.destination_port.push(text);
            }
            "verdict" => {
                let verdict = Verdict::from_str_name(&value.to_ascii_uppercase());
                let verdict = verdict.ok_or("is no verdict")?.into();
                both(self, &|filter| filter.verdict.push(verdict));
            }
            "protocol" => both(self, &|filter| filter.protocol.push(text.clone())),
            "http-status" => both(self, &|filter| filter.http_status_code.push(text.clone())),
            "http-method" => both(self, &|filter| filter.http_method.push(text.clone())),
            "http-path" => both(self, &|filter| filter.http_path.push(text.clone())),
            _ => {
                return Err(
                    "is not known; there are since, last, namespace, pod, workload, port, \
                     verdict, protocol, http-status, http-method, http-path, allowlist and denylist"
                        .into(),
                );
            }
        }
        Ok(())
    }

    fn filters(self) -> Vec<FlowFilter> {
        match (self.any, self.apart) {
            (false, _) => Vec::new(),
            (true, false) => vec![self.source],
            (true, true) => vec![self.source, self.destination],
        }
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
        let ago = Timestamp::now().as_second() - request.since.expect("a time").seconds;
        assert!((299..=302).contains(&ago), "{ago}");
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
