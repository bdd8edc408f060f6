//! What shells, `man` and scripts are told of the command line.

use std::fs;

use crate::common::weir;

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = weir(&format!("completions {shell}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        for word in ["observe", "lint", "fail-on"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = weir(&format!("man --output {}", folder.path().display()));
    assert_eq!(ran.code, 0, "{}", ran.err);
    for (page, word) in [
        ("weir.1", "without a sidecar"),
        ("weir-lint.1", "fail\\-on"),
        ("weir-lab-up.1", "topology"),
    ] {
        let text = fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(
            text.contains(".TH") && text.contains(word),
            "{page}: {text}"
        );
    }
}

#[test]
fn the_version_is_told() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        weir("version").out,
        format!("weir {version}\n"),
        "as --version says"
    );
    assert_eq!(weir("version -o json").json()["version"], version);
}

#[test]
fn a_status_without_an_agent_says_where_one_may_be() {
    let ran = weir("status --instance nosuch");
    assert_eq!(ran.code, 1);
    for word in [
        "--context NAME",
        "kubectl weir",
        "weir lab list",
        "no agent answers at",
    ] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
}
