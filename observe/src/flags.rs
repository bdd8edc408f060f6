//! Filters in words: the filter flags of `hubble observe`, for a command line and for the parameters
//! of a URL.
//!
//! A flag about either end (`pod`) means flows from it or to it: two filters, one for each end.
//! `not` before a flag puts its filter on the deny list. Commas part values, where a value has none
//! of its own.

mod table;
mod values;

use crate::{
    api::flow::FlowFilter,
    filter::{FilterError, Filters},
    json,
};

use table::Apply;
pub use table::{Flag, all};

/// The word that negates the filter after it.
pub const NOT: &str = "not";
/// The word for a filter of the allow list as JSON.
pub const ALLOW: &str = "allowlist";
/// The word for a filter of the deny list as JSON.
pub const DENY: &str = "denylist";

/// Filters, as a request has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lists {
    /// One of these must match, where there are any.
    pub allow: Vec<FlowFilter>,
    /// None of these may match.
    pub deny: Vec<FlowFilter>,
}

/// Words that mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// There is no such flag, or its value is none of its kind.
    #[error("{flag} {value}: {reason}")]
    Word {
        /// The flag's name.
        flag: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the words come to together is no filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// The filter that flags come to.
#[derive(Debug, Default)]
struct Sides {
    source: FlowFilter,
    destination: FlowFilter,
    /// Whether the two differ.
    apart: bool,
    any: bool,
}

/// One value of a flag.
struct Use {
    flag: &'static Flag,
    value: String,
    denied: bool,
}

/// The lists that words come to, in their order: each a flag's name, without dashes, and its value.
/// A flag that takes no value has an empty one or `true`.
///
/// # Errors
/// [`FlagError`] for the first word that is not known or means nothing.
pub fn read<'a>(words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Lists, FlagError> {
    let (mut uses, mut lists) = (Vec::new(), Lists::default());
    let mut denied = false;
    for (name, value) in words {
        let wrong = |reason: &str| word(name, value, reason);
        match name {
            NOT => {
                none(value).map_err(|reason| wrong(&reason))?;
                denied = true;
            }
            ALLOW => lists.allow.push(of_json(name, value)?),
            DENY => lists.deny.push(of_json(name, value)?),
            _ => {
                let flag = all().find(|flag| flag.name == name);
                let flag = flag.ok_or_else(|| wrong("is not known"))?;
                uses.extend(flag.values(value).map(|value| Use {
                    flag,
                    value: value.to_owned(),
                    denied,
                }));
                denied = false;
            }
        }
    }
    name_pods(&mut uses);
    let (mut allow, mut deny) = (Sides::default(), Sides::default());
    for Use {
        flag,
        value,
        denied,
    } in &uses
    {
        let into = if *denied { &mut deny } else { &mut allow };
        into.add(flag, value)
            .map_err(|reason| word(flag.name, value, &reason))?;
    }
    lists.allow.splice(..0, allow.filters());
    lists.deny.splice(..0, deny.filters());
    Filters::new(&lists.allow, &lists.deny)?;
    Ok(lists)
}

fn word(flag: &str, value: &str, reason: &str) -> FlagError {
    FlagError::Word {
        flag: flag.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}

fn none(value: &str) -> Result<(), String> {
    match value {
        "" | "true" => Ok(()),
        _ => Err("takes no value".to_owned()),
    }
}

fn of_json(flag: &str, text: &str) -> Result<FlowFilter, FlagError> {
    let value = serde_json::from_str(text).map_err(|error| error.to_string());
    value
        .and_then(|value| json::from_value(value).map_err(|error| error.to_string()))
        .map_err(|reason| word(flag, text, &reason))
}

/// A pod that is given beside a namespace is one of that namespace.
fn name_pods(uses: &mut Vec<Use>) {
    for (pod, namespace) in [
        ("pod", "namespace"),
        ("from-pod", "from-namespace"),
        ("to-pod", "to-namespace"),
    ] {
        let short = |one: &Use| one.flag.name == pod && !one.value.contains('/');
        let mut namespaces = uses.iter().filter(|one| one.flag.name == namespace);
        let (Some(one), None, true) =
            (namespaces.next(), namespaces.next(), uses.iter().any(short))
        else {
            continue;
        };
        let namespace_of_all = one.value.clone();
        uses.retain(|one| one.flag.name != namespace);
        for one in uses.iter_mut().filter(|one| short(one)) {
            one.value = format!("{namespace_of_all}/{}", one.value);
        }
    }
}

// === impl Flag ===

impl Flag {
    /// The values in what was given.
    fn values<'a>(&self, given: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let single = self.single || self.value.is_empty();
        given.split(move |c| !single && c == ',')
    }
}

// === impl Sides ===

impl Sides {
    fn add(&mut self, flag: &Flag, value: &str) -> Result<(), String> {
        if flag.value.is_empty() {
            none(value)?;
        }
        self.any = true;
        match flag.apply {
            Apply::Both(apply) => {
                apply(&mut self.source, value)?;
                apply(&mut self.destination, value)
            }
            Apply::Either {
                source,
                destination,
            } => {
                self.apart = true;
                source(&mut self.source, value)?;
                destination(&mut self.destination, value)
            }
        }
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
mod tests;
