//! What is logged, and in which form.

use std::process::{Command, Output};

fn webhook(environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args([
            "webhook",
            "--cert",
            "/nowhere/tls.crt",
            "--key",
            "/nowhere/tls.key",
        ])
        .envs(environment.iter().copied())
        .output()
        .expect("weir")
}

fn said(environment: &[(&str, &str)]) -> String {
    let output = webhook(environment);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn collectors_get_an_object_for_each_line() {
    let text = said(&[]);
    assert!(text.starts_with("weir: "), "{text}");
    let json = said(&[("WEIR_LOG_FORMAT", "json")]);
    for line in json.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(line["timestamp"].is_string(), "{line}");
        assert_eq!(line["level"], "ERROR");
        assert!(
            line["message"]
                .as_str()
                .unwrap()
                .contains("/nowhere/tls.crt"),
            "{line}"
        );
    }
    assert_eq!(json.lines().count(), 1, "{json}");
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let format = said(&[("WEIR_LOG_FORMAT", "xml")]);
    assert!(
        format.contains("WEIR_LOG_FORMAT: `xml` is neither text nor json"),
        "{format}"
    );
    assert!(said(&[("WEIR_LOG", "a=b=c")]).contains("WEIR_LOG"));
}
