//! How a scenario looks: aligned text, with colours on a terminal.

use owo_colors::{OwoColorize as _, Stream::Stdout};

use super::check::{Checked, Try};
use super::format::{Background, Step};
use super::run::{Done, Options, Outcome};
use super::{Family, Loaded};
use crate::state::Pod;

const WIDTH: usize = 92;

pub struct Show {
    quiet: bool,
}

impl Show {
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    pub fn opening(&self, loaded: &Loaded, options: &Options, pods: &[Pod]) {
        if self.quiet {
            return;
        }
        let scenario = &loaded.scenario;
        println!("{}", bold(&scenario.title));
        if let Some(source) = &scenario.source {
            println!("after {source}");
        }
        if let Some(about) = &scenario.about {
            wrapped("", about);
        }
        println!();
        let width = pods.iter().map(|pod| pod.id().len()).max().unwrap_or(0);
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
        if self.quiet {
            return;
        }
        let title = format!("{number}. {}", step.name);
        let rows: Vec<String> = step.rows.iter().map(ToString::to_string).collect();
        let rows = match rows.len() {
            0 => String::new(),
            1 => format!("row {}", rows[0]),
            _ => format!("rows {}", rows.join(", ")),
        };
        let space = WIDTH
            .saturating_sub(title.chars().count() + rows.len())
            .max(2);
        println!("\n{}{}{rows}", bold(&title), " ".repeat(space));
        if let Some(note) = &step.note {
            wrapped("   ", note);
        }
    }

    pub fn commands(&self, commands: &[Done]) {
        if self.quiet {
            return;
        }
        for done in commands {
            println!("   {}", bold(&format!("$ {}", done.command)));
            for line in done.output.lines() {
                println!("     {line}");
            }
            if !done.as_expected {
                println!("     {}", red("DIFFERENT"));
            }
        }
    }

    pub fn background(&self, background: &Background) {
        if !self.quiet {
            let line = format!(
                "$ weir lab exec {} -- sh -c '{}' &",
                background.from, background.run
            );
            println!("   {}", bold(&line));
        }
    }

    pub fn checks(&self, checks: &[Checked]) {
        if self.quiet {
            return;
        }
        for checked in checks {
            println!("   {}", bold(&format!("$ {}", checked.command)));
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

    pub fn closing(&self, loaded: &Loaded, options: &Options, outcome: &Outcome) {
        if self.quiet {
            return;
        }
        if !loaded.scenario.elsewhere.is_empty() {
            println!("\n{}", bold("Shown elsewhere"));
        }
        for elsewhere in &loaded.scenario.elsewhere {
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
                "The lab is still up, its files are in {}: weir lab down --name {}",
                loaded.folder.path.display(),
                options.lab
            );
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
