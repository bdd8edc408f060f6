//! Why a verdict is what it is: the rules behind it by name, and the one place where that becomes
//! a sentence. Whatever shows a verdict shows this sentence, and beside it the nearest miss.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    compile::{Decision, DirectionSet, Verdict, Watches},
    l7::NameUse,
    model::{Direction, VISIBILITY},
    nearest::NearestMiss,
};

/// The most bytes of what a client sent in a sentence.
const TOLD: usize = 256;

/// A rule, by its object and its place there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// `Kind/NAMESPACE/NAME`.
    pub policy: String,
    /// Its place in the object; empty where only the policy is known.
    pub field: String,
}

/// Why one end's verdict, or that on a request, is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Client and server are one pod.
    Itself,
    /// The end is no pod.
    NoEndpoint,
    /// The end is a pod of the host's network.
    HostNetwork,
    /// Both ends are one node.
    SameNode,
    /// Host policies would deny it, and never deny this.
    NeverCut(&'static str),
    /// The other end is the node that the pod runs on.
    OwnNode,
    /// What is not known, so that nothing can be allowed.
    Unknown(String),
    /// No policy selects the end for this direction.
    Unselected(Direction),
    /// No rule denies the flow, and nothing denies by default.
    Open,
    /// The default of these policies, which would deny only, where they are in audit mode.
    Default {
        /// `Kind/NAMESPACE/NAME`; empty where it is not known which.
        policies: Vec<String>,
        /// Whether they are in audit mode.
        audit: bool,
    },
    /// These rules, with the verdict that they give.
    Rules(Verdict, Vec<RuleRef>),
    /// Nothing denies the flow, and rules look into it: these, or where there are none, those that an
    /// annotation asks for.
    Watched(Vec<RuleRef>),
    /// HTTP rules are in force, and the request is matched by none.
    NoHttpRule,
    /// All HTTP rules of the port were refused when they were read.
    NoHttpRuleInForce,
    /// The rules of the port are about names.
    NotAboutHttp,
    /// A rule allows the request, and what a server takes it for is not certain.
    Doubt(String),
    /// A rule without L7 rules allows the connection.
    Plain,
    /// The connection is not allowed, so no request on it is.
    NoConnection,
    /// The rule list that should decide is not there.
    NoList,
    /// The client gives no name.
    NoName(NameUse),
    /// What the client gives is none.
    NotAName(NameUse, String),
    /// A rule allows the name.
    NameAllowed(NameUse, String, RuleRef),
    /// No rule allows the name.
    NameUnlisted(NameUse, String, Vec<String>),
}

/// Names of rules that are told of a name that is none of them.
const NAMES_TOLD: usize = 3;

// === impl RuleRef ===

impl RuleRef {
    /// A rule of a policy.
    pub fn new(policy: impl Into<String>, field: impl Into<String>) -> Self {
        Self {
            policy: policy.into(),
            field: field.into(),
        }
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.policy)?;
        match self.field.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.field),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The reason of a decision by these rules.
    pub fn of(side: &DirectionSet, decision: &Decision) -> Self {
        let rules = decision.rules.iter().filter_map(|at| side.rules.get(*at));
        let rules: Vec<RuleRef> = rules
            .filter(|rule| rule.watches != Watches::Only)
            .map(|rule| RuleRef::new(&*rule.object, &rule.place))
            .collect();
        if decision.watched {
            return Self::Watched(rules);
        }
        let audit = matches!(decision.verdict, Verdict::Audit | Verdict::L7Audit);
        let isolating = match audit {
            true => &side.auditing,
            false => &side.isolating,
        };
        match decision.verdict {
            verdict if !rules.is_empty() => Self::Rules(verdict, rules),
            Verdict::Allow | Verdict::L7 => Self::Open,
            Verdict::Deny | Verdict::Audit | Verdict::L7Audit => Self::Default {
                policies: isolating.iter().map(|(_, name)| name.to_string()).collect(),
                audit,
            },
        }
    }

    /// The rules that decided; none where a default did.
    pub fn rules(&self) -> &[RuleRef] {
        match self {
            Self::Rules(_, rules) | Self::Watched(rules) => rules,
            Self::NameAllowed(_, _, rule) => std::slice::from_ref(rule),
            _ => &[],
        }
    }

    /// The first rule that decided.
    pub(crate) fn into_rule(self) -> Option<RuleRef> {
        match self {
            Self::Rules(_, rules) | Self::Watched(rules) => rules.into_iter().next(),
            Self::NameAllowed(_, _, rule) => Some(rule),
            _ => None,
        }
    }

    /// The policies that decided, each once: those of the rules, or those whose default it was.
    pub fn policies(&self) -> Vec<String> {
        if let Self::Default { policies, .. } = self {
            return policies.clone();
        }
        let mut policies: Vec<String> = Vec::new();
        for rule in self.rules() {
            if !policies.contains(&rule.policy) {
                policies.push(rule.policy.clone());
            }
        }
        policies
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("a pod always reaches itself"),
            Self::NoEndpoint => f.write_str("not an endpoint: no policy can select it"),
            Self::HostNetwork => {
                f.write_str("a host-network pod is not an endpoint: no policy can select it")
            }
            Self::SameNode => f.write_str("a node always reaches itself"),
            Self::NeverCut(what) => {
                write!(f, "host policies would deny it, and never cut {what}")
            }
            Self::OwnNode => f.write_str("the node's own traffic is always allowed"),
            Self::Unknown(what) => write!(f, "{what} is not known"),
            Self::Unselected(direction) => {
                write!(f, "no policy selects the endpoint for {direction}")
            }
            Self::Open => f.write_str("no rule denies it and no policy denies by default"),
            Self::Default { policies, audit } => {
                f.write_str(if *audit { "would be the " } else { "" })?;
                f.write_str("default deny")?;
                match policies.is_empty() {
                    true => Ok(()),
                    false => write!(f, " of {}", policies.join(", ")),
                }
            }
            Self::Rules(verdict, rules) => by_rules(f, *verdict, &joined(rules)),
            Self::Watched(rules) if rules.is_empty() => {
                write!(f, "nothing denies it; looked into as `{VISIBILITY}` asks")
            }
            Self::Watched(rules) => {
                write!(f, "nothing denies it; looked into by {}", joined(rules))
            }
            Self::NoHttpRule => f.write_str("no HTTP rule matches"),
            Self::NoHttpRuleInForce => {
                f.write_str("no HTTP rule is in force for this port: all of them were refused")
            }
            Self::NotAboutHttp => f.write_str("no rule of this port is about HTTP"),
            Self::Doubt(doubt) => write!(f, "refused with 400: {doubt}"),
            Self::Plain => f.write_str("a rule without L7 rules allows the connection"),
            Self::NoConnection => f.write_str("the connection is not allowed"),
            Self::NoList => f.write_str("its L7 rules are missing"),
            Self::NoName(usage) => write!(f, "the client gives no {usage}"),
            Self::NotAName(usage, name) => {
                write!(f, "{usage} `{}` is no name", told(name).escape_debug())
            }
            Self::NameAllowed(usage, name, rule) => {
                write!(f, "{usage} `{name}` allowed by {rule}")
            }
            Self::NameUnlisted(usage, name, names) => {
                let told: Vec<&str> = names.iter().take(NAMES_TOLD).map(String::as_str).collect();
                let more = if names.len() > told.len() {
                    ", …"
                } else {
                    ""
                };
                write!(f, "{usage} `{name}` is none of {}{more}", told.join(", "))
            }
        }
    }
}

fn by_rules(f: &mut fmt::Formatter<'_>, verdict: Verdict, rules: &str) -> fmt::Result {
    match verdict {
        Verdict::Allow => write!(f, "allowed by {rules}"),
        Verdict::Deny => write!(f, "denied by {rules}"),
        Verdict::Audit => write!(f, "would be denied by {rules}"),
        Verdict::L7 => write!(
            f,
            "connections pass; L7 rules of {rules} decide on requests"
        ),
        Verdict::L7Audit => write!(
            f,
            "connections pass; L7 rules of {rules} tell which requests would be denied"
        ),
    }
}

fn joined(rules: &[RuleRef]) -> String {
    let rules: Vec<String> = rules.iter().map(RuleRef::to_string).collect();
    rules.join(", ")
}

/// What a client sent, as sentences tell it: it chooses how long that is. No part of a query is told
/// then, so that who leaves queries out of records has only whole ones to look for.
pub(crate) fn told(sent: &str) -> Cow<'_, str> {
    if sent.len() <= TOLD {
        return Cow::Borrowed(sent);
    }
    let plain = sent.split_once('?').map_or(sent, |(plain, _)| plain);
    let start = plain.get(..plain.floor_char_boundary(TOLD));
    format!("{}… ({} bytes)", start.unwrap_or_default(), sent.len()).into()
}

/// A reason that denies nothing, because it is a policy's in audit mode.
pub(crate) fn audited(reason: &str) -> String {
    format!("would be denied: {reason}")
}

/// A reason that holds for one of the readings of a path.
pub(crate) fn of_reading(reading: &str, reason: &str) -> String {
    let reading = told(reading);
    format!("a server may take the path for `{reading}`, and then: {reason}")
}

/// A reason and what came nearest, as one sentence.
pub(crate) fn sentence(reason: &str, nearest: Option<&NearestMiss>) -> String {
    match nearest {
        Some(miss) => format!("{reason}; the nearest, {}", miss.text),
        None => reason.to_owned(),
    }
}
