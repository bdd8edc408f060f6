//! What is told to somebody who sees it for the first time: each manifest, and of each check what
//! was expected, what came, and what Weir says of it.

use owo_colors::{OwoColorize as _, Stream::Stdout};

use super::{WIDTH, command_line, red};
use crate::scenario::check::{Checked, Try};

/// What is applied.
pub fn manifest(yaml: &str) {
    for line in yaml.trim_end().lines() {
        let line = format!("     {line}");
        println!("{}", line.if_supports_color(Stdout, |t| t.cyan()));
    }
    println!();
}

/// One check.
pub fn check(checked: &Checked) {
    println!();
    command_line(&checked.command);
    if let Some(one) = checked.tries.first() {
        println!("     expected  {}", one.expected);
    }
    for (index, one) in checked.tries.iter().enumerate() {
        let word = if index == 0 { "came" } else { "" };
        let family = one
            .family
            .map_or(String::new(), |f| format!("{:4}  ", f.name()));
        let as_expected = match one.as_expected {
            true => "as expected"
                .if_supports_color(Stdout, |t| t.green())
                .to_string(),
            false => red("DIFFERENT"),
        };
        println!("     {word:8}  {family}{}  {as_expected}", came(one));
    }
    for reason in &checked.why {
        let line = format!("     weir      {reason}");
        println!("{}", line.if_supports_color(Stdout, |t| t.yellow()));
    }
}

/// What came, in the tool's own words where they are few.
fn came(one: &Try) -> String {
    let said = one.output.trim();
    match said.contains('\n') || said.is_empty() || said.len() > WIDTH {
        true => one.came.clone(),
        false => format!("{}: {said}", one.came),
    }
}
