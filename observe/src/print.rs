//! Flows for people: Hubble's compact line, table and dictionary, with colours where they help.

mod place;
mod words;

use jiff::{Timestamp, fmt::strtime};
use owo_colors::OwoColorize as _;

use crate::{
    api::flow::{Flow, LostEvent, Policy, Verdict},
    names::identity,
};

pub use words::{dropped, kind, policies, told, trace_point, verdict};

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

#[cfg(test)]
mod tests;
