//! How a scenario looks: aligned text, with colours on a terminal.

mod guided;

use std::path::Path;

use owo_colors::{OwoColorize as _, Stream::Stdout};

use super::check::{Checked, Try};
use super::format::{Background, Step};
use super::run::{Done, Options, Played, Telling};
use super::{Family, Loaded};
use crate::state::Pod;

const WIDTH: usize = 92;

pub struct Show {
    telling: Telling,
}

/// A command as a person types it.
pub fn command_line(command: &str) {
    println!("   {}", bold(&format!("$ {command}")));
}

impl Show {
    pub fn new(telling: Telling) -> Self {
        Self { telling }
    }

    fn nothing(&self) -> bool {
        self.telling == Telling::Nothing
    }

    fn everything(&self) -> bool {
        self.telling == Telling::Everything
    }

    pub fn opening(&self, loaded: &Loaded, options: &Options, pods: &[Pod]) {
        if self.nothing() {
            return;
        }
        let scenario = &loaded.scenario;
        println!("{}", bold(&scenario.title));
        if let (Some(source), false) = (&scenario.source, self.everything()) {
            println!("after {source}");
        }
        if let Some(about) = &scenario.about {
            wrapped("", about);
        }
        println!();
        let width = pods
            .iter()
            .map(|pod| pod.id().to_string().len())
            .max()
            .unwrap_or(0);
        for pod in pods {
            let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
            println!("  {:width$}  {}", pod.id(), addresses.join(", "));
        }
        println!(
            "\nThis is lab {:?}: another terminal can look into it.",
            options.lab
        );
    }

    pub fn step(&self, number: usize, step: &Step) {
        if self.nothing() {
            return;
        }
        let title = format!("{number}. {}", step.name);
        let rows: Vec<String> = step.rows.iter().map(ToString::to_string).collect();
        let rows = match rows.as_slice() {
            _ if self.everything() => String::new(),
            [] => String::new(),
            [row] => format!("row {row}"),
            rows => format!("rows {}", rows.join(", ")),
        };
        let width = WIDTH
            .saturating_sub(title.chars().count())
            .max(rows.len() + 2);
        let line = format!("{}{rows:>width$}", bold(&title));
        println!("\n{}", line.trim_end());
        if let Some(note) = &step.note {
            wrapped("   ", note);
        }
    }

    pub fn commands(&self, folder: &Path, commands: &[Done]) {
        if self.nothing() {
            return;
        }
        for done in commands {
            if self.everything() {
                println!();
                manifests(folder, &done.command);
            }
            command_line(&done.command);
            for line in done.output.lines() {
                println!("     {line}");
            }
            if !done.as_expected {
                println!("     {}", red("DIFFERENT"));
            }
        }
    }

    pub fn background(&self, background: &Background) {
        if self.everything() {
            println!();
        }
        if !self.nothing() {
            command_line(&format!(
                "weir lab exec {} -- sh -c '{}' &",
                background.from, background.run
            ));
        }
    }

    pub fn checks(&self, checks: &[Checked]) {
        if self.nothing() {
            return;
        }
        for checked in checks {
            if self.everything() {
                guided::check(checked);
                continue;
            }
            command_line(&checked.command);
            for one in &checked.tries {
                self.tried(one);
            }
            for reason in &checked.why {
                let line = format!("     weir  {reason}");
                println!("{}", line.if_supports_color(Stdout, |t| t.yellow()));
            }
        }
    }

    fn tried(&self, one: &Try) {
        let family = one.family.map_or("", Family::name);
        let head = format!("     {family:4}  {:14} {:5.1} s  ", one.came, one.seconds);
        if one.as_expected {
            let text = "as expected";
            println!("{head}{}", text.if_supports_color(Stdout, |t| t.green()));
            return;
        }
        println!(
            "{head}{}",
            red(&format!("DIFFERENT: {} was expected", one.expected))
        );
        let lines: Vec<&str> = one.output.lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            println!("           {line}");
        }
    }

    pub fn closing(&self, loaded: &Loaded, options: &Options, outcome: &Played) {
        if self.nothing() {
            return;
        }
        let elsewhere = match self.everything() {
            true => &[],
            false => loaded.scenario.elsewhere.as_slice(),
        };
        if !elsewhere.is_empty() {
            println!("\n{}", bold("Shown elsewhere"));
        }
        for elsewhere in elsewhere {
            let rows: Vec<String> = elsewhere.rows.iter().map(ToString::to_string).collect();
            println!("   rows {}: {}", rows.join(", "), elsewhere.what);
        }
        let (checks, seconds) = (outcome.checks, outcome.seconds);
        println!();
        match outcome.differences {
            0 => println!("All {checks} checks came as expected, in {seconds:.0} s."),
            some => println!("{some} of {checks} checks came differently, in {seconds:.0} s."),
        }
        if options.keep {
            println!(
                "The lab is still up, its files are in {}: weir lab down --lab {}",
                loaded.folder.path.display(),
                options.lab
            );
        }
    }
}

/// The files that a command applies.
fn manifests(folder: &Path, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    for pair in words.windows(2) {
        if let ["-f", file] = pair
            && let Ok(yaml) = std::fs::read_to_string(folder.join(file))
        {
            guided::manifest(&yaml);
        }
    }
}

fn bold(text: &str) -> String {
    text.if_supports_color(Stdout, |t| t.bold()).to_string()
}

fn red(text: &str) -> String {
    text.if_supports_color(Stdout, |t| t.red()).to_string()
}

/// A paragraph in lines that fit a terminal.
fn wrapped(indent: &str, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            println!("{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    println!("{indent}{line}");
}
