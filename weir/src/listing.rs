//! Lists of what agents answer, in kubectl's words: `[KIND/]NAME`, `-n`, `-A`, `-o`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use crate::{
    ask::{Asked, WhichAgent},
    remote::Words,
    screen::{Listed, bad},
};

/// Kinds whose pods have their names in front.
const WORKLOADS: [&str; 6] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
];

/// What to list, and how.
#[derive(Debug, Args)]
pub struct Listing {
    /// Only these: NAME, KIND/NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    agent: WhichAgent,
    /// Only those of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Those of every namespace, which is so where none is named
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Listed,
}

/// An answer that is a list.
pub trait List: Serialize {
    /// Keeps the entries that the test holds for, which is asked about kind, namespace and name.
    fn keep(&mut self, test: &mut dyn FnMut(Entry<'_>) -> bool);
}

/// What a name is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'e> {
    /// Kind, as in manifests.
    pub kind: &'e str,
    /// Namespace; empty where it has none.
    pub namespace: &'e str,
    /// Name.
    pub name: &'e str,
}

/// A name as it was written.
#[derive(Debug)]
struct Wanted<'w> {
    written: &'w str,
    /// The kind that it names, if it names one.
    kind: Option<String>,
    namespace: Option<&'w str>,
    name: &'w str,
    found: bool,
}

/// One agent's part of a list, with its node where there are several.
pub type Part<'a, A> = (Option<&'a str>, &'a A);

// === impl Listing ===

impl Listing {
    /// Asks, keeps what is asked for, and shows it. A node that does not answer is named, and makes the
    /// exit code 1.
    pub fn show<Q: Words>(
        self,
        question: Q,
        text: impl Fn(&[Part<'_, Q::Answer>], bool) -> String,
    ) -> Result<ExitCode>
    where
        Q::Answer: List,
    {
        let mut wanted: Vec<Wanted<'_>> = self.names.iter().map(|name| wanted(name)).collect();
        let namespace = self.namespace.as_deref();
        let mut keep = |entry: Entry<'_>| {
            let here = namespace.is_none_or(|namespace| entry.namespace == namespace);
            let mut named = wanted.is_empty();
            for one in &mut wanted {
                if here && one.is(entry) {
                    (one.found, named) = (true, true);
                }
            }
            here && named
        };
        let mut asked = self.agent.ask(question)?;
        match &mut asked {
            Asked::One(answer) => answer.keep(&mut keep),
            Asked::Nodes(answers) => {
                for of in &mut answers.nodes {
                    of.answer.keep(&mut keep);
                }
            }
        }
        let missing = wanted.iter().find(|one| !one.found);
        if let Some(missing) = missing {
            bail!("{:?} not found", missing.written);
        }
        match &asked {
            Asked::One(answer) => {
                self.output
                    .show(answer, |wide| text(&[(None, answer)], wide))?;
                Ok(ExitCode::SUCCESS)
            }
            Asked::Nodes(answers) => {
                let parts: Vec<Part<'_, Q::Answer>> = answers
                    .nodes
                    .iter()
                    .map(|of| (Some(of.node.as_str()), &of.answer))
                    .collect();
                self.output.show(answers, |wide| text(&parts, wide))?;
                for silent in &answers.silent {
                    eprintln!("{} {}: {}", bad("no answer"), silent.node, silent.error);
                }
                Ok(match answers.silent.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }
        }
    }
}

fn wanted(written: &str) -> Wanted<'_> {
    let (before, name) = match written.rsplit_once('/') {
        Some((before, name)) => (Some(before), name),
        None => (None, written),
    };
    // NAMESPACE/KIND/NAME, and the first two alone.
    let (namespace, word) = match before.and_then(|before| before.split_once('/')) {
        Some((namespace, word)) => (Some(namespace), Some(word)),
        None => (None, before),
    };
    let kind = word.and_then(weir_lab::kind_from_word);
    let namespace = match (&kind, namespace) {
        (None, None) => word,
        _ => namespace,
    };
    Wanted {
        written,
        kind,
        namespace,
        name,
        found: false,
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    fn is(&self, entry: Entry<'_>) -> bool {
        if self.namespace.is_some_and(|of| of != entry.namespace) {
            return false;
        }
        match self.kind.as_deref() {
            None => entry.name == self.name,
            Some(kind) if kind == entry.kind => entry.name == self.name,
            // A workload's pods.
            Some(kind) if entry.kind == "Pod" && WORKLOADS.contains(&kind) => entry
                .name
                .strip_prefix(self.name)
                .is_some_and(|rest| rest.starts_with('-')),
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_kubectl_takes_them() {
        let pod = Entry {
            kind: "Pod",
            namespace: "shop",
            name: "web-7d4b9-x2x5z",
        };
        for (word, is) in [
            ("web-7d4b9-x2x5z", true),
            ("pod/web-7d4b9-x2x5z", true),
            ("po/web", false),
            ("shop/web-7d4b9-x2x5z", true),
            ("other/web-7d4b9-x2x5z", false),
            ("shop/pod/web-7d4b9-x2x5z", true),
            ("deploy/web", true),
            ("shop/deployment/web", true),
            ("deploy/we", false),
            ("netpol/web", false),
            ("web", false),
        ] {
            assert_eq!(wanted(word).is(pod), is, "{word}");
        }
        let policy = Entry {
            kind: "CiliumNetworkPolicy",
            namespace: "shop",
            name: "web",
        };
        for (word, is) in [
            ("web", true),
            ("cnp/web", true),
            ("netpol/web", false),
            ("shop/cnp/web", true),
            ("default/web", false),
        ] {
            assert_eq!(wanted(word).is(policy), is, "{word}");
        }
    }
}
