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

#[test]
fn the_clusters_name_is_an_option_of_every_command_that_reads_policies() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.yaml");
    let pods = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n\
                {apiVersion: v1, kind: Pod, metadata: {name: b}}\n---\n";
    let policy = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n\
                  metadata: {name: p}\nspec:\n  endpointSelector: {}\n  ingress:\n  - fromEndpoints:\n    \
                  - matchLabels: {'k8s:io.cilium.k8s.policy.cluster': c1}\n";
    std::fs::write(&file, format!("{pods}{policy}")).expect("written");
    let file = file.display();
    for (cluster, verdict) in [("", "deny"), ("--cluster-name c1", "allow")] {
        let ran = weir(&format!(
            "explain -f {file} {cluster} --from a --to b --port 80 -o json"
        ));
        assert_eq!(ran.json()["verdict"], verdict, "{}", ran.err);
    }
    for command in [
        "explain", "simulate", "lint", "diff", "test", "suggest", "agent",
    ] {
        let help = weir(&format!("{command} --help")).out;
        assert!(help.contains("--cluster-name"), "{command}");
    }
    let bad = weir(&format!(
        "explain -f {file} --cluster-name C_1 --from a --to b --port 80"
    ));
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("is not a cluster's name"), "{}", bad.err);
}

#[test]
fn a_clusterwide_policy_of_which_the_subject_is_not_understood_cuts_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.yaml");
    let pods = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n\
                {apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}}}\n---\n\
                {apiVersion: v1, kind: Pod, metadata: {name: c}}\n---\n";
    for (labels, b, c) in [
        ("{'reserved:health': ''}", "allow", "allow"),
        ("{'container:x': y}", "allow", "allow"),
        ("{'container:x': y, app: b}", "deny", "allow"),
    ] {
        let policy = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: p}}\n\
             spec: {{endpointSelector: {{matchLabels: {labels}}}, ingress: [{{}}], egress: [{{}}]}}\n"
        );
        std::fs::write(&file, format!("{pods}{policy}")).expect("written");
        for (to, verdict) in [("b", b), ("c", c)] {
            let ran = weir(&format!(
                "explain -f {} --from a --to {to} --port 80 -o json",
                file.display()
            ));
            assert_eq!(ran.json()["verdict"], verdict, "{labels} to {to}");
            assert!(
                ran.err.contains("spec.endpointSelector"),
                "told: {}",
                ran.err
            );
        }
    }
}

#[test]
fn ends_and_ports_have_kubectls_names() {
    let asked = |to: &str, port: &str| {
        let files = format!("-f {LAB}/sleep.yaml --filename {LAB}/httpbin.yaml");
        weir(&format!(
            "explain {files} --from deploy/sleep --to {to} --port {port} -o json"
        ))
    };
    for (to, port) in [
        ("svc/httpbin", "http"),
        ("httpbin.default.svc.cluster.local", "http"),
        ("svc/httpbin", "8000"),
    ] {
        let ran = asked(to, port);
        assert_eq!(ran.json()["flow"]["port"], 80, "{to} {port}: {}", ran.err);
    }
    for (port, said) in [
        ("grpc", "it has http"),
        ("0", "is no port from 1 to 65535"),
        ("HTTP", "is no port from 1 to 65535"),
    ] {
        let ran = asked("svc/httpbin", port);
        assert_ne!(ran.code, 0, "{port}");
        assert!(ran.err.contains(said), "{port}: {}", ran.err);
    }
    let yaml = weir(&format!(
        "explain -f {LAB}/sleep.yaml --from deploy/sleep --to 192.0.2.1 --port 1 -o yaml"
    ));
    assert!(yaml.out.contains("verdict: allow\n"), "{}", yaml.out);
}
