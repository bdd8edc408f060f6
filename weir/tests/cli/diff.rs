//! `weir diff`.

use crate::common::{LAB, weir};

fn diff(rest: &str) -> crate::common::Ran {
    weir(&format!(
        "diff --with {LAB}/sleep.yaml {LAB}/httpbin.yaml {LAB}/visitor.yaml \
         -f {LAB}/policies/allow-ingress-to-httpbin.yaml -f {LAB}/policies/allow-get-headers.yaml {rest}"
    ))
}

#[test]
fn the_page_shows_what_is_printed() {
    let ran = diff("");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = include_str!("../../../docs/diff.md");
    assert!(
        page.contains(&format!("```\n{}```", ran.out)),
        "{}",
        ran.out
    );
}

#[test]
fn recorded_flows_are_counted() {
    let ran = diff("--flows docs/examples/flows.jsonl --exit-code");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.out.contains("GET /status/200"), "{}", ran.out);
    assert!(
        ran.out
            .contains("2 of 5 recorded flows change; 1 could not be judged"),
        "{}",
        ran.out
    );
    let json = diff("--flows docs/examples/flows.jsonl -o json").json();
    assert_eq!(json["changes"][0]["after"], "http-deny");
}

#[test]
fn nothing_changes_between_equals() {
    let policy = format!("{LAB}/policies/allow-get-headers.yaml");
    let ran = weir(&format!(
        "diff --with {LAB}/httpbin.yaml -f {policy} -f {policy} --exit-code"
    ));
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("nothing changes"), "{}", ran.out);
    let one = weir(&format!("diff -f {policy}"));
    assert_eq!(one.code, 1);
    assert!(one.err.contains("give -f twice"), "{}", one.err);
}
