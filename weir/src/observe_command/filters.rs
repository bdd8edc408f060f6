//! The filter flags of `hubble observe`: a table of them, and the two lists that they come to.
//!
//! A flag about either end (`--pod`) means flows from it or to it: two filters, one for each end.
//! `--not` before a flag puts its filter on the deny list.

mod table;
mod values;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};
use weir_observe::{api::flow::FlowFilter, filter::Filters, json};

use table::{Apply, Flag};

/// Filters, as a request has them.
#[derive(Debug, Clone, Default)]
pub struct FilterArgs {
    /// One of these must match, where there are any.
    pub allow: Vec<FlowFilter>,
    /// None of these may match.
    pub deny: Vec<FlowFilter>,
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

const NOT: &str = "not";
const ALLOW: &str = "allowlist";
const DENY: &str = "denylist";

impl Sides {
    fn add(&mut self, flag: &Flag, value: &str) -> Result<()> {
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

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let listed = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("JSON")
                .help(help)
                .action(ArgAction::Append)
        };
        let mut command = command
            .next_help_heading("Filters")
            .arg(
                Arg::new(NOT)
                    .long(NOT)
                    .help("Leave out what the next filter matches")
                    .num_args(0)
                    .default_missing_value("true")
                    .action(ArgAction::Append),
            )
            .arg(
                Arg::new("all-namespaces")
                    .short('A')
                    .long("all-namespaces")
                    .help("Flows of every namespace, which is so anyway")
                    .action(ArgAction::SetTrue),
            )
            .arg(listed(ALLOW, "A filter as JSON (FlowFilter)"))
            .arg(listed(DENY, "A filter as JSON for flows to leave out"));
        for flag in table::all() {
            let mut arg = Arg::new(flag.name)
                .long(flag.name)
                .help(flag.help)
                .action(ArgAction::Append);
            if let Some(short) = flag.short {
                arg = arg.short(short);
            }
            arg = match flag.value {
                "" => arg.num_args(0).default_missing_value("true"),
                // Selectors and patterns may have commas of their own.
                value if flag.single => arg.value_name(value),
                value => arg.value_name(value).value_delimiter(','),
            };
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        read(matches)
            .map_err(|error| Error::raw(ErrorKind::ValueValidation, format!("{error:#}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Every use of a flag in the order of the command line.
fn read(matches: &ArgMatches) -> Result<FilterArgs> {
    let used = |name: &str| -> Vec<(usize, String)> {
        let indices = matches.indices_of(name).into_iter().flatten();
        let values = matches.get_many::<String>(name).into_iter().flatten();
        indices.zip(values.cloned()).collect()
    };
    let mut uses: Vec<(usize, Option<&'static Flag>, String)> = Vec::new();
    for flag in table::all() {
        let of_flag = used(flag.name).into_iter();
        uses.extend(of_flag.map(|(index, value)| (index, Some(flag), value)));
    }
    uses.extend(
        used(NOT)
            .into_iter()
            .map(|(index, value)| (index, None, value)),
    );
    uses.sort_by_key(|(index, ..)| *index);
    name_pods(&mut uses);
    let (mut allow, mut deny) = (Sides::default(), Sides::default());
    let mut negate = Negate::No;
    for (index, flag, value) in uses {
        let Some(flag) = flag else {
            negate = Negate::Next;
            continue;
        };
        // Further values of the same use (`--port 80,81`) are negated with the first.
        let denied = match negate {
            Negate::No => false,
            Negate::Next => true,
            Negate::More(name, last) => name == flag.name && index == last + 1,
        };
        negate = match denied {
            true => Negate::More(flag.name, index),
            false => Negate::No,
        };
        let into = if denied { &mut deny } else { &mut allow };
        into.add(flag, &value)
            .with_context(|| format!("--{} {value}", flag.name))?;
    }
    let mut args = FilterArgs {
        allow: allow.filters(),
        deny: deny.filters(),
    };
    for (name, list) in [(ALLOW, &mut args.allow), (DENY, &mut args.deny)] {
        for (_, text) in used(name) {
            let value = serde_json::from_str(&text).with_context(|| format!("--{name}"))?;
            list.push(json::from_value(value)?);
        }
    }
    Filters::new(&args.allow, &args.deny)?;
    Ok(args)
}

/// Whether the next value is one for the deny list.
#[derive(Clone, Copy)]
enum Negate {
    No,
    Next,
    /// As long as values of this flag follow this one.
    More(&'static str, usize),
}

/// A pod that is given beside a namespace is one of that namespace.
fn name_pods(uses: &mut Vec<(usize, Option<&'static Flag>, String)>) {
    for (pod, namespace) in [
        ("pod", "namespace"),
        ("from-pod", "from-namespace"),
        ("to-pod", "to-namespace"),
    ] {
        let is = |flag: &Option<&Flag>, name: &str| flag.is_some_and(|flag| flag.name == name);
        let short = |value: &str| !value.contains('/');
        let pods = uses
            .iter()
            .any(|(_, flag, value)| is(flag, pod) && short(value));
        let mut namespaces = uses.iter().filter(|(_, flag, _)| is(flag, namespace));
        let (Some((_, _, one)), None, true) = (namespaces.next(), namespaces.next(), pods) else {
            continue;
        };
        let one = one.clone();
        uses.retain(|(_, flag, _)| !is(flag, namespace));
        for (_, flag, value) in uses.iter_mut() {
            if is(flag, pod) && short(value) {
                *value = format!("{one}/{value}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
