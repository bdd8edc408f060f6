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
    assert_eq!(ran.code, 1, "{}", ran.err);
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
    assert_eq!(one.code, 2);
    assert!(one.err.contains("give -f twice"), "{}", one.err);
}

#[test]
fn without_the_workloads_it_is_an_error_that_names_what_is_missing() {
    let policies = format!(
        "-f {LAB}/policies/allow-ingress-to-httpbin.yaml -f {LAB}/policies/allow-get-headers.yaml"
    );
    for with in ["", "--with lab/scenarios/s4/sleep.yaml"] {
        let ran = weir(&format!("diff {policies} {with}"));
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        let lines: Vec<&str> = ran.err.lines().collect();
        let [first, second, fix] = lines[..] else {
            panic!("two policies and what to do: {}", ran.err);
        };
        let missing = "is not known: no workload that it selects is in both manifests";
        assert!(
            first.contains("CiliumNetworkPolicy/default/allow-get-headers"),
            "{first}"
        );
        assert!(
            first.ends_with(missing) && second.ends_with(missing),
            "{}",
            ran.err
        );
        assert_eq!(fix, "give the workloads: --with PATH");
    }
    let flows = weir(&format!(
        "diff {policies} --flows docs/examples/flows.jsonl"
    ));
    assert_eq!(flows.code, 2, "{}", flows.err);
    assert!(
        flows
            .err
            .contains("none of 6 recorded flows could be judged"),
        "{}",
        flows.err
    );
    let equal = format!("{LAB}/policies/allow-get-headers.yaml");
    let same = weir(&format!("diff -f {equal} -f {equal} --exit-code"));
    assert_eq!(same.code, 0, "{}", same.err);
}

#[test]
fn rules_whose_peers_are_missing_are_told() {
    let ran = weir(&format!(
        "diff --with {LAB}/httpbin.yaml -f {LAB}/policies/allow-ingress-to-httpbin.yaml \
         -f {LAB}/policies/allow-get-headers.yaml"
    ));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = "what spec.ingress[0].toPorts[0] of CiliumNetworkPolicy/default/allow-get-headers \
                changes is not known in full";
    assert!(ran.err.contains(told), "{}", ran.err);
}

#[test]
fn errors_and_changes_exit_apart() {
    assert_eq!(diff("").code, 0);
    assert_eq!(diff("--exit-code").code, 1);
    for wrong in [
        "--flows no-such-file",
        "--flows README.md --exit-code",
        "-f third",
    ] {
        assert_eq!(diff(wrong).code, 2, "{wrong}");
    }
}
