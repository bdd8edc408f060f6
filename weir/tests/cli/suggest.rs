//! `weir suggest`.

use std::fs;

use crate::common::{LAB, weir};

const FLOWS: &str = "docs/examples/flows.jsonl";

#[test]
fn the_proposal_is_good_and_changes_nothing_of_what_passed() {
    let ran = weir(&format!(
        "suggest --flows {FLOWS} -f {LAB}/sleep.yaml {LAB}/httpbin.yaml"
    ));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out
            .contains("# A proposal by weir suggest, from 4 recorded flows"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("path: /status/[^/]+"), "{}", ran.out);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proposal.yaml");
    fs::write(&file, &ran.out).expect("written");
    let file = file.display();
    let lint = weir(&format!(
        "lint -f {file} -f {LAB}/sleep.yaml -f {LAB}/httpbin.yaml"
    ));
    assert_eq!(lint.code, 0, "{}{}", lint.out, lint.err);
    assert!(lint.out.contains("nothing found"), "{}", lint.out);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let diff = weir(&format!(
        "diff --with {LAB}/sleep.yaml {LAB}/httpbin.yaml {LAB}/visitor.yaml -f {} -f {file} --flows {FLOWS} -o json",
        empty.display()
    ))
    .json();
    let changes = diff["changes"].as_array().expect("a list");
    let [only] = changes.as_slice() else {
        panic!("only what was dropped changes: {changes:?}");
    };
    assert_eq!(only["from"], "sleep/visitor");
}

#[test]
fn without_manifests_the_flows_tell_the_labels() {
    let json = weir(&format!(
        "suggest --flows {FLOWS} --direction ingress -o json"
    ))
    .json();
    let kinds: Vec<_> = json["proposals"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|proposal| proposal["policy"]["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["CiliumNetworkPolicy", "NetworkPolicy"]);
    let bad = weir("suggest --flows README.md");
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("README.md:1: not a flow"), "{}", bad.err);
}

#[test]
fn a_rule_that_allows_nothing_is_explained() {
    let ran = weir(&format!("suggest --flows {FLOWS}"));
    let explained = "  egress:\n  # No egress was seen. This rule allows nothing, and denies the \
                     rest by being there.\n  - {}\n";
    assert!(ran.out.contains(explained), "{}", ran.out);
}
