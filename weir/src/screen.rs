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
