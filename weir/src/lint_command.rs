//! `weir lint`: mistakes in policies, with their places and their fixes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use weir_cluster::{
    FolderSource, SourceProblem,
    index::Options,
    yaml::{Document, Place, Places},
};
use weir_policy::{
    lint::{
        Finding, Input, LINTS, Lint, Severity, help, lint, registry,
        sarif::{self, Placed},
    },
    model::Service,
    objects,
};

use crate::{
    manifests::{self, Played},
    screen::{self, aside, bad, bold, doubtful, good},
};

const EXAMPLES: &str = "Examples:
  weir lint manifests/
  weir lint pods.yaml policies/ --fail-on warning
  helm template chart | weir lint -f -              # a place is then -:LINE
  weir lint base/ --namespace shop                  # of objects that name none
  weir lint -f manifests/ -o sarif > weir.sarif     # for a code host
  weir lint --list                                  # what is looked for
  weir lint --explain W013                          # why it is a mistake, and what is right

To silence a lint in one policy: annotation `weir.dev/lint-ignore: W009,path-without-query`.
";

/// Look for mistakes in policies: what applies without a word and does something else than it says.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LintCommand {
    /// Manifests: files or folders, with the pods or workloads that the policies are about; `-` is
    /// standard input
    #[arg(value_name = "PATH", required_unless_present_any = ["list", "explain", "files"])]
    paths: Vec<PathBuf>,
    /// The same
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// The least severity that makes the command fail
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    fail_on: FailOn,
    /// List the lints
    #[arg(long)]
    list: bool,
    /// Say more of one lint, by its id or name
    #[arg(long, value_name = "LINT")]
    explain: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code hosts: SARIF 2.1.0
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Note,
    Warning,
    Error,
    Never,
}

impl LintCommand {
    pub fn run(self) -> Result<ExitCode> {
        if self.list {
            return list(self.output);
        }
        if let Some(named) = &self.explain {
            return explain(named);
        }
        let paths = [self.paths, self.files].concat();
        let mut source = manifests::source(&paths, &self.played)?;
        let reading = source.read();
        let whole = reading.whole();
        let (pod_addresses, service_addresses) = real_addresses(&mut source);
        let documents = source.documents();
        let policies: Vec<&Document> = documents
            .iter()
            .filter(|document| objects::kind_of(&document.value).is_some())
            .collect();
        let findings = lint(&Input {
            pod_addresses,
            service_addresses,
            world: reading.world,
            policies: policies.iter().map(|document| &document.value).collect(),
        });
        tell_others(&reading.problems, &findings);
        let mut places = source.places();
        let findings: Vec<Placed> = findings
            .into_iter()
            .map(|finding| placed(finding, &policies, &mut places))
            .collect();
        match self.output {
            Form::Text => screen::emit(&show(&findings, policies.len(), whole.is_ok()))?,
            Form::Json => screen::emit_json(&findings)?,
            Form::Sarif => screen::emit_json(&sarif::log(&findings))?,
        }
        whole?;
        let fails = findings
            .iter()
            .any(|placed| self.fail_on.counts(placed.finding.severity));
        Ok(ExitCode::from(u8::from(fails)))
    }
}

impl FailOn {
    fn counts(self, severity: Severity) -> bool {
        match self {
            Self::Note => true,
            Self::Warning => severity >= Severity::Warning,
            Self::Error => severity >= Severity::Error,
            Self::Never => false,
        }
    }
}

/// Addresses of pods and of services as the manifests give them, without those that are made up.
fn real_addresses(source: &mut FolderSource) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
    let world = source.read_as(Options::default()).world;
    let pods = world.pods.into_iter().filter(|pod| !pod.host_network);
    let services = world.services.iter().flat_map(Service::fronts).collect();
    (pods.flat_map(|pod| pod.addresses).collect(), services)
}

/// What is wrong and no finding: pods, services, objects that stand twice.
fn tell_others(problems: &[SourceProblem], findings: &[Finding]) {
    for problem in problems {
        let told = findings
            .iter()
            .any(|finding| finding.object == problem.object && finding.field == problem.field);
        if !told {
            eprintln!("{problem}");
        }
    }
}

fn placed(finding: Finding, policies: &[&Document], places: &mut Places) -> Placed {
    let place = policies
        .get(finding.policy)
        .and_then(|document| places.of(document, &finding.field));
    let (file, line) = match place {
        Some(Place { file, line }) => (Some(file.display().to_string()), Some(line)),
        None => (None, None),
    };
    Placed {
        file,
        line,
        finding,
    }
}

/// `whole`: nothing was left unread, so that finding nothing is good.
fn show(findings: &[Placed], policies: usize, whole: bool) -> String {
    let mut text = String::new();
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    for placed in findings {
        let finding = &placed.finding;
        *counts.entry(finding.severity).or_default() += 1;
        text.push_str(&format!(
            "{}  {}  {} {}\n    {} {}\n    {}\n    fix: {}\n\n",
            bold(placed.place()),
            in_colour(finding.severity),
            finding.id,
            finding.lint,
            finding.object,
            finding.field,
            finding.why,
            finding.fix
        ));
    }
    let policies = match policies {
        1 => "1 policy".to_owned(),
        n => format!("{n} policies"),
    };
    if findings.is_empty() {
        return match whole {
            true => good(format!("{policies}: nothing found")),
            false => doubtful(format!("{policies}: nothing found in what was read")),
        };
    }
    let counts: Vec<String> = counts
        .iter()
        .rev()
        .map(|(severity, count)| match count {
            1 => format!("1 {severity}"),
            n => format!("{n} {severity}s"),
        })
        .collect();
    text + &format!("{policies}: {}", counts.join(", "))
}

fn in_colour(severity: Severity) -> String {
    match severity {
        Severity::Error => bad(severity),
        Severity::Warning => doubtful(severity),
        Severity::Note => aside(severity),
    }
}

fn list(form: Form) -> Result<ExitCode> {
    if form == Form::Sarif {
        bail!("-o sarif is for findings; --list has -o text and -o json");
    }
    if form == Form::Json {
        let lints: Vec<_> = LINTS
            .iter()
            .map(|lint| {
                serde_json::json!({
                    "id": lint.id,
                    "name": lint.name,
                    "severity": lint.severity,
                    "summary": lint.summary,
                })
            })
            .collect();
        screen::emit_json(&lints)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |lint: &&Lint| {
        let severity = lint.severity.to_string();
        let id = bold(lint.id);
        format!("{id}  {:<20}  {severity:<7}  {}\n", lint.name, lint.summary)
    };
    screen::emit(&LINTS.iter().map(row).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn explain(named: &str) -> Result<ExitCode> {
    let Some(lint) = registry::find(named) else {
        bail!("there is no lint {named:?}: weir lint --list has all of them");
    };
    let severity = in_colour(lint.severity);
    let head = format!("{} {}  {severity}", bold(lint.id), lint.name);
    screen::emit(&format!("{head}\n{}\n\n{}", lint.summary, help(lint)))?;
    Ok(ExitCode::SUCCESS)
}
