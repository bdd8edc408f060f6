//! `weir test`.

use std::fs;

use crate::common::{repository, weir};

const SAMPLE: &str = "docs/examples/policy-tests.yaml";

#[test]
fn the_sample_of_the_docs_passes() {
    let ran = weir(&format!("test {SAMPLE}"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("5 tests ok\n"), "{}", ran.out);
}

#[test]
fn a_failure_shows_line_and_reason_everywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.yaml");
    let sample = fs::read_to_string(repository().join(SAMPLE)).expect("the sample");
    let lab = repository().join("lab");
    let wrong = sample
        .replace("../../lab", &lab.display().to_string())
        .replacen("expect: 403", "expect: allow", 1)
        .replace("from: sleep/visitor", "from: sleep/nobody");
    fs::write(&file, wrong).expect("written");
    let junit = folder.path().join("junit.xml");
    let ran = weir(&format!(
        "test {} --junit {}",
        file.display(),
        junit.display()
    ));
    assert_eq!(ran.code, 1);
    for part in [
        "t.yaml:14",
        "expected allow, got 403",
        "path: `/ip` is not fully matched by `/headers`",
        "expected deny, cannot be judged: `from`: no pod `sleep/nobody`",
        "2 of 5 failed",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let report = fs::read_to_string(junit).expect("a report");
    assert!(report.contains("failures=\"1\" errors=\"1\""), "{report}");
    let json = weir(&format!("test {} -o json", file.display())).json();
    assert_eq!(json[0]["tests"][1]["got"], "403");
    assert_eq!(json[0]["tests"][1]["line"], 14);
}

#[test]
fn a_file_that_is_no_suite_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.yaml");
    fs::write(
        &file,
        "tests:\n  - from: a\n    to: b\n    expect: perhaps\n",
    )
    .expect("written");
    let ran = weir(&format!("test {}", file.display()));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("t.yaml:4: tests[0].expect: "),
        "{}",
        ran.err
    );
    let missing = weir("test nowhere.yaml");
    assert!(missing.err.contains("nowhere.yaml"), "{}", missing.err);
}
