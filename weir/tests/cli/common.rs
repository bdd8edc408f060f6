//! Runs the real binary in the repository's folder.

use std::{
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

pub const LAB: &str = "lab/scenarios/s4";

/// What a command left behind.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("a workspace").to_owned()
}

/// `weir ARGS`, with a blank between two arguments; `'` keeps blanks together.
pub fn weir(line: &str) -> Ran {
    weir_with(&[], line)
}

/// The same with these variables of the environment.
pub fn weir_with(variables: &[(&str, &str)], line: &str) -> Ran {
    run(command(line).envs(variables.iter().copied()))
}

/// The same with this standard input.
pub fn weir_fed(input: &str, line: &str) -> Ran {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input.as_bytes()).expect("written");
    file.rewind().expect("from its start");
    run(command(line).stdin(file))
}

fn command(line: &str) -> Command {
    let mut args: Vec<String> = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => args.extend(part.split_whitespace().map(str::to_owned)),
            _ => args.push(part.to_owned()),
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args).current_dir(repository());
    command
}

fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    /// Its output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}
