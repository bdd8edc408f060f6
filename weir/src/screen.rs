//! How commands look: aligned, and coloured only on a terminal.

use std::fmt::Display;

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
