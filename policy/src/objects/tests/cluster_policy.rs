//! ClusterNetworkPolicy: what is read, and what a mistake comes to.

use super::*;
use crate::model::{NamespaceScope, Tier};

fn policy(spec: Value) -> Value {
    json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
           "metadata": {"name": "p"}, "spec": spec})
}

fn with_egress(rule: Value) -> Value {
    policy(
        json!({"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}, "egress": [rule]}),
    )
}

#[test]
fn tiers_subjects_peers_and_ports_are_read() {
    let spec = good(&policy(json!({
        "tier": "Baseline", "priority": 1000,
        "subject": {"pods": {"namespaceSelector": {"matchLabels": {"team": "a"}},
                             "podSelector": {"matchLabels": {"app": "web"}}}},
        "ingress": [{"name": "n", "action": "Pass", "from": [{"namespaces": {}}],
                     "protocols": [{"tcp": {"destinationPort": {"number": 80}}},
                                   {"udp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}]}],
        "egress": [{"action": "Accept", "to": [{"domainNames": ["*.a.example", "b.example"]}]},
                   {"action": "Deny", "to": [{"networks": ["10.0.0.0/8", "fd00::/8"]}]}],
    })));
    assert_eq!(spec.tier, Tier::Baseline(1000));
    assert!(matches!(
        spec.subject.pods().unwrap().namespaces,
        NamespaceScope::Matching(_)
    ));
    assert!(!spec.ingress.isolates && !spec.egress.isolates);
    let rule = &spec.ingress.rules[0];
    assert_eq!(rule.action, Action::Pass);
    assert_eq!(
        rule.ports,
        [port(Protocol::Tcp, 80, 80), port(Protocol::Udp, 1, 9)]
    );
    let Peers::OneOf(names) = &spec.egress.rules[0].peers else {
        panic!("peers");
    };
    assert!(matches!(&names[0], Peer::Name(name) if name.as_str() == "**.a.example"));
    let Peers::OneOf(networks) = &spec.egress.rules[1].peers else {
        panic!("peers");
    };
    assert!(matches!(
        networks[..],
        [
            Peer::Cidr {
                cluster_too: true,
                ..
            },
            Peer::Cidr { .. }
        ]
    ));
}

/// Found by fuzzing: the name stood in the message as it was.
#[test]
fn a_problem_is_one_line_whatever_the_port_name() {
    let parsed = read(&with_egress(
        json!({"action": "Accept", "to": [{"namespaces": {}}],
        "protocols": [{"destinationNamedPort": "a\nb"}]}),
    ));
    assert_eq!(
        parsed.unwrap().problems[0].reason,
        r"`a\nb` is not a port name"
    );
}

#[test]
fn a_bad_accept_is_left_out_and_a_bad_deny_or_pass_denies_everything() {
    for (action, left) in [("Accept", 0), ("Deny", 1), ("Pass", 1)] {
        let parsed = read(&with_egress(
            json!({"action": action, "to": [{"nodes": {}}]}),
        ))
        .unwrap();
        let rules = &parsed.policy.specs[0].egress.rules;
        assert_eq!(rules.len(), left, "{action}");
        for rule in rules {
            assert_eq!((rule.action, &rule.peers), (Action::Deny, &Peers::Any));
        }
    }
}

#[test]
fn what_is_refused() {
    for (rule, field, reason) in [
        (
            json!({"action": "Allow", "to": [{"namespaces": {}}]}),
            "action",
            "`Allow` must be one of `Accept`, `Deny` or `Pass`",
        ),
        (
            json!({"action": "Deny", "to": []}),
            "to",
            "needs 1 to 25 peers",
        ),
        (
            json!({"action": "Deny", "to": [{"domainNames": ["a.b"]}]}),
            "to[0].domainNames",
            "stands in Accept rules only: what is not looked up is not matched",
        ),
        (
            json!({"action": "Accept", "to": [{"nodes": {}}]}),
            "to[0].nodes",
            "is not supported yet: use `networks`",
        ),
        (
            json!({"action": "Accept", "to": [{"namespaces": {}, "networks": ["10.0.0.0/8"]}]}),
            "to[0]",
            "needs exactly one field",
        ),
        (
            json!({"action": "Accept", "to": [{"namespaces": {}}],
                   "protocols": [{"tcp": {"destinationPort": {"range": {"start": 9, "end": 9}}}}]}),
            "protocols[0].tcp.destinationPort.range",
            "`start` must be less than `end`",
        ),
    ] {
        let value = with_egress(rule);
        let place = format!("spec.egress[0].{field}");
        assert_eq!(problems(&value), [(place, reason.to_owned())], "{value}");
    }
    for (spec, field) in [
        (
            json!({"tier": "Normal", "priority": 1, "subject": {"namespaces": {}}}),
            "spec.tier",
        ),
        (
            json!({"tier": "Admin", "priority": 1001, "subject": {"namespaces": {}}}),
            "spec.priority",
        ),
        (
            json!({"tier": "Admin", "priority": 1, "subject": {}}),
            "spec.subject",
        ),
    ] {
        let refused = read(&policy(spec)).unwrap_err();
        assert_eq!(refused.problems[0].field, field);
        let [spec] = refused.stand_in.specs.as_slice() else {
            panic!("one part");
        };
        for section in [&spec.ingress, &spec.egress] {
            assert_eq!(section.rules[0].action, Action::Deny, "closed");
        }
    }
}
