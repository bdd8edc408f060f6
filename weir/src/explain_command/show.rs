//! An explanation for people.

use owo_colors::{OwoColorize as _, Stream::Stdout};
use weir_policy::{
    explain::{Explanation, SideExplanation},
    reason::RuleRef,
    verdict::Outcome,
};

use crate::screen::{aside, bad, bold, doubtful, good};

/// The explanation, line by line; `weir test` shows it too.
pub fn lines(told: &Explanation) -> Vec<String> {
    let flow = &told.flow;
    let port = flow.port.map(|port| format!("/{port}"));
    let mut head = format!(
        "{} -> {}  {}{}",
        flow.from,
        flow.to,
        flow.protocol,
        port.unwrap_or_default(),
    );
    for part in [&flow.request, &flow.service].into_iter().flatten() {
        head.push_str("  ");
        head.push_str(part);
    }
    let mut lines = vec![bold(head), in_colour(told.verdict, meaning(told.verdict))];
    let sides = [
        ("egress", &flow.from, &told.egress),
        ("ingress", &flow.to, &told.ingress),
    ];
    for (direction, end, told) in sides {
        lines.push(String::new());
        lines.extend(side(direction, end, told));
    }
    lines
}

fn side(direction: &str, end: &str, told: &SideExplanation) -> Vec<String> {
    let verdict = told.side.verdict;
    let mut lines = vec![format!(
        "{direction} of {end}  {}",
        in_colour(verdict, word(verdict))
    )];
    let mut row = |name: &str, value: &str| lines.push(format!("  {name:<13} {value}"));
    row("why", &told.side.reason);
    for policy in &told.selected_by {
        let isolates = match (policy.audit, policy.isolates) {
            (true, _) => "audit only, denies nothing",
            (false, true) => "denies by default",
            (false, false) => "does not deny by default",
        };
        let rules = policy.rules.len();
        let rules = format!("{rules} rule{}", if rules == 1 { "" } else { "s" });
        let value = format!(
            "{}  {}",
            policy.policy,
            aside(format!("{isolates}, {rules}"))
        );
        row("selected by", &value);
    }
    let named = |rule: &RuleRef| format!("{}  {}", rule.policy, rule.field);
    for rule in &told.side.decided_by {
        row("decided by", &named(rule));
    }
    if let Some(miss) = &told.side.nearest_miss {
        row("nearest miss", &named(&miss.rule));
        for one in &miss.misses {
            row("  would, but", &format!("{}: {}", one.kind, one.text));
            if let Some(hint) = &one.hint {
                let hint = hint.if_supports_color(Stdout, |hint| hint.cyan());
                row("", &hint.to_string());
            }
        }
    }
    lines
}

fn meaning(verdict: Outcome) -> &'static str {
    match verdict {
        Outcome::Allow => "allow",
        Outcome::HttpDeny => "http-deny: the request is answered with 403",
        Outcome::Deny => "deny: packets are dropped, the client times out",
    }
}

fn word(verdict: Outcome) -> &'static str {
    match verdict {
        Outcome::Allow => "allow",
        Outcome::HttpDeny => "http-deny",
        Outcome::Deny => "deny",
    }
}

fn in_colour(verdict: Outcome, shown: &str) -> String {
    match verdict {
        Outcome::Allow => good(shown),
        Outcome::HttpDeny => doubtful(shown),
        Outcome::Deny => bad(shown),
    }
}
