//! What a `scenario.yaml` may say. Small on purpose: people learn from these files.

use std::fmt;
use std::marker::PhantomData;

use anyhow::{Result, anyhow, bail};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::state::Topology;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub title: String,
    /// The text that it follows.
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub about: Option<String>,
    /// How pods may be joined to the node.
    #[serde(default = "both_topologies")]
    pub topologies: Vec<Topology>,
    /// The families that checks are run in.
    #[serde(default = "both_families")]
    pub families: Vec<Family>,
    /// Nodes of the cluster: the second one is `lab-node2`.
    #[serde(default = "one")]
    pub nodes: usize,
    /// What is there at the start: files and folders.
    #[serde(deserialize_with = "one_or_many")]
    pub manifests: Vec<String>,
    pub steps: Vec<Step>,
    /// What the text shows besides, and where that is shown.
    #[serde(default)]
    pub elsewhere: Vec<Elsewhere>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Family {
    IPv4,
    IPv6,
}

/// Something is done, then everything that is checked must come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    /// Rows of the table of behaviours that it shows.
    #[serde(default)]
    pub rows: Vec<u32>,
    /// What a learner should know; a mistake of the text is named here.
    #[serde(default)]
    pub note: Option<String>,
    /// `weir lab` commands, without these two words and without `--name`.
    #[serde(default, rename = "do", deserialize_with = "one_or_many")]
    pub commands: Vec<String>,
    /// What these commands must print.
    #[serde(default, deserialize_with = "one_or_many")]
    pub says: Vec<String>,
    /// Commands that go on until the scenario ends.
    #[serde(default)]
    pub background: Vec<Background>,
    #[serde(default)]
    pub check: Vec<Check>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// The name by which `log` finds its output.
    #[serde(rename = "as")]
    pub name: String,
    pub from: String,
    pub run: String,
}

/// One command, once for each family; or one look at a log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The pod that it runs in, `@node` or `@world`.
    #[serde(default)]
    pub from: Option<String>,
    /// A pod that is made for it and gone afterwards: the words of `weir lab run-pod`.
    #[serde(default)]
    pub pod: Option<String>,
    /// A log in which lines must appear: a pod's, `agent`, `proxy` or a background command's.
    #[serde(default)]
    pub log: Option<String>,
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub expect: Option<Expect>,
    /// What the command must print, or the log must hold.
    #[serde(default, deserialize_with = "one_or_many")]
    pub says: Vec<String>,
    #[serde(default)]
    pub families: Option<Vec<Family>>,
    /// Which flow decides; Weir is asked why, and must agree: `deploy/httpbin TCP 80 GET /ip`.
    #[serde(default)]
    pub flow: Option<String>,
}

/// What must come of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Expect {
    Works,
    /// Nobody answers: packets are dropped without a word.
    TimesOut,
    /// The name is not resolved: it does not exist, or the DNS does not answer.
    NoName,
    Refused,
    Http(u16),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    pub rows: Vec<u32>,
    pub what: String,
}

/// Reads a scenario; a mistake is named with file and field.
pub fn read(text: &str, place: &str) -> Result<Scenario> {
    let value: serde_json::Value =
        serde_yaml_ng::from_str(text).map_err(|error| anyhow!("{place}: {error}"))?;
    let scenario: Scenario = serde_path_to_error::deserialize(value)
        .map_err(|error| anyhow!("{place}: {}: {}", error.path(), error.inner()))?;
    for (at, step) in scenario.steps.iter().enumerate() {
        for (index, check) in step.check.iter().enumerate() {
            check
                .validate()
                .map_err(|error| anyhow!("{place}: steps[{at}].check[{index}]: {error}"))?;
        }
        if !step.says.is_empty() && step.commands.is_empty() {
            bail!("{place}: steps[{at}].says: there is no `do` to say it");
        }
    }
    Ok(scenario)
}

// === impl Family ===

impl Family {
    pub fn is_v6(self) -> bool {
        self == Self::IPv6
    }

    /// The option of curl, nc, ping and wget.
    pub fn option(self) -> &'static str {
        match self {
            Self::IPv4 => "-4",
            Self::IPv6 => "-6",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        }
    }
}

// === impl Check ===

impl Check {
    fn validate(&self) -> Result<()> {
        match (&self.from, &self.pod, &self.log) {
            (Some(_), None, None) | (None, Some(_), None) => {
                if self.run.is_none() || self.expect.is_none() {
                    bail!("`run` and `expect` are needed");
                }
            }
            (None, None, Some(_)) => {
                if self.run.is_some() || self.expect.is_some() || self.says.is_empty() {
                    bail!("with `log` goes `says` and nothing else");
                }
            }
            _ => bail!("one of `from`, `pod` and `log` is needed"),
        }
        Ok(())
    }
}

// === impl Expect ===

impl TryFrom<String> for Expect {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "works" => Ok(Self::Works),
            "times out" => Ok(Self::TimesOut),
            "no such name" => Ok(Self::NoName),
            "refused" => Ok(Self::Refused),
            _ => text
                .strip_prefix("HTTP ")
                .and_then(|status| status.parse().ok())
                .map(Self::Http)
                .ok_or_else(|| {
                    format!(
                        "{text:?} is none of: works, times out, no such name, refused, HTTP 200"
                    )
                }),
        }
    }
}

impl From<Expect> for String {
    fn from(expect: Expect) -> Self {
        expect.to_string()
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::TimesOut => f.write_str("times out"),
            Self::NoName => f.write_str("no such name"),
            Self::Refused => f.write_str("refused"),
            Self::Http(status) => write!(f, "HTTP {status}"),
        }
    }
}

fn both_topologies() -> Vec<Topology> {
    vec![Topology::Routed, Topology::Bridge]
}

fn both_families() -> Vec<Family> {
    vec![Family::IPv4, Family::IPv6]
}

fn one() -> usize {
    1
}

/// One text, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany(PhantomData<String>);
    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, many: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(many))
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

#[cfg(test)]
mod tests;
