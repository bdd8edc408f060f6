//! `weir lab label`, `patch`, `get` and `rollout`: kubectl's words for one object.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use weir_lab::Lab;

use super::{Named, print_changes, print_problems};

/// An object as kubectl takes it: `KIND NAME` or `KIND/NAME`, and more words.
#[derive(Debug, Args)]
struct Words {
    /// KIND NAME or KIND/NAME, and what else the command takes
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Args)]
pub struct Label {
    #[command(flatten)]
    lab: Named,
    #[command(flatten)]
    object: Words,
}

#[derive(Debug, Args)]
pub struct Patch {
    #[command(flatten)]
    lab: Named,
    #[command(flatten)]
    object: Words,
    /// What to merge, as JSON or YAML: `{"spec": {"ingress": [{}]}}`
    #[arg(short, long)]
    patch: String,
}

#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    lab: Named,
    #[command(flatten)]
    object: Words,
}

#[derive(Debug, Args)]
pub struct Rollout {
    #[command(flatten)]
    lab: Named,
    #[arg(value_enum)]
    action: Action,
    #[command(flatten)]
    object: Words,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    /// New pods with new addresses
    Restart,
    /// Say that it is done: a restart returns when it is
    Status,
}

// === impl Words ===

impl Words {
    /// Kind, name and what follows.
    fn object(&self) -> Result<(String, &str, &[String])> {
        let (first, rest) = self.words.split_first().context("name an object")?;
        let (word, name, rest) = match first.split_once('/') {
            Some((word, name)) => (word, name, rest),
            None => {
                let (name, rest) = rest.split_first().context("name an object: KIND NAME")?;
                (first.as_str(), name.as_str(), rest)
            }
        };
        Ok((kind(word)?, name, rest))
    }

    fn only_object(&self) -> Result<(String, &str)> {
        match self.object()? {
            (kind, name, []) => Ok((kind, name)),
            (_, _, [word, ..]) => bail!("{word:?} is too much"),
        }
    }
}

// === impl Label ===

impl Label {
    pub fn run(self) -> Result<ExitCode> {
        let (kind, name, words) = self.object.object()?;
        let labels: BTreeMap<String, Option<String>> = words
            .iter()
            .map(
                |word| match (word.split_once('='), word.strip_suffix('-')) {
                    (Some((key, value)), _) => Ok((key.to_owned(), Some(value.to_owned()))),
                    (None, Some(key)) => Ok((key.to_owned(), None)),
                    (None, None) => bail!("{word:?} is neither KEY=VALUE nor KEY-"),
                },
            )
            .collect::<Result<_>>()?;
        if labels.is_empty() {
            bail!("say which labels: KEY=VALUE sets one, KEY- takes it away");
        }
        let lab = Lab::open(&self.lab.name)?;
        print_changes(&lab.label(&kind, &self.object.namespace, name, &labels)?);
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Patch ===

impl Patch {
    pub fn run(self) -> Result<ExitCode> {
        let (kind, name) = self.object.only_object()?;
        let patch = weir_lab::value_from_yaml(&self.patch).context("--patch")?;
        let lab = Lab::open(&self.lab.name)?;
        print_changes(&lab.patch(&kind, &self.object.namespace, name, &patch)?);
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Get ===

impl Get {
    pub fn run(self) -> Result<ExitCode> {
        let lab = Lab::open(&self.lab.name)?;
        let namespace = &self.object.namespace;
        let found = match self.object.words.as_slice() {
            [word] if !word.contains('/') => lab.get(&kind(word)?, namespace, None)?,
            _ => {
                let (kind, name) = self.object.only_object()?;
                lab.get(&kind, namespace, Some(name))?
            }
        };
        if found.is_empty() {
            println!("No resources found");
        }
        for object in found {
            print!("---\n{}", weir_lab::value_to_yaml(&object)?);
        }
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Rollout ===

impl Rollout {
    pub fn run(self) -> Result<ExitCode> {
        let (kind, name) = self.object.only_object()?;
        let lab = Lab::open(&self.lab.name)?;
        let namespace = &self.object.namespace;
        match self.action {
            Action::Restart => print_changes(&lab.rollout_restart(&kind, namespace, name)?),
            Action::Status => {
                lab.get(&kind, namespace, Some(name))?;
                print_problems(&lab.sync()?);
                println!("{} {name:?} successfully rolled out", kind.to_lowercase());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn kind(word: &str) -> Result<String> {
    weir_lab::kind_from_word(word).with_context(|| format!("there is no kind {word:?}"))
}
