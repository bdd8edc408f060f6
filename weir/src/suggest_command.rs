//! `weir suggest`: policies from recorded traffic.

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use weir_cluster::Reading;
use weir_observe::{api::observer::GetFlowsRequest, recorded};
use weir_policy::{
    model::Direction,
    record::Recorded,
    suggest::{Options, Suggestion, suggest},
};

use crate::{
    diff_command::read_flows,
    manifests::{self, Named},
    observe_command::Live,
    screen,
};

const EXAMPLES: &str = "Examples:
  weir suggest --lab lab > proposal.yaml
  weir suggest --server localhost:4245 --namespace shop
  hubble observe --last 100000 -o jsonpb > seen.jsonl
  weir suggest --flows seen.jsonl > proposal.yaml
  weir suggest --flows seen.jsonl -f manifests/ --direction ingress --namespace shop
  weir diff -f policies/ -f proposal.yaml --with workloads/ --flows seen.jsonl

What is printed is a proposal: it knows what was seen, not what is right. Record for long enough.
";

/// Propose the smallest policies that allow recorded traffic.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SuggestCommand {
    /// Recorded flows (`hubble observe -o jsonpb`) in place of those that an observer has; `-` is
    /// standard input
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["instance", "lab", "server", "remote", "context", "kubeconfig", "weir_namespace"])]
    flows: Vec<PathBuf>,
    /// Manifests with the pods: they tell which labels tell workloads apart
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: Named,
    /// Limit one direction only
    #[arg(long, value_enum)]
    direction: Option<DirectionName>,
    /// Only for workloads of these namespaces [default: all but the system's]
    #[arg(short, long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Allow flows that were dropped, too
    #[arg(long)]
    allow_denied: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Yaml)]
    output: Form,
    #[command(flatten)]
    live: Live,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DirectionName {
    Ingress,
    Egress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Objects with comments, to be looked at and applied
    Yaml,
    /// For programs
    Json,
}

impl SuggestCommand {
    pub fn run(self) -> Result<ExitCode> {
        let reading = match self.files.is_empty() {
            true => Reading::default(),
            false => manifests::reading(&self.files, &self.cluster.clone().played())?,
        };
        let flows = self.seen()?;
        let options = Options {
            direction: self.direction.map(|direction| match direction {
                DirectionName::Ingress => Direction::Ingress,
                DirectionName::Egress => Direction::Egress,
            }),
            namespaces: self.namespaces,
            denied_too: self.allow_denied,
        };
        let found = suggest(&flows, &reading.world, &options);
        for text in &found.left_out {
            eprintln!("left out: {text}");
        }
        match self.output {
            Form::Json => screen::emit_json(&found)?,
            Form::Yaml => screen::emit(&yaml(&found)?)?,
        }
        reading.whole()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The flows of the files, or all that the observers have.
    fn seen(&self) -> Result<Vec<Recorded>> {
        let mut flows = Vec::new();
        if self.flows.is_empty() {
            let source = self.live.source()?;
            source.read(GetFlowsRequest::default(), |answer| {
                flows.extend(recorded::told(&answer).map_err(io::Error::other)?);
                Ok(true)
            })?;
            return Ok(flows);
        }
        for path in &self.flows {
            flows.extend(read_flows(path)?);
        }
        Ok(flows)
    }
}

/// A rule without peers and ports, which allows nothing: a Cilium policy isolates a direction by it.
const EMPTY_RULES: [(&str, &str); 2] = [
    (
        "\n  ingress:\n  - {}\n",
        "\n  ingress:\n  # No ingress was seen. This rule allows nothing, and denies the rest by being there.\n  - {}\n",
    ),
    (
        "\n  egress:\n  - {}\n",
        "\n  egress:\n  # No egress was seen. This rule allows nothing, and denies the rest by being there.\n  - {}\n",
    ),
];

fn yaml(found: &Suggestion) -> Result<String> {
    if found.proposals.is_empty() {
        return Ok(
            "# No recorded flow is about a workload that a policy could select.\n".to_owned(),
        );
    }
    let mut text = String::new();
    for proposal in &found.proposals {
        text.push_str("---\n");
        text.push_str(&format!(
            "# A proposal by weir suggest, from {} recorded flows: look at it before you apply it.\n",
            proposal.flows
        ));
        for note in &proposal.notes {
            text.push_str(&format!("# Note: {}.\n", note.escape_debug()));
        }
        let mut object = serde_yaml_ng::to_string(&proposal.policy)?;
        for (rule, explained) in EMPTY_RULES {
            object = object.replace(rule, explained);
        }
        text.push_str(&object);
    }
    Ok(text)
}
