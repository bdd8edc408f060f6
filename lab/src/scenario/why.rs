//! What Weir says of the flow that a check is about.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::format::{Check, Expect};
use super::run::Stage;
use crate::agent::Question;

/// Asks Weir about the flow that decides; a verdict other than the expected one is an error.
pub fn why(stage: &Stage<'_>, check: &Check, from: &str) -> Result<Vec<String>> {
    let (Some(flow), Some(expect)) = (&check.flow, check.expect) else {
        return Ok(Vec::new());
    };
    let words: Vec<&str> = flow.split_whitespace().collect();
    let (to, protocol, port, http) = match words.as_slice() {
        [to, protocol, port] => (to, protocol, port, None),
        [to, protocol, port, method, path] => (
            to,
            protocol,
            port,
            Some(((*method).to_owned(), (*path).to_owned())),
        ),
        _ => bail!("flow {flow:?}: use POD TCP PORT, and METHOD PATH for HTTP"),
    };
    let value = stage.lab.explain(&Question {
        from: stage.lab.pod(from)?.id(),
        to: stage.lab.pod(to)?.id(),
        protocol: (*protocol).to_owned(),
        port: port.parse().with_context(|| format!("flow {flow:?}"))?,
        http,
    })?;
    let verdict = match expect {
        Expect::Works | Expect::Refused => "allow",
        Expect::Http(403) => "http-deny",
        Expect::Http(_) => "allow",
        Expect::TimesOut | Expect::NoName => "deny",
    };
    if value["verdict"] != verdict {
        bail!(
            "Weir says {} of {flow}, and not {verdict:?}: {value}",
            value["verdict"]
        );
    }
    Ok(reasons(&value))
}

/// The end that denies is what people look for, so it comes alone.
fn reasons(value: &Value) -> Vec<String> {
    let sides = ["egress", "ingress"];
    let denies = |side: &&str| value[*side]["verdict"] != "allow";
    let any = sides.iter().any(denies);
    sides
        .iter()
        .filter(|side| !any || denies(side))
        .flat_map(|side| {
            let reason = value[*side]["reason"].as_str();
            let reason = format!("{side}: {}", reason.unwrap_or("no reason given"));
            let nearest = value[*side]["nearest_miss"]["text"].as_str();
            [Some(reason), nearest.map(|text| format!("nearest: {text}"))]
        })
        .flatten()
        .collect()
}
