//! kubectl's command line: options may stand before the verb, and `run` makes a pod.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser as _};

use super::{Alone, Verb};

/// Options before the verb that take the next word.
const WITH_VALUE: [&str; 4] = ["-n", "--namespace", "--name", "--lab"];

/// A line of a text, as it is typed after `kubectl`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES)]
pub struct Kubectl {
    /// What kubectl is told; --help lists its verbs
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORDS"
    )]
    words: Vec<String>,
}

pub const EXAMPLES: &str = "Examples:
  alias kubectl='weir lab kubectl'
  weir lab kubectl get pods -o wide
  weir lab kubectl -n ui exec deploy/ui -- curl -s catalog.catalog/health
  weir lab kubectl run -it --rm --image=busybox --restart=Never probe -- wget -qO- web
";

// === impl Kubectl ===

impl Kubectl {
    /// Does what the line says.
    ///
    /// # Errors
    /// As [`Verb::run`].
    pub fn run(self) -> Result<ExitCode> {
        parse(self.words).run()
    }
}

/// Whether this program was called by the name of `kubectl`, through a link.
pub fn is_called() -> bool {
    let called = std::env::args_os().next().map(std::path::PathBuf::from);
    called.is_some_and(|path| path.file_name().is_some_and(|name| name == "kubectl"))
}

/// The whole of such a program.
pub fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(OsString::into_string);
    // What is no text names nothing here, and clap says so.
    let words = words.map(|word| word.unwrap_or_else(|bytes| bytes.to_string_lossy().into_owned()));
    parse(words.collect()).run().unwrap_or_else(|error| {
        let text = format!("{error:#}");
        match text.starts_with("Error from server") {
            true => eprintln!("{text}"),
            false => eprintln!("error: {text}"),
        }
        ExitCode::FAILURE
    })
}

/// Ends the program where the words say nothing, as clap does.
fn parse(words: Vec<String>) -> Verb {
    Alone::parse_from(in_order(words)).verb
}

/// The verb first; what stood before it comes after it.
fn in_order(words: Vec<String>) -> Vec<String> {
    let mut rest = words.into_iter();
    let mut before = Vec::new();
    let mut ordered = Vec::new();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            ordered.push(match word.as_str() {
                "run" => "run-pod".to_owned(),
                _ => word,
            });
            break;
        }
        let takes_next = WITH_VALUE.contains(&word.as_str());
        before.push(word);
        before.extend(takes_next.then(|| rest.next()).flatten());
    }
    ordered.extend(before);
    ordered.extend(rest);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_before_the_verb() {
        let line = |text: &str| in_order(text.split(' ').map(Into::into).collect()).join(" ");
        assert_eq!(
            line("-i -t exec bb1 -- nc -e /bin/sh"),
            "exec -i -t bb1 -- nc -e /bin/sh"
        );
        assert_eq!(line("-n ui get pods"), "get -n ui pods");
        assert_eq!(line("run a --image=b"), "run-pod a --image=b");
        assert_eq!(line("--help"), "--help");
    }
}
