//! `get`: objects as kubectl shows them.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::print::{self, Form};
use super::{Scope, select, table};

const EXAMPLES: &str = "Examples:
  weir lab get pods -o wide
  weir lab get svc,netpol -A
  weir lab get netpol default-deny-ingress -o yaml
  weir lab get pod bb1 -o go-template --template '{{.status.podIP}}'
  weir lab get po -l app=web -o jsonpath='{.items[*].status.podIP}'
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Get {
    #[command(flatten)]
    scope: Scope,
    /// Kinds (pods, svc, netpol, all, with commas), KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// wide, yaml, json, name, go-template=TEMPLATE or jsonpath=TEMPLATE [default: a table]
    #[arg(short, long)]
    output: Option<String>,
    /// The template, where -o does not give it
    #[arg(long)]
    template: Option<String>,
    /// Only objects with such labels: KEY=VALUE, KEY!=VALUE, KEY, !KEY
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Show the labels as well
    #[arg(long)]
    show_labels: bool,
    /// Leave the titles of the columns out
    #[arg(long)]
    no_headers: bool,
}

// === impl Get ===

impl Get {
    pub fn run(self) -> Result<()> {
        let form = Form::of(self.output.as_deref(), self.template.as_deref())?;
        let terms = self.selector.as_deref().map(select::selector).transpose()?;
        let asked = select::asked(&self.words)?;
        let one = matches!(asked.as_slice(), [only] if only.names.len() == 1);
        let objects = self.scope.open()?.view()?;
        let namespace = (!self.all_namespaces).then_some(self.scope.namespace.as_str());
        let mut groups: Vec<Vec<&Value>> = Vec::new();
        for asked in &asked {
            let mut found = select::find(&objects, asked, namespace)?;
            if let Some(terms) = &terms {
                found.retain(|object| select::matches(object, terms));
            }
            groups.push(found);
        }
        let all: Vec<&Value> = groups.iter().flatten().copied().collect();
        let shown = match &form {
            Form::Table { wide } => {
                if all.is_empty() {
                    return self.nothing(namespace);
                }
                let look = table::Look {
                    wide: *wide,
                    namespaces: self.all_namespaces,
                    labels: self.show_labels,
                    headers: !self.no_headers,
                    kinds: asked.len() > 1,
                };
                let tables = groups.iter().filter(|group| !group.is_empty());
                let tables: Vec<String> = tables.map(|group| look.table(group)).collect();
                tables.join("\n")
            }
            Form::Name => all
                .iter()
                .map(|object| table::name(object) + "\n")
                .collect(),
            _ => {
                let whole = match all.as_slice() {
                    [only] if one => (*only).clone(),
                    _ => json!({
                        "apiVersion": "v1",
                        "kind": "List",
                        "metadata": { "resourceVersion": "" },
                        "items": all,
                    }),
                };
                print::value(&form, &whole)?
            }
        };
        print::emit(&shown)
    }

    /// As kubectl: nothing to show is no error, and is said where errors are.
    fn nothing(&self, namespace: Option<&str>) -> Result<()> {
        match namespace {
            Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
            None => eprintln!("No resources found"),
        }
        Ok(())
    }
}
