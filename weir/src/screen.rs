//! How commands look: aligned, and coloured only on a terminal.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use clap::ValueEnum;
use owo_colors::{OwoColorize as _, Stream::Stdout};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
}

/// Form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// For people
    #[value(alias = "table")]
    Text,
    /// With more columns
    Wide,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
}

// === impl Output ===

impl Output {
    /// Shows a value in this form.
    pub fn show(
        self,
        value: &impl serde::Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Text => Ok(emit(&text())?),
            Self::Json => emit_json(value),
            Self::Yaml => Ok(emit(&serde_yaml_ng::to_string(value)?)?),
        }
    }
}

// === impl Listed ===

impl Listed {
    /// Shows a list in this form; the text is told whether it is to be wide.
    pub fn show(
        self,
        value: &impl serde::Serialize,
        text: impl FnOnce(bool) -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Text => Output::Text.show(value, || text(false)),
            Self::Wide => Output::Text.show(value, || text(true)),
            Self::Json => Output::Json.show(value, String::new),
            Self::Yaml => Output::Yaml.show(value, String::new),
        }
    }
}

/// Writes all of a command's output. A reader that has gone (`| head`) is no fault.
pub fn emit(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| match text.ends_with('\n') || text.is_empty() {
            true => Ok(()),
            false => out.write_all(b"\n"),
        })
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a value as JSON for programs.
pub fn emit_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(emit(&serde_json::to_string_pretty(value)?)?)
}

/// "1 policy", "2 policies".
pub fn many(number: impl TryInto<u64> + Copy + Display, one: &str, more: &str) -> String {
    let word = match number.try_into() {
        Ok(1) => one,
        _ => more,
    };
    format!("{number} {word}")
}

/// What matters most.
pub fn bold(text: impl Display) -> String {
    text.if_supports_color(Stdout, |text| text.bold())
        .to_string()
}

/// What went well.
pub fn good(text: impl Display) -> String {
    text.if_supports_color(Stdout, |text| text.green())
        .to_string()
}

/// What did not.
pub fn bad(text: impl Display) -> String {
    text.if_supports_color(Stdout, |text| text.red())
        .to_string()
}

/// What may be wrong.
pub fn doubtful(text: impl Display) -> String {
    text.if_supports_color(Stdout, |text| text.yellow())
        .to_string()
}

/// What is said by the way.
pub fn aside(text: impl Display) -> String {
    text.if_supports_color(Stdout, |text| text.dimmed())
        .to_string()
}

/// Rows in aligned columns under their titles; the last column is as long as it is.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let all = || std::iter::once(&titles).chain(rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for (number, row) in all().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let missing = width.saturating_sub(cell.chars().count());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', missing + 2));
        }
        let line = line.trim_end();
        match number {
            0 => text.push_str(&bold(line)),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
