//! Input without an end: one message, soon, and little memory.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use crate::common::{LAB, repository};

const MANIFESTS: &str = "is larger than 64 MiB";
const FLOWS: &str = ":1: the line is longer than 1 MiB";

/// What `weir ARGS` says, with `/dev/zero` as its standard input and two GiB of addresses at the most.
fn refused(args: &[&str]) -> String {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 2097152; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .current_dir(repository())
        .stdin(Stdio::from(File::open("/dev/zero").expect("zeros")))
        .output()
        .expect("the binary runs");
    assert!(!output.status.success(), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn input_that_does_not_end_is_refused() {
    let pods = format!("{LAB}/sleep.yaml");
    for input in ["-", "/dev/zero"] {
        for (args, said) in [
            (vec!["test", input], MANIFESTS),
            (
                vec!["suggest", "-f", input, "--flows", "/dev/null"],
                MANIFESTS,
            ),
            (vec!["diff", "-f", input, "-f", &pods], MANIFESTS),
            (
                vec!["simulate", "-f", input, "--flows", "/dev/null"],
                MANIFESTS,
            ),
            (vec!["simulate", "-f", &pods, "--flows", input], FLOWS),
            (
                vec!["diff", "-f", &pods, "-f", &pods, "--flows", input],
                FLOWS,
            ),
            (vec!["suggest", "-f", &pods, "--flows", input], FLOWS),
            (vec!["observe", "--input-file", input], FLOWS),
            (
                vec!["ui", "--listen", "127.0.0.1:0", "--input-file", input],
                FLOWS,
            ),
        ] {
            let message = refused(&args);
            assert!(message.contains(said), "{args:?}: {message}");
        }
    }
    // Standard input has no lines that a finding could name.
    let message = refused(&["lint", "-f", "/dev/zero"]);
    assert!(message.contains(MANIFESTS), "{message}");
}
