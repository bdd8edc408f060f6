//! `weir observe`: flows as they were judged, with the flags and the lines of `hubble observe`.

mod filters;
mod output;
mod place;
pub mod source;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use weir_observe::{
    api::observer::GetFlowsRequest,
    flags::{self, Lists},
    json, times,
};

use filters::FilterArgs;
use output::{Form, Printer};
pub use place::{Live, Place};

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
    /// What: `flows`, as in `hubble observe flows`
    #[arg(hide = true, value_parser = only_flows)]
    what: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    show: Show,
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
    /// Only these fields of flows, as `source.pod_name,verdict` (-o json)
    #[arg(
        long,
        value_name = "PATHS",
        value_delimiter = ',',
        alias = "experimental-field-mask"
    )]
    field_mask: Vec<String>,
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
        let mut request = self.range.request(self.filters.0)?;
        self.show.mask(&mut request)?;
        let source = self.place.source()?;
        let mut printer = Printer::new(&self.show);
        source.read(request, |answer| printer.show(answer))?;
        printer.end()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What else hubble's `observe` shows, Weir has not.
fn only_flows(text: &str) -> Result<String, String> {
    match text {
        "flows" => Ok(text.to_owned()),
        "agent-events" | "debug-events" => Err("Weir's observers tell of flows only".to_owned()),
        _ => Err("is not known; filters are flags, such as --pod".to_owned()),
    }
}

impl Show {
    fn mask(&self, request: &mut GetFlowsRequest) -> Result<()> {
        if self.field_mask.is_empty() {
            return Ok(());
        }
        if !matches!(self.output, Form::Json | Form::Jsonpb) {
            bail!("--field-mask leaves parts of flows out, which only -o json can show");
        }
        let mask = request.field_mask.get_or_insert_default();
        mask.paths.clone_from(&self.field_mask);
        Ok(())
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
