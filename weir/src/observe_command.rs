//! `weir observe`: flows as they were judged, with the flags and the lines of `hubble observe`.

mod filters;
mod output;
pub mod source;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use weir_observe::{
    api::observer::GetFlowsRequest,
    flags::{self, Lists},
    json,
    relay::ClientTls,
    times,
};

use filters::FilterArgs;
use output::{Form, Printer};
use source::Source;

const EXAMPLES: &str = "Examples:
  weir observe                                   the last 20 flows
  weir observe --verdict DROPPED --why           what was denied, and by which rule
  weir observe -f --namespace default            follow
  weir observe --from-pod default/sleep --protocol http --http-status 403
  weir observe --lab lab --last 5                a lab's flows
  weir observe -o jsonpb > flows.jsonl           record
  weir observe --input-file flows.jsonl --why    look at a record
";

/// What was seen of flows: who, to whom, the verdict, and with --why the reason.
///
/// Takes the flags of `hubble observe` and prints its lines; `hubble` itself works with --server, too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ObserveCommand {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    show: Show,
}

/// Whose flows: an instance's, a lab's, another machine's, or those of a record.
#[derive(Debug, Args)]
#[command(next_help_heading = "Whose flows")]
pub struct Place {
    /// Name of the running instance
    #[arg(long, default_value = "weir", conflicts_with_all = ["lab", "server", "input_file"])]
    name: String,
    /// A lab's flows, of all its nodes
    #[arg(long, conflicts_with_all = ["server", "input_file"])]
    lab: Option<String>,
    /// An observer: unix:///PATH or HOST:PORT
    #[arg(long, env = "HUBBLE_SERVER", conflicts_with = "input_file")]
    server: Option<String>,
    /// Authority that the server's certificate is of, PEM
    #[arg(long, value_name = "FILE", requires = "server")]
    tls_ca_cert_file: Option<PathBuf>,
    /// Certificate for the server, PEM
    #[arg(long, value_name = "FILE", requires = "tls_client_key_file")]
    tls_client_cert_file: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_ca_cert_file")]
    tls_client_key_file: Option<PathBuf>,
    /// Name that the server's certificate is for
    #[arg(long, value_name = "NAME", requires = "tls_ca_cert_file")]
    tls_server_name: Option<String>,
    /// A record of flows (-o jsonpb); `-` is standard input
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which flows")]
struct Range {
    /// The last ones [default: 20, unless another range is given]
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["first", "all"])]
    last: Option<u64>,
    /// The first ones
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["all", "follow"])]
    first: Option<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Go on with new ones
    #[arg(short = 'f', long)]
    follow: bool,
    /// From this time on: a time, or how long ago (5m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How to show them")]
struct Show {
    /// Form
    #[arg(short = 'o', long, value_enum, default_value_t = Form::Compact)]
    output: Form,
    /// With the rule that decided, or the one that came nearest
    #[arg(long)]
    why: bool,
    /// With the name of the node
    #[arg(long)]
    print_node_name: bool,
    /// With the policies that decided
    #[arg(long)]
    print_policy_names: bool,
    /// Addresses in place of names
    #[arg(long)]
    numeric: bool,
    /// Names in place of addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    ip_translation: bool,
    /// Form of times: StampMilli, RFC3339, RFC3339Milli, RFC3339Micro, RFC3339Nano or RFC1123Z
    #[arg(long, default_value = "StampMilli", value_parser = times::form)]
    time_format: String,
    /// Colours
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Print the filters as JSON and end
    #[arg(long)]
    print_raw_filters: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal
    Auto,
    Always,
    Never,
}

/// Flows without another range.
const LAST: u64 = 20;

impl ObserveCommand {
    pub fn run(self) -> Result<ExitCode> {
        if self.show.print_raw_filters {
            for (name, list) in [
                (flags::ALLOW, &self.filters.0.allow),
                (flags::DENY, &self.filters.0.deny),
            ] {
                for filter in list {
                    println!("{name}: {}", json::to_value(filter));
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let request = self.range.request(self.filters.0)?;
        let source = self.place.source()?;
        let mut printer = Printer::new(&self.show);
        source.read(request, |answer| printer.show(answer))?;
        printer.end()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Range {
    fn request(&self, filters: Lists) -> Result<GetFlowsRequest> {
        let time = |text: &Option<String>| {
            let read = |text: &String| times::time(text).with_context(|| format!("{text:?}"));
            text.as_ref().map(read).transpose()
        };
        let bound = self.since.is_some() || self.until.is_some();
        let number = match (self.last, self.first) {
            (Some(number), _) | (None, Some(number)) => number,
            (None, None) if self.all || self.follow || bound => 0,
            (None, None) => LAST,
        };
        if number == 0 && (self.last.is_some() || self.first.is_some()) {
            bail!("a range of 0 flows: --all means all of them");
        }
        Ok(GetFlowsRequest {
            number,
            first: self.first.is_some(),
            follow: self.follow,
            blacklist: filters.deny,
            whitelist: filters.allow,
            since: time(&self.since)?,
            until: time(&self.until)?,
            ..GetFlowsRequest::default()
        })
    }
}

impl Place {
    /// In a few words.
    pub fn described(&self) -> String {
        let file = self.input_file.as_ref().map(|path| path.display());
        match (file, &self.server, &self.lab) {
            (Some(file), ..) => file.to_string(),
            (None, Some(server), _) => server.clone(),
            (None, None, Some(lab)) => format!("lab {lab}"),
            (None, None, None) => format!("instance {}", self.name),
        }
    }

    pub fn source(&self) -> Result<Source> {
        if let Some(file) = &self.input_file {
            return Ok(Source::File(file.clone()));
        }
        if let Some(server) = &self.server {
            return Source::server(server, self.tls());
        }
        let sockets = match &self.lab {
            Some(name) => weir_lab::Lab::open(name)?.observers()?,
            None => vec![weir_link::Instance::new(&self.name)?.observer_socket()],
        };
        Ok(Source::sockets(sockets))
    }

    fn tls(&self) -> Option<ClientTls> {
        let certificate = self.tls_client_cert_file.clone();
        Some(ClientTls {
            authority: self.tls_ca_cert_file.clone()?,
            identity: certificate.zip(self.tls_client_key_file.clone()),
            server_name: self.tls_server_name.clone(),
        })
    }
}
