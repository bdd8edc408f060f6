//! An explanation for people. Read from JSON, because a running agent gives it so.

use owo_colors::{OwoColorize as _, Stream::Stdout};
use serde_json::Value;

use crate::screen::{aside, bad, bold, doubtful, good};

/// The explanation, line by line; `weir test` shows it too.
pub fn lines(told: &Value) -> Vec<String> {
    let flow = &told["flow"];
    let port = flow["port"].as_u64().map(|port| format!("/{port}"));
    let mut head = format!(
        "{} -> {}  {}{}",
        text(&flow["from"]),
        text(&flow["to"]),
        text(&flow["protocol"]),
        port.unwrap_or_default(),
    );
    for part in [&flow["request"], &flow["service"]] {
        if let Some(part) = part.as_str() {
            head.push_str("  ");
            head.push_str(part);
        }
    }
    let mut lines = vec![bold(head), in_colour(&told["verdict"], meaning(told))];
    for (direction, end) in [("egress", "from"), ("ingress", "to")] {
        lines.push(String::new());
        lines.extend(side(direction, text(&flow[end]), &told[direction]));
    }
    lines
}

fn side(direction: &str, end: &str, side: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{direction} of {end}  {}",
        in_colour(&side["verdict"], text(&side["verdict"]))
    )];
    let mut row = |name: &str, value: &str| lines.push(format!("  {name:<13} {value}"));
    let miss = side.get("nearest_miss").filter(|miss| !miss.is_null());
    row("why", text(&side["reason"]));
    for policy in list(&side["selected_by"]) {
        let isolates = match policy["isolates"].as_bool() {
            _ if policy["audit"].as_bool() == Some(true) => "audit only, denies nothing",
            Some(true) => "denies by default",
            _ => "does not deny by default",
        };
        let rules = list(&policy["rules"]).count();
        let rules = format!("{rules} rule{}", if rules == 1 { "" } else { "s" });
        let value = format!(
            "{}  {}",
            text(&policy["policy"]),
            aside(format!("{isolates}, {rules}"))
        );
        row("selected by", &value);
    }
    let named = |rule: &Value| format!("{}  {}", text(&rule["policy"]), text(&rule["field"]));
    for rule in list(&side["decided_by"]) {
        row("decided by", &named(rule));
    }
    if let Some(miss) = miss {
        row("nearest miss", &named(miss));
        for one in list(&miss["misses"]) {
            let value = format!("{}: {}", text(&one["kind"]), text(&one["text"]));
            row("  would, but", &value);
            if let Some(hint) = one["hint"].as_str() {
                row(
                    "",
                    &hint
                        .if_supports_color(Stdout, |hint| hint.cyan())
                        .to_string(),
                );
            }
        }
    }
    lines
}

fn meaning(told: &Value) -> &'static str {
    match text(&told["verdict"]) {
        "allow" => "allow",
        "http-deny" => "http-deny: the request is answered with 403",
        "deny" => "deny: packets are dropped, the client times out",
        _ => "not allowed",
    }
}

fn in_colour(verdict: &Value, shown: &str) -> String {
    match text(verdict) {
        "allow" => good(shown),
        "http-deny" => doubtful(shown),
        _ => bad(shown),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
