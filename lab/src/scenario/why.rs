//! What Weir says of the flow that a check is about.

use anyhow::{Context as _, Result, bail};
use weir_policy::explain::{Explanation, SideExplanation};
use weir_policy::verdict::{Flow, HttpRequest, Outcome};

use super::format::{Check, Expect};
use super::run::Stage;

/// Asks Weir about the flow that decides; a verdict other than the expected one is an error.
pub fn why(stage: &Stage<'_>, check: &Check, from: &str) -> Result<Vec<String>> {
    let (Some(flow), Some(expect)) = (&check.flow, check.expect) else {
        return Ok(Vec::new());
    };
    let words: Vec<&str> = flow.split_whitespace().collect();
    let (to, protocol, port, http) = match words.as_slice() {
        [to, protocol, port] => (to, protocol, port, None),
        [to, protocol, port, method, path] => {
            let http = HttpRequest {
                method: (*method).to_owned(),
                path: (*path).to_owned(),
                ..HttpRequest::default()
            };
            (to, protocol, port, Some(http))
        }
        _ => bail!("flow {flow:?}: use POD TCP PORT, and METHOD PATH for HTTP"),
    };
    let wrong = || format!("flow {flow:?}");
    let told = stage.lab.explain(Flow {
        from: stage.lab.pod(from)?.id().to_string(),
        to: stage.lab.pod(to)?.id().to_string(),
        protocol: serde_json::from_value((*protocol).into()).with_context(wrong)?,
        port: Some(port.parse().with_context(wrong)?),
        port_name: None,
        http,
    })?;
    let verdict = match expect {
        Expect::Works | Expect::Refused => Outcome::Allow,
        Expect::Http(403) => Outcome::HttpDeny,
        Expect::Http(_) => Outcome::Allow,
        Expect::TimesOut | Expect::NoName => Outcome::Deny,
    };
    if told.verdict != verdict {
        bail!(
            "Weir says {:?} of {flow}, and not {verdict:?}: {told:?}",
            told.verdict
        );
    }
    Ok(reasons(&told))
}

/// The end that denies is what people look for, so it comes alone.
fn reasons(told: &Explanation) -> Vec<String> {
    let sides = [("egress", &told.egress), ("ingress", &told.ingress)];
    let denies = |told: &SideExplanation| told.side.verdict != Outcome::Allow;
    let any = sides.iter().any(|(_, told)| denies(told));
    let mut lines = Vec::new();
    for (side, told) in sides {
        if any && !denies(told) {
            continue;
        }
        lines.push(format!("{side}: {}", told.side.reason));
        if let Some(nearest) = &told.side.nearest_miss {
            lines.push(format!("nearest: {}", nearest.text));
        }
    }
    lines
}
