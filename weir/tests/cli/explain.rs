//! `weir explain`.

use crate::common::{LAB, weir};

fn explain(rest: &str) -> crate::common::Ran {
    weir(&format!(
        "explain -f {LAB}/sleep.yaml -f {LAB}/httpbin.yaml -f {LAB}/policies/allow-get-headers.yaml {rest}"
    ))
}

#[test]
fn the_nearest_miss_is_told_to_people_and_programs() {
    let flow = "--from deploy/sleep --to svc/httpbin --port 8000 --http '/headers?x=1'";
    let text = explain(flow);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(
        text.out
            .contains("path: `/headers?x=1` is not fully matched by `/headers`")
    );
    assert!(!text.out.contains('\u{1b}'), "no colours off a terminal");
    let json = explain(&format!("{flow} -o json")).json();
    assert_eq!(json["verdict"], "http-deny");
    assert_eq!(
        json["ingress"]["nearest_miss"]["field"],
        "spec.ingress[0].toPorts[0].rules.http[0]"
    );
}

#[test]
fn a_header_is_part_of_the_question() {
    let json = explain(
        "--from deploy/sleep --to httpbin --port 80 --http 'GET /headers' --header 'Host: x' -o json",
    );
    assert_eq!(json.json()["verdict"], "allow");
    let bad = explain("--from deploy/sleep --to httpbin --port 80 --http '/' --header nonsense");
    assert_eq!((bad.code, bad.out.as_str()), (1, ""));
    assert!(bad.err.contains("write `Name: value`"), "{}", bad.err);
}

#[test]
fn what_is_not_there_is_an_error() {
    let unknown = explain("--from deploy/slep --to httpbin --port 80");
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("no pod `deploy/slep`"),
        "{}",
        unknown.err
    );
    let portless = explain("--from deploy/sleep --to httpbin");
    assert!(portless.err.contains("--port is missing"));
    let agent = weir("explain --name nobody --from a --to b --port 80");
    assert_eq!(agent.code, 1);
    assert!(agent.err.contains("no agent answers at"), "{}", agent.err);
}
