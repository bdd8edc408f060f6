//! `edit`: an object in the editor, and back.

use std::env;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;
use weir_cluster::{Converted, convert};

use super::{Scope, print_changes, select};
use crate::lab::Lab;
use crate::object::{Object, read};

const ABOUT: &str = "# Edit the object, save it and leave the editor: then it is applied.\n\
                     # Lines that begin with # are left out; an empty file changes nothing.\n";

const EXAMPLES: &str = "Examples:
  weir lab edit netpol default-deny-ingress
  EDITOR='sed -i s/Ingress/Egress/' weir lab edit netpol/default-deny-ingress -n web
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Edit {
    #[command(flatten)]
    scope: Scope,
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
}

// === impl Edit ===

impl Edit {
    pub fn run(self) -> Result<()> {
        let (kind, name) = select::only_object(&self.words)?;
        let lab = self.scope.open()?;
        let namespace = &self.scope.namespace;
        let before = match lab.get(&kind, namespace, Some(name)) {
            Ok(found) => found.into_iter().next().unwrap_or_default(),
            Err(error) => {
                let pod = kind == "Pod" && lab.pod_in(name, namespace).is_ok();
                return Err(match pod {
                    true => error.context(format!("pod {name} is a replica: edit what made it")),
                    false => error,
                });
            }
        };
        let mut file = tempfile::Builder::new()
            .prefix("weir-lab-edit-")
            .suffix(".yaml")
            .tempfile()
            .context("cannot make a file to edit")?;
        let first = format!("{ABOUT}{}", read::value_to_yaml(&before)?);
        file.write_all(first.as_bytes())
            .context("cannot write a file to edit")?;
        let mut shown = first;
        loop {
            open_editor(file.path())?;
            let saved = fs::read_to_string(file.path()).context("cannot read what was saved")?;
            if without_comments(&saved) == without_comments(&shown)
                || without_comments(&saved).is_empty()
            {
                println!("Edit cancelled, no changes made.");
                return Ok(());
            }
            match changed(&saved, &before, namespace) {
                Ok(object) => return apply(&lab, object),
                // Who sits at it may correct it, with the reason before the eyes.
                Err(error) if std::io::stdin().is_terminal() => {
                    let reason = format!("{error:#}").replace('\n', "\n# ");
                    shown = format!("# {reason}\n#\n{}", without_comments(&saved));
                    fs::write(file.path(), &shown).context("cannot write a file to edit")?;
                }
                Err(error) => {
                    let (_, path) = file.keep().context("cannot keep what was saved")?;
                    return Err(
                        error.context(format!("what was saved stays in {}", path.display()))
                    );
                }
            }
        }
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

/// `$KUBE_EDITOR`, `$EDITOR` or vi; both may hold options.
#[expect(
    clippy::disallowed_methods,
    reason = "the editor is the user's, as git takes it"
)]
fn open_editor(path: &std::path::Path) -> Result<()> {
    let named = ["KUBE_EDITOR", "VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| env::var(name).ok());
    let editor = named.filter(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "edit"])
        .arg(path)
        .status()
        .with_context(|| format!("cannot run the editor {editor:?}"))?;
    if !status.success() {
        bail!("the editor {editor:?} ended with {status}; EDITOR says which one is used");
    }
    Ok(())
}

/// The object that was saved, where all of it is understood.
fn changed(saved: &str, before: &Value, namespace: &str) -> Result<Object> {
    let objects = read::text(saved, "what was saved", namespace)?;
    let [object] = <[Object; 1]>::try_from(objects)
        .map_err(|objects| anyhow::anyhow!("{} objects: one is wanted", objects.len()))?;
    let same = |pointer: &str| object.value.pointer(pointer) == before.pointer(pointer);
    for pointer in [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ] {
        if !same(pointer) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            bail!("{field}: it cannot be changed, only what the object says can");
        }
    }
    let problems = match convert(&object.value) {
        Converted::Good { problems, .. } | Converted::Bad { problems, .. } => problems,
        Converted::Alien { problem } => vec![problem],
        Converted::Ignored { .. } => Vec::new(),
    };
    if !problems.is_empty() {
        let reasons: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("{}", reasons.join("\n"));
    }
    Ok(object)
}

fn apply(lab: &Lab, object: Object) -> Result<()> {
    let mut applied = lab.put(vec![object])?;
    for change in &mut applied.changes {
        if change.what == "configured" {
            change.what = "edited";
        }
    }
    print_changes(&applied);
    Ok(())
}
