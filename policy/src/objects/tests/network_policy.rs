//! NetworkPolicy, line by line of the checklist in docs on policy semantics.

use super::*;

fn ingress(rule: Value) -> Rule {
    let spec = good(&network(json!({"podSelector": {}, "ingress": [rule]})));
    let [rule] = <[Rule; 1]>::try_from(spec.ingress.rules).expect("one rule");
    rule
}

fn only_peer(rule: &Rule) -> &Peer {
    match &rule.peers {
        Peers::OneOf(peers) => &peers[0],
        Peers::Any => panic!("peers"),
    }
}

#[test]
fn policy_types_default_as_the_api_server_defaults_them() {
    for (spec, ingress, egress) in [
        (json!({}), true, false),
        (json!({"policyTypes": []}), true, false),
        (json!({"policyTypes": null}), true, false),
        (json!({"ingress": []}), true, false),
        (json!({"egress": []}), true, false),
        (json!({"egress": [{}]}), true, true),
        (json!({"egress": [{"to": []}]}), true, true),
        (json!({"policyTypes": ["Egress"]}), false, true),
        (
            json!({"policyTypes": ["Ingress"], "egress": [{}]}),
            true,
            false,
        ),
        (json!({"policyTypes": ["Ingress", "Egress"]}), true, true),
    ] {
        let parsed = good(&network(spec.clone()));
        assert_eq!(parsed.ingress.isolates, ingress, "{spec}");
        assert_eq!(parsed.egress.isolates, egress, "{spec}");
    }
    let no_spec = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                         "metadata": {"name": "p"}});
    assert!(isolated(&good(&no_spec).ingress));
}

#[test]
fn rules_of_a_direction_that_is_not_named_allow_nothing() {
    let spec = good(&network(
        json!({"policyTypes": ["Ingress"], "egress": [{}], "ingress": []}),
    ));
    assert_eq!(spec.egress, Section::default());
}

#[test]
fn an_empty_rule_allows_everything() {
    for rule in [
        json!({}),
        json!({"from": [], "ports": []}),
        json!({"from": null}),
    ] {
        let rule = ingress(rule);
        assert_eq!(rule.peers, Peers::Any);
        assert_eq!(rule.ports, []);
        assert_eq!(rule.place, "spec.ingress[0]");
    }
}

#[test]
fn peers_reach_the_namespaces_that_they_name() {
    let app = json!({"matchLabels": {"app": "web"}});
    let team = json!({"matchLabels": {"team": "team-shop"}});
    for (peer, own_web, own_db, other_web, other_db) in [
        (json!({"podSelector": app}), true, false, false, false),
        (json!({"podSelector": {}}), true, true, false, false),
        (json!({"namespaceSelector": {}}), true, true, true, true),
        (json!({"namespaceSelector": team}), true, true, false, false),
        (
            json!({"namespaceSelector": {}, "podSelector": app}),
            true,
            false,
            true,
            false,
        ),
        (
            json!({"namespaceSelector": team, "podSelector": app}),
            true,
            false,
            false,
            false,
        ),
        (
            json!({"podSelector": {"matchExpressions": [
                {"key": "app", "operator": "NotIn", "values": ["db"]}]}}),
            true,
            false,
            false,
            false,
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}),
            true,
            true,
            false,
            false,
        ),
    ] {
        let rule = ingress(json!({"from": [peer]}));
        let peer = only_peer(&rule);
        assert_eq!(selects(peer, "shop", "web"), own_web, "{peer:?}");
        assert_eq!(selects(peer, "shop", "db"), own_db, "{peer:?}");
        assert_eq!(selects(peer, "bank", "web"), other_web, "{peer:?}");
        assert_eq!(selects(peer, "bank", "db"), other_db, "{peer:?}");
    }
}

#[test]
fn blocks_are_canonical_and_reach_pods() {
    let rule = ingress(json!({"from": [
        {"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.9.0.0/16"]}},
        {"ipBlock": {"cidr": "fd00::/8"}}]}));
    let Peers::OneOf(peers) = rule.peers else {
        panic!("peers");
    };
    assert_eq!(
        peers[0],
        Peer::Cidr {
            cidr: "10.0.0.0/8".parse().unwrap(),
            except: vec!["10.9.0.0/16".parse().unwrap()],
            cluster_too: true,
        }
    );
    assert!(peers[1].contains("fd00::1".parse().unwrap()));
}

#[test]
fn ports_default_to_tcp() {
    use Protocol::{Sctp, Tcp, Udp};
    for (ports, expected) in [
        (json!({"port": 80}), port(Tcp, 80, 80)),
        (json!({"port": 53, "protocol": "UDP"}), port(Udp, 53, 53)),
        (
            json!({"port": 1, "endPort": 65535, "protocol": "SCTP"}),
            port(Sctp, 1, 65535),
        ),
        (
            json!({}),
            PortMatch {
                protocol: Tcp,
                port: Port::All,
            },
        ),
        (
            json!({"protocol": "UDP"}),
            PortMatch {
                protocol: Udp,
                port: Port::All,
            },
        ),
        (
            json!({"port": "web-1"}),
            PortMatch {
                protocol: Tcp,
                port: Port::Named("web-1".into()),
            },
        ),
    ] {
        assert_eq!(ingress(json!({"ports": [ports]})).ports, [expected]);
    }
}

#[test]
fn a_bad_rule_leaves_the_others_in_force() {
    let value = network(json!({"podSelector": {}, "ingress": [
        {"from": [{"podSelector": {}}]},
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]},
        {"ports": [{"port": 80}, {"port": 0}]},
    ]}));
    let parsed = read(&value).unwrap();
    let section = &parsed.policy.specs[0].ingress;
    assert!(section.isolates);
    assert_eq!(section.rules.len(), 1);
    let fields: Vec<_> = parsed.problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.ingress[1].from[0].ipBlock.cidr",
            "spec.ingress[2].ports[1].port"
        ]
    );
    assert_eq!(parsed.problems[0].object, "NetworkPolicy/shop/p");
}

#[test]
fn every_refusal_names_field_and_reason() {
    for (spec, field, reason) in [
        (json!("x"), "spec", "must be an object, not `x`"),
        (
            json!({"ingres": []}),
            "spec.ingres",
            "unknown field; known here: `podSelector`, `policyTypes`, `ingress` or `egress`",
        ),
        (
            json!({"policyTypes": ["ingress"]}),
            "spec.policyTypes[0]",
            "`ingress` must be one of `Ingress` or `Egress`",
        ),
        (
            json!({"policyTypes": ["Ingress", "Egress", "Egress"]}),
            "spec.policyTypes",
            "at most two: `Ingress`, `Egress`",
        ),
        (
            json!({"ingress": {}}),
            "spec.ingress",
            "must be a list, not an object",
        ),
        (
            json!({"ingress": [null]}),
            "spec.ingress[0]",
            "must be an object, not nothing",
        ),
        (
            json!({"ingress": [{"to": []}]}),
            "spec.ingress[0].to",
            "an ingress rule has `from`",
        ),
        (
            json!({"egress": [{"from": []}]}),
            "spec.egress[0].from",
            "an egress rule has `to`",
        ),
        (
            json!({"ingress": [{"from": [{}]}]}),
            "spec.ingress[0].from[0]",
            "needs `podSelector`, `namespaceSelector` or `ipBlock`; `podSelector: {}` is every pod of this namespace",
        ),
        (
            json!({"ingress": [{"from": [{"podSelector": null}]}]}),
            "spec.ingress[0].from[0]",
            "needs `podSelector`, `namespaceSelector` or `ipBlock`; `podSelector: {}` is every pod of this namespace",
        ),
        (
            json!({"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
            "spec.ingress[0].from[0].ipBlock",
            "cannot stand beside selectors: make it an item of its own with `-`",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {}}]}]}),
            "spec.ingress[0].from[0].ipBlock.cidr",
            "must be a string, not nothing",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]}),
            "spec.ingress[0].from[0].ipBlock.cidr",
            "`10.0.0.1` is not a CIDR: write an address and a prefix length, as in `10.0.0.0/8` or `fd00::/8`",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}}]}]}),
            "spec.ingress[0].from[0].ipBlock.cidr",
            "`::ffff:10.0.0.0/104` is a prefix of IPv4-mapped addresses: write it as IPv4",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]}),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "`10.0.0.0/8` is all of `10.0.0.0/8`: an exception must be a part of it",
        ),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            "`11.0.0.0/16` is not inside `10.0.0.0/8`",
        ),
        (
            json!({"ingress": [{"ports": [{"port": "80"}]}]}),
            "spec.ingress[0].ports[0].port",
            "`80` in quotes is a name, and no good one: write the number without quotes",
        ),
        (
            json!({"ingress": [{"ports": [{"port": "Web"}]}]}),
            "spec.ingress[0].ports[0].port",
            "`Web` is not a port name: at most 15 lower-case letters, digits and single `-` between them, at least one letter",
        ),
        (
            json!({"ingress": [{"ports": [{"port": 65536}]}]}),
            "spec.ingress[0].ports[0].port",
            "`65536` is not a port: 1 to 65535",
        ),
        (
            json!({"ingress": [{"ports": [{"port": 8.5}]}]}),
            "spec.ingress[0].ports[0].port",
            "must be a whole number, not `8.5`",
        ),
        (
            json!({"ingress": [{"ports": [{"endPort": 80}]}]}),
            "spec.ingress[0].ports[0].endPort",
            "needs `port` beside it, the first of the range",
        ),
        (
            json!({"ingress": [{"ports": [{"port": "web", "endPort": 80}]}]}),
            "spec.ingress[0].ports[0].endPort",
            "needs a number as `port`, not a name",
        ),
        (
            json!({"ingress": [{"ports": [{"port": 80, "endPort": 79}]}]}),
            "spec.ingress[0].ports[0].endPort",
            "`79` is less than `port`, `80`",
        ),
        (
            json!({"ingress": [{"ports": [{"protocol": "tcp"}]}]}),
            "spec.ingress[0].ports[0].protocol",
            "`tcp` must be one of `TCP`, `UDP` or `SCTP`",
        ),
        (
            json!({"podSelector": {"matchLabels": {"app": 1}}}),
            "spec.podSelector.matchLabels.app",
            "must be a string: write `\"1\"` with the quotes",
        ),
        (
            json!({"podSelector": {"matchLabels": {"a b": "x"}}}),
            "spec.podSelector.matchLabels[a b]",
            "`a b` is not a label key: a name of at most 63 letters, digits, `-`, `_` and `.`, with an optional DNS prefix and `/` before it",
        ),
        (
            json!({"podSelector": {"matchLabels": {"app": "-x"}}}),
            "spec.podSelector.matchLabels.app",
            "`-x` is not a label value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["x"]}]}}),
            "spec.podSelector.matchExpressions[0].operator",
            "`in` must be one of `In`, `NotIn`, `Exists` or `DoesNotExist`",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}}),
            "spec.podSelector.matchExpressions[0].values",
            "`In` and `NotIn` need at least one value",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}}),
            "spec.podSelector.matchExpressions[0].values",
            "`Exists` and `DoesNotExist` take no values",
        ),
    ] {
        assert_eq!(
            problems(&network(spec)),
            [(field.to_owned(), reason.to_owned())]
        );
    }
}

#[test]
fn a_stand_in_closes_the_directions_that_the_object_names() {
    for (spec, app, ingress, egress) in [
        (
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "x": 1}),
            false,
            false,
            true,
        ),
        (
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "egres": [{}]}),
            false,
            true,
            true,
        ),
        (
            json!({"podSelector": {"matchLabels": {"app": 1}}}),
            true,
            true,
            false,
        ),
        (json!({"podSelector": [], "egress": []}), true, true, true),
        (json!({"policyTypes": ["Both"]}), true, true, false),
        (json!([]), true, true, true),
    ] {
        let refused = read(&network(spec.clone())).unwrap_err();
        let closed = &refused.stand_in.specs[0];
        assert_eq!(
            selects(
                &Peer::Pods(closed.subject.pods().unwrap().clone()),
                "shop",
                "web"
            ),
            app,
            "{spec}"
        );
        assert!(
            !selects(
                &Peer::Pods(closed.subject.pods().unwrap().clone()),
                "bank",
                "web"
            ),
            "{spec}"
        );
        assert_eq!(isolated(&closed.ingress), ingress, "{spec}");
        assert_eq!(isolated(&closed.egress), egress, "{spec}");
    }
}
