//! Flows on standard output.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use weir_observe::{
    api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    json,
    print::{HEADS, Style},
};

use super::{Colour, Show};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One line a flow
    Compact,
    /// Aligned columns
    #[value(alias = "tab")]
    Table,
    /// One field a line
    Dict,
    /// One JSON object a line
    #[value(alias = "JSON")]
    Json,
    /// The same
    Jsonpb,
}

/// Shows one flow after the other.
pub struct Printer {
    form: Form,
    style: Style,
    rows: Vec<Vec<String>>,
    shown: u64,
}

impl Printer {
    #[expect(
        clippy::disallowed_methods,
        reason = "a terminal's user says so for all programs"
    )]
    pub fn new(show: &Show) -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = matches!(show.output, Form::Table | Form::Json | Form::Jsonpb);
        let colour = match show.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Self {
            form: show.output,
            style: Style {
                colour: colour && !plain,
                names: show.ip_translation && !show.numeric,
                node: show.print_node_name,
                policies: show.print_policy_names,
                why: show.why,
                time: show.time_format.clone(),
            },
            rows: Vec::new(),
            shown: 0,
        }
    }

    /// Shows an answer; `false` where nobody reads any more.
    pub fn show(&mut self, answer: GetFlowsResponse) -> io::Result<bool> {
        let text = match (self.form, &answer.response_types) {
            (_, None) => return Ok(true),
            // Where nothing is wrong the nodes' names are on the lines.
            (_, Some(ResponseTypes::NodeStatus(status))) if status.message.is_empty() => {
                return Ok(true);
            }
            (_, Some(ResponseTypes::NodeStatus(status))) => {
                let state = status.state_change().as_str_name();
                eprintln!(
                    "{state}: {} {}",
                    status.node_names.join(", "),
                    status.message
                );
                return Ok(true);
            }
            (Form::Json | Form::Jsonpb, _) => self.json(answer),
            (_, Some(ResponseTypes::LostEvents(lost))) => self.style.lost(lost),
            (Form::Compact, Some(ResponseTypes::Flow(flow))) => self.style.compact(flow),
            (Form::Dict, Some(ResponseTypes::Flow(flow))) => {
                let line = if self.shown > 0 { "------------\n" } else { "" };
                format!("{line}{}", self.style.dict(flow))
            }
            (Form::Table, Some(ResponseTypes::Flow(flow))) => {
                self.rows.push(self.style.row(flow));
                return Ok(true);
            }
        };
        self.shown += 1;
        put(&text)
    }

    /// What Hubble's own client can read back; with the reasons only where they are asked for,
    /// because it refuses fields that it does not know.
    fn json(&self, mut answer: GetFlowsResponse) -> String {
        if let Some(ResponseTypes::Flow(flow)) = &mut answer.response_types
            && !self.style.why
        {
            flow.weir = None;
        }
        json::to_value(&answer).to_string()
    }

    /// Shows what could only be aligned when all of it was known.
    pub fn end(self) -> io::Result<()> {
        if self.form != Form::Table {
            return Ok(());
        }
        let mut head: Vec<String> = HEADS.map(str::to_owned).to_vec();
        if self.style.node {
            head.insert(1, "NODE".to_owned());
        }
        let mut widths = vec![0; head.len()];
        let rows = || std::iter::once(&head).chain(&self.rows);
        for row in rows() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows() {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            if !put(cells.join("   ").trim_end())? {
                break;
            }
        }
        Ok(())
    }
}

/// Writes a line; `false` where the reader has gone.
fn put(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}
