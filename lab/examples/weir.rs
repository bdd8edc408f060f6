//! `weir lab` alone, for work on the lab while the rest of the binary is being built.

#[path = "../../weir/src/lab_command.rs"]
mod lab_command;

use clap::Parser;

#[derive(Parser)]
enum Weir {
    Lab(lab_command::LabCommand),
}

fn main() -> std::process::ExitCode {
    let Weir::Lab(command) = Weir::parse();
    command.run().unwrap_or_else(|error| {
        eprintln!("weir: {error:#}");
        std::process::ExitCode::FAILURE
    })
}
