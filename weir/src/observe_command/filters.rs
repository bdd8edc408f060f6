//! The filter flags of `hubble observe` on the command line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};
use weir_observe::flags::{self, ALLOW, DENY, FlagError, Lists, NOT};

/// Filters, as a request has them.
#[derive(Debug, Clone, Default)]
pub struct FilterArgs(pub Lists);

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
        for flag in flags::all() {
            let mut arg = Arg::new(flag.name)
                .long(flag.name)
                .help(flag.help)
                .action(ArgAction::Append);
            if let Some(short) = flag.short {
                arg = arg.short(short);
            }
            arg = match flag.value {
                "" => arg.num_args(0).default_missing_value("true"),
                value => arg.value_name(value),
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
        let words = words(matches);
        let words = words.iter().map(|(_, name, value)| (*name, value.as_str()));
        let lists = flags::read(words).map_err(|error| {
            let dashes = match error {
                FlagError::Word { .. } => "--",
                FlagError::Filter(_) => "",
            };
            Error::raw(ErrorKind::ValueValidation, format!("{dashes}{error}\n"))
        })?;
        Ok(Self(lists))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Every use of a flag in the order of the command line, behind its place there.
fn words(matches: &ArgMatches) -> Vec<(usize, &'static str, String)> {
    let names = flags::all().map(|flag| flag.name);
    let mut words: Vec<_> = names
        .chain([NOT, ALLOW, DENY])
        .flat_map(|name| {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let both = places.zip(values);
            both.map(move |(place, value)| (place, name, value.clone()))
        })
        .collect();
    words.sort_by_key(|(place, ..)| *place);
    words
}
