//! Flows for people: Hubble's compact line, table and dictionary, with colours where they help.

mod place;

use jiff::{Timestamp, fmt::strtime};
use owo_colors::OwoColorize as _;

use crate::{
    api::{
        flow::{
            DropReason, Flow, L7FlowType, LostEvent, Policy, TrafficDirection, Verdict,
            layer7::Record,
        },
        weir::Why,
    },
    names::identity,
    record::event_type,
};

/// How flows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Pods and services by name in place of addresses.
    pub names: bool,
    /// With the node's name.
    pub node: bool,
    /// With the policies that decided.
    pub policies: bool,
    /// With the rule that decided or the nearest miss, on a line of its own.
    pub why: bool,
    /// Form of times, as strftime has it.
    pub time: String,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            colour: false,
            names: true,
            node: false,
            policies: false,
            why: false,
            time: STAMP.into(),
        }
    }
}

/// `Jun  9 20:38:30.645`
pub const STAMP: &str = "%b %e %H:%M:%S%.3f";

/// Heads of [`Style::row`].
pub const HEADS: [&str; 6] = [
    "TIMESTAMP",
    "SOURCE",
    "DESTINATION",
    "TYPE",
    "VERDICT",
    "SUMMARY",
];

// === impl Style ===

impl Style {
    /// The line of `-o compact`, without an end of line.
    pub fn compact(&self, flow: &Flow) -> String {
        let node = match self.node {
            true => format!(" [{}]", flow.node_name),
            false => String::new(),
        };
        let mut ends = [
            (
                self.source(flow),
                self.identity(flow.source.as_ref().map(|end| end.identity)),
            ),
            (
                self.destination(flow),
                self.identity(flow.destination.as_ref().map(|end| end.identity)),
            ),
        ];
        let arrow = match flow.is_reply {
            None => "<>",
            Some(false) => "->",
            Some(true) => "<-",
        };
        if flow.is_reply == Some(true) {
            ends.swap(0, 1);
        }
        let [(from, from_id), (to, to_id)] = ends;
        let line = format!(
            "{}{node}: {from} {from_id} {arrow} {to} {to_id} {} {} ({})",
            self.time(flow.time.as_ref()),
            self.kind(flow),
            self.verdict(flow),
            plain(&flow.summary),
        );
        self.with_why(line, flow)
    }

    /// The parts of a line of `-o table`, with the node after the time where it is shown.
    pub fn row(&self, flow: &Flow) -> Vec<String> {
        let mut row = vec![self.time(flow.time.as_ref())];
        row.extend(self.node.then(|| flow.node_name.clone()));
        row.extend([
            self.source(flow),
            self.destination(flow),
            self.kind(flow),
            self.verdict(flow),
            plain(&flow.summary),
        ]);
        row
    }

    /// The lines of `-o dict`.
    pub fn dict(&self, flow: &Flow) -> String {
        let mut lines = vec![("TIMESTAMP", self.time(flow.time.as_ref()))];
        lines.extend(self.node.then(|| ("NODE", flow.node_name.clone())));
        lines.extend([
            ("SOURCE", self.source(flow)),
            ("DESTINATION", self.destination(flow)),
            ("TYPE", self.kind(flow)),
            ("VERDICT", self.verdict(flow)),
            ("SUMMARY", plain(&flow.summary)),
        ]);
        lines.extend(self.why.then(|| ("WHY", plain(&told(flow)))));
        let line = |(head, text): &(&str, String)| format!("{head:>11}: {text}");
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The line about records that were lost.
    pub fn lost(&self, lost: &LostEvent) -> String {
        format!(
            "EVENTS LOST: {} CPU({}) {}",
            lost.source().as_str_name(),
            lost.cpu.unwrap_or_default(),
            lost.num_events_lost,
        )
    }

    /// A time.
    pub fn time(&self, time: Option<&prost_types::Timestamp>) -> String {
        let shown = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        let text = shown.and_then(|time| strtime::format(&self.time, time).ok());
        text.unwrap_or_else(|| "N/A".into())
    }

    fn with_why(&self, line: String, flow: &Flow) -> String {
        match self.why {
            true => format!("{line}\n    {}", self.dim(&plain(&told(flow)))),
            false => line,
        }
    }

    fn source(&self, flow: &Flow) -> String {
        self.cyan(&plain(&place::source(flow, self.names)))
    }

    fn destination(&self, flow: &Flow) -> String {
        self.cyan(&plain(&place::destination(flow, self.names)))
    }

    fn identity(&self, number: Option<u32>) -> String {
        let number = number.unwrap_or_default();
        let text = match identity::reserved(number) {
            Some(name) => format!("({name})"),
            None => format!("(ID:{number})"),
        };
        match self.colour {
            true => text.magenta().to_string(),
            false => text,
        }
    }

    /// What kind of event it is.
    fn kind(&self, flow: &Flow) -> String {
        let kind = kind(flow);
        let policies = policies(flow);
        match self.policies && !policies.is_empty() {
            true => format!("{kind} BY {}", named(policies)),
            false => kind,
        }
    }

    fn verdict(&self, flow: &Flow) -> String {
        let text = verdict(flow);
        if !self.colour {
            return text.to_owned();
        }
        match flow.verdict() {
            Verdict::Forwarded | Verdict::Redirected => text.green().to_string(),
            Verdict::Dropped | Verdict::Error => text.red().to_string(),
            Verdict::Audit => text.yellow().to_string(),
            _ => text.to_owned(),
        }
    }

    fn cyan(&self, text: &str) -> String {
        match self.colour {
            true => text.cyan().to_string(),
            false => text.to_owned(),
        }
    }

    fn dim(&self, text: &str) -> String {
        match self.colour {
            true => text.dimmed().to_string(),
            false => text.to_owned(),
        }
    }
}

/// What kind of event a flow is, in Hubble's words.
pub fn kind(flow: &Flow) -> String {
    if let Some(l7) = &flow.l7 {
        let kind = match l7.r#type() {
            L7FlowType::Request => "request",
            L7FlowType::Response => "response",
            _ => "sample",
        };
        return match &l7.record {
            Some(Record::Http(_)) => format!("http-{kind}"),
            Some(Record::Dns(dns)) => format!("dns-{kind} {}", dns.observation_source),
            None => format!("l7-{kind}"),
        };
    }
    let Some(event) = &flow.event_type else {
        return "UNKNOWN".into();
    };
    match event.r#type {
        event_type::TRACE => point(event.sub_type).into(),
        event_type::DROP => dropped(flow.drop_reason_desc()),
        event_type::POLICY_VERDICT => {
            let matched = match flow.policy_match_type {
                1 => "L3-Only",
                2 => "L3-L4",
                3 => "L4-Only",
                4 => "all",
                5 => "L3-Proto",
                6 => "Proto-Only",
                _ => "none",
            };
            let direction = match flow.traffic_direction() {
                TrafficDirection::Unknown => "TRAFFIC_DIRECTION_UNKNOWN",
                TrafficDirection::Ingress => "INGRESS",
                TrafficDirection::Egress => "EGRESS",
            };
            format!("policy-verdict:{matched} {direction}")
        }
        _ => "UNKNOWN".into(),
    }
}

/// Places where packets are seen, by their numbers.
const POINTS: [&str; 12] = [
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
];

/// The number of a place where packets are seen.
pub fn trace_point(name: &str) -> Option<i32> {
    let index = POINTS.iter().position(|point| *point == name)?;
    i32::try_from(index).ok()
}

fn point(sub_type: i32) -> &'static str {
    let index = usize::try_from(sub_type).unwrap_or(usize::MAX);
    POINTS.get(index).copied().unwrap_or("UNKNOWN")
}

/// A reason in Hubble's words, which metrics have, too.
pub fn dropped(reason: DropReason) -> String {
    match reason {
        DropReason::PolicyDenied => "Policy denied".into(),
        DropReason::PolicyDeny => "Policy denied by denylist".into(),
        DropReason::InvalidSourceIp => "Invalid source ip".into(),
        other => {
            let words = other.as_str_name().replace('_', " ").to_lowercase();
            let mut letters = words.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

/// A verdict in Hubble's words.
pub fn verdict(flow: &Flow) -> &'static str {
    let judged = flow
        .event_type
        .as_ref()
        .is_some_and(|event| event.r#type == event_type::POLICY_VERDICT);
    match flow.verdict() {
        Verdict::Forwarded | Verdict::Redirected if judged => "ALLOWED",
        Verdict::Dropped | Verdict::Error if judged => "DENIED",
        Verdict::Audit if judged => "AUDITED",
        verdict => verdict.as_str_name(),
    }
}

/// The policies that decided.
pub fn policies(flow: &Flow) -> &[Policy] {
    let lists = [
        &flow.ingress_denied_by,
        &flow.egress_denied_by,
        &flow.ingress_allowed_by,
        &flow.egress_allowed_by,
    ];
    lists
        .into_iter()
        .find(|list| !list.is_empty())
        .map_or(&[], Vec::as_slice)
}

fn named(policies: &[Policy]) -> String {
    let name = |policy: &Policy| match policy.namespace.is_empty() {
        true => format!("{} ({})", policy.name, policy.kind),
        false => format!("{}/{} ({})", policy.namespace, policy.name, policy.kind),
    };
    policies.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Without what would move a terminal's cursor: clients and servers choose parts of these texts.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Why a flow got its verdict, as one line.
pub fn told(flow: &Flow) -> String {
    let Some(why) = &flow.weir else {
        let reasons = flow.policy_log.join("; ");
        return match reasons.is_empty() {
            true => "no reason is recorded".into(),
            false => reasons,
        };
    };
    let Why {
        reason,
        nearest_miss,
        repeats,
        ..
    } = why;
    let mut text = reason.clone();
    if !nearest_miss.is_empty() {
        text = format!("{text}; nearest: {nearest_miss}");
    }
    if *repeats > 0 {
        text = format!("{text}; sent again {repeats} times");
    }
    text
}

#[cfg(test)]
mod tests;
