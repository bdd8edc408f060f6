//! `apply`, `create`, `delete`, `label` and `patch`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::{Scope, print_changes, select};
use crate::object::read;

#[derive(Debug, Args)]
#[command(after_help = APPLY)]
pub struct Apply {
    #[command(flatten)]
    scope: Scope,
    /// Files and folders of manifests; - is standard input
    #[arg(short = 'f', long = "filename", required = true)]
    files: Vec<PathBuf>,
}

const APPLY: &str = "Examples:
  weir lab apply -f policy.yaml
  weir lab apply -n ui -f policies/
";

const DELETE: &str = "Examples:
  weir lab delete netpol --all
  weir lab delete pod bb1 bb2
  weir lab delete -f policy.yaml
";

const LABEL: &str = "Examples:
  weir lab label ns dev team=blue
  weir lab label pod/web tier-
";

const PATCH: &str = "Examples:
  weir lab patch netpol default-deny-ingress -p '{spec: {ingress: [{}]}}'
";

const CREATE: &str = "Examples:
  weir lab create ns sleep
  weir lab create -f pod.yaml
";

#[derive(Debug, Args)]
#[command(after_help = CREATE)]
pub struct Create {
    #[command(flatten)]
    scope: Scope,
    /// Create what these manifests describe, which must not be there
    #[arg(short = 'f', long = "filename", conflicts_with = "words")]
    files: Vec<PathBuf>,
    /// namespace NAME
    #[arg(required_unless_present = "files", value_name = "KIND NAME")]
    words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = DELETE)]
pub struct Delete {
    #[command(flatten)]
    scope: Scope,
    /// Delete what these manifests describe
    #[arg(short = 'f', long = "filename", conflicts_with_all = ["words", "all"])]
    files: Vec<PathBuf>,
    /// KIND NAME..., KIND/NAME..., or kinds and --all: netpol, cnp, po, deploy, svc, ns, ...
    #[arg(required_unless_present = "files", value_name = "KIND/NAME")]
    words: Vec<String>,
    /// All of this kind in the namespace
    #[arg(long)]
    all: bool,
    /// No error where it is not there
    #[arg(long)]
    ignore_not_found: bool,
}

#[derive(Debug, Args)]
#[command(after_help = LABEL)]
pub struct Label {
    #[command(flatten)]
    scope: Scope,
    /// An object, and KEY=VALUE or KEY-
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    /// Change labels that are there: it is done in any case
    #[arg(long, hide = true)]
    overwrite: bool,
}

#[derive(Debug, Args)]
#[command(after_help = PATCH)]
pub struct Patch {
    #[command(flatten)]
    scope: Scope,
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    /// What to merge, as JSON or YAML: `{"spec": {"ingress": [{}]}}`
    #[arg(short, long)]
    patch: String,
    /// How to merge
    #[arg(long = "type", default_value = "merge", value_parser = ["merge"])]
    kind: String,
}

// === impl Apply ===

impl Apply {
    pub fn run(self) -> Result<()> {
        let lab = self.scope.open()?;
        print_changes(&lab.apply_paths(&self.files, &self.scope.namespace)?);
        Ok(())
    }
}

// === impl Create ===

impl Create {
    pub fn run(self) -> Result<()> {
        let namespace = &self.scope.namespace;
        let objects = match self.words.as_slice() {
            [] => read::paths(&self.files, namespace)?,
            [kind, name] if select::known(kind)? == "Namespace" => {
                let value = serde_json::json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
                });
                read::text(&value.to_string(), "create namespace", namespace)?
            }
            [kind, ..] => bail!(
                "create {kind}: here `create` makes a namespace (create namespace NAME) or what \
                 manifests describe (create -f FILE)"
            ),
        };
        print_changes(&self.scope.open()?.create(objects)?);
        Ok(())
    }
}

// === impl Delete ===

impl Delete {
    pub fn run(self) -> Result<()> {
        let lab = self.scope.open()?;
        let namespace = &self.scope.namespace;
        if !self.files.is_empty() {
            print_changes(&lab.delete_paths(&self.files, namespace)?);
            return Ok(());
        }
        for asked in select::asked(&self.words)? {
            match (asked.names.is_empty(), self.all) {
                (true, false) => bail!("name what to delete, or say --all"),
                (false, true) => bail!("names and --all exclude each other"),
                (true, true) => {
                    let applied = lab.delete_all(&asked.kind, namespace)?;
                    if applied.changes.is_empty() {
                        println!("No resources found");
                    }
                    print_changes(&applied);
                }
                (false, false) => {}
            }
            for name in &asked.names {
                match lab.delete(&asked.kind, namespace, name) {
                    Err(error) if self.ignore_not_found && is_not_found(&error) => {}
                    applied => print_changes(&applied?),
                }
            }
        }
        Ok(())
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .to_string()
        .starts_with("Error from server (NotFound)")
}

// === impl Label ===

impl Label {
    pub fn run(self) -> Result<()> {
        let (kind, name, words) = select::object(&self.words)?;
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
        let lab = self.scope.open()?;
        print_changes(&lab.label(&kind, &self.scope.namespace, name, &labels)?);
        Ok(())
    }
}

// === impl Patch ===

impl Patch {
    pub fn run(self) -> Result<()> {
        let (kind, name) = select::only_object(&self.words)?;
        let patch = read::value_from_yaml(&self.patch).context("--patch")?;
        let lab = self.scope.open()?;
        print_changes(&lab.patch(&kind, &self.scope.namespace, name, &patch)?);
        Ok(())
    }
}
