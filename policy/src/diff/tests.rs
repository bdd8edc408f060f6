//! Policies that come, go and change.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    model::Node,
    record,
    testing::{
        generate::world,
        sample::{Sample, headers_policy, network_policy},
    },
};

fn deny_all() -> serde_json::Value {
    network_policy(
        "deny",
        json!({"podSelector": {"matchLabels": {"app": "httpbin"}}}),
    )
}

fn shown(diff: &Diff) -> Vec<String> {
    diff.changes
        .iter()
        .flat_map(|change| {
            change.verdicts.iter().map(|kind| {
                format!(
                    "{} -> {}: {} -> {}: {}",
                    change.from.join(" + "),
                    change.to,
                    kind.before,
                    kind.after,
                    kind.flows.join(", ")
                )
            })
        })
        .collect()
}

#[test]
fn a_host_policy_is_asked_about_the_nodes() {
    let mut sample = Sample::workshop();
    sample.world.nodes.push(Node {
        name: "n".into(),
        addresses: vec!["172.18.0.2".parse().unwrap()],
        ..Node::default()
    });
    let old = sample.world.clone();
    let sample = sample.policy(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "host"},
        "spec": {"nodeSelector": {}, "ingress": [
            {"fromEntities": ["world"], "toPorts": [{"ports": [{"port": "22", "protocol": "TCP"}]}]}]},
    }));
    let found = diff(&old, &sample.world);
    assert_eq!(found.not_asked, [""; 0]);
    let lines = shown(&found);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("-> node/n: allow -> deny")),
        "{lines:#?}"
    );
}

#[test]
fn a_new_default_deny_is_one_change() {
    let old = Sample::workshop().world;
    let new = Sample::workshop().policy(&deny_all()).world;
    let found = diff(&old, &new);
    assert_eq!(
        shown(&found),
        [
            "default/app=sleep + kube-system/k8s-app=kube-dns + sleep/app=visitor + 203.0.113.9 -> \
          default/app=httpbin,version=v1: allow -> deny: TCP/other, UDP/other, ICMP"
        ]
    );
    assert!(diff(&old, &old).is_empty());
}

#[test]
fn policies_that_select_no_pod_of_both_worlds_are_named() {
    let policy = ["NetworkPolicy/default/deny"];
    let nobody: [&str; 0] = [];
    let with = |sample: Sample| sample.policy(&deny_all()).world;
    let none = World::default();
    assert_eq!(diff(&none, &with(Sample::default())).not_asked, policy);
    assert_eq!(diff(&with(Sample::default()), &none).not_asked, policy);
    // Its pods are in the new world only, or are others.
    assert_eq!(diff(&none, &with(Sample::workshop())).not_asked, policy);
    let others = || Sample::default().pod("default/web-0", "app=web", &[]);
    let found = diff(&others().world, &with(others()));
    assert_eq!(found.not_asked, policy);
    // What is the same changes nothing, pods or not.
    let same = || with(Sample::default());
    assert_eq!(diff(&same(), &same()).not_asked, nobody);
    let found = diff(&Sample::workshop().world, &with(Sample::workshop()));
    assert_eq!(found.not_asked, nobody);
}

#[test]
fn rules_whose_peers_are_in_neither_world_are_named() {
    let from = |apps: &[&str]| {
        let peers = apps
            .iter()
            .map(|app| json!({"from": [{"podSelector": {"matchLabels": {"app": app}}}]}));
        let spec = json!({"podSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": peers.collect::<Vec<_>>()});
        Sample::workshop().policy(&network_policy("p", spec)).world
    };
    let found = diff(&from(&["sleep"]), &from(&["web", "sleep"]));
    assert_eq!(
        found.peers_not_asked,
        ["spec.ingress[0] of NetworkPolicy/default/p"]
    );
    assert!(found.is_empty() && found.not_asked.is_empty());
    // A rule that only stands elsewhere is the same one.
    let found = diff(&from(&["web", "sleep"]), &from(&["sleep", "web"]));
    assert_eq!(found.peers_not_asked, [""; 0]);
}

#[test]
fn requests_that_the_policies_mention_are_asked_for() {
    let with = |http| Sample::workshop().policy(&headers_policy(http)).world;
    let old =
        with(json!([{"method": "GET", "path": "/headers"}, {"method": "POST", "path": "/post"}]));
    let new = with(json!([{"method": "GET", "path": r"/headers(\?.*)?"}]));
    assert_eq!(
        shown(&diff(&old, &new)),
        [
            "default/app=sleep -> default/app=httpbin,version=v1: allow -> http-deny: TCP/80 POST /post",
            "default/app=sleep -> default/app=httpbin,version=v1: http-deny -> allow: TCP/80 GET /headers?x=1",
        ]
    );
    let plain = Sample::workshop().world;
    let lines = shown(&diff(&plain, &old));
    assert!(lines.iter().any(|line| line.contains("allow -> http-deny: TCP/80 GET /headers?x=1, TCP/80 POST /post?x=1, TCP/80 any other request")), "{lines:?}");
}

#[test]
fn pods_with_the_same_labels_are_one_group() {
    let pods = || {
        Sample::default()
            .pod("default/web-0", "app=web,pod-template-hash=1", &[80])
            .pod("default/web-1", "app=web,pod-template-hash=2", &[80])
    };
    let deny = network_policy("deny", json!({"podSelector": {}}));
    let new = pods()
        .policy(&deny)
        .pod("default/only", "app=new", &[])
        .world;
    let found = diff(&pods().world, &new);
    assert_eq!(found.only_in_new, ["default/app=new"]);
    assert_eq!(shown(&found).len(), 1, "{found:?}");
    assert!(shown(&found)[0].starts_with("default/app=web + 203.0.113.9 -> default/app=web: "));
}

#[test]
fn recorded_flows_that_change_are_counted() {
    let line = |pod: &str, port: u16| {
        let flow = json!({"verdict": "FORWARDED", "is_reply": false,
            "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
            "l4": {"TCP": {"destination_port": port}},
            "source": {"namespace": "default", "pod_name": pod},
            "destination": {"namespace": "default", "pod_name": "httpbin-0"}});
        record::read(&flow.to_string())
            .expect("JSON")
            .expect("a flow")
    };
    let flows = [
        line("sleep-0", 80),
        line("sleep-0", 80),
        line("sleep-0", 81),
        line("gone", 80),
    ];
    let old = Sample::workshop().world;
    let only_81 = network_policy(
        "p",
        json!({"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}]}),
    );
    let new = Sample::workshop().policy(&only_81).world;
    let found = recorded(&old, &new, &flows);
    assert_eq!((found.judged, found.not_judged), (3, 1));
    let [change] = found.changes.as_slice() else {
        panic!("one change: {found:?}");
    };
    assert_eq!((change.count, change.flow.as_str()), (2, "TCP/80"));
    assert_eq!(change.after, Outcome::Deny);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// A world does not differ from itself, and the way back has as many changes as the way there.
    #[test]
    fn differences_are_symmetric(old in world(), policies in world()) {
        let new = World { policies: policies.policies, ..old.clone() };
        prop_assert!(diff(&old, &old).is_empty());
        let (there, back) = (diff(&old, &new), diff(&new, &old));
        let lines = |diff: &Diff, turn: bool| {
            let mut lines = Vec::new();
            for change in &diff.changes {
                for (from, kind) in change.from.iter().flat_map(|from| change.verdicts.iter().map(move |kind| (from, kind))) {
                    let (before, after) = if turn { (kind.after, kind.before) } else { (kind.before, kind.after) };
                    let mut flows = kind.flows.clone();
                    // Requests are asked for in the order of the worlds.
                    flows.sort();
                    lines.push(format!("{from} {} {before} {after} {flows:?}", change.to));
                }
            }
            lines.sort();
            lines
        };
        prop_assert_eq!(lines(&there, false), lines(&back, true));
    }
}
