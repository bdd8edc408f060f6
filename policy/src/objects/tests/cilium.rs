//! Cilium policies that are in force, whole or in part.

use super::*;
use crate::model::{
    Entity, HeaderMatch, HttpRule, L7, Operator, Requirement, Selector, Subjects, WhichGroups,
};

fn ingress(value: &Value) -> Vec<Rule> {
    good(value).ingress.rules
}

fn with_rule(rule: Value) -> Value {
    json!({"endpointSelector": {}, "ingress": [rule]})
}

fn first_peer(spec: Value, clusterwide: bool) -> Peer {
    let value = if clusterwide { ccnp(spec) } else { cnp(spec) };
    match &ingress(&value)[0].peers {
        Peers::OneOf(peers) => peers[0].clone(),
        Peers::Any => panic!("peers"),
    }
}

#[test]
fn the_http_policy_of_the_workshop() {
    let spec = good(&cnp(json!({
        "description": "only reads",
        "endpointSelector": {"matchLabels": {"app": "httpbin"}},
        "ingress": [{
            "fromEndpoints": [{"matchLabels": {"app": "sleep"}}],
            "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}],
                         "rules": {"http": [{"method": "GET", "path": "/headers",
                                             "headers": ["X-Team: blue", "X-Any"]}]}}],
        }],
    })));
    assert!(spec.ingress.isolates && !spec.egress.isolates);
    let [rule] = spec.ingress.rules.as_slice() else {
        panic!("one rule");
    };
    assert_eq!(rule.place, "spec.ingress[0].toPorts[0]");
    assert_eq!(rule.ports, [port(Protocol::Tcp, 80, 80)]);
    let header = |name: &str, value: Option<&str>| HeaderMatch {
        name: name.into(),
        value: value.map(str::to_owned),
    };
    assert_eq!(
        rule.l7,
        Some(L7::Http(vec![HttpRule {
            place: "spec.ingress[0].toPorts[0].rules.http[0]".into(),
            method: Some("GET".into()),
            path: Some("/headers".into()),
            host: None,
            headers: vec![header("x-team", Some("blue")), header("x-any", None)],
            header_rules: Vec::new(),
            get_body: false,
        }]))
    );
}

#[test]
fn bodies_of_get_pass_only_where_the_annotation_says_so() {
    let with = |annotation: Value| {
        let mut value = cnp(with_rule(
            json!({"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}],
                                "rules": {"http": [{}]}}]}),
        ));
        value["metadata"]["annotations"] = json!({GET_BODY: annotation});
        let parsed = read(&value).expect("a policy");
        let Some(L7::Http(entries)) = &parsed.policy.specs[0].ingress.rules[0].l7 else {
            panic!("HTTP rules");
        };
        let problems: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
        (entries[0].get_body, problems)
    };
    assert_eq!(with(json!("allow")), (true, vec![]));
    assert_eq!(with(json!("refuse")), (false, vec![]));
    for wrong in [json!("yes"), json!(true), json!("Allow")] {
        let (get_body, problems) = with(wrong);
        assert!(!get_body);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("weir.dev/get-body"), "{problems:?}");
    }
}

#[test]
fn default_deny_follows_the_sections_unless_told() {
    for (spec, ingress, egress) in [
        (json!({"ingress": [{}]}), true, false),
        (json!({"egressDeny": [{}]}), false, true),
        (json!({"ingress": [{}], "egress": [{}]}), true, true),
        (
            json!({"ingress": [{}], "enableDefaultDeny": {"ingress": false}}),
            false,
            false,
        ),
        (
            json!({"ingress": [{}], "enableDefaultDeny": {"egress": true}}),
            true,
            true,
        ),
    ] {
        let mut full = spec.clone();
        full["endpointSelector"] = json!({});
        let parsed = good(&cnp(full));
        assert_eq!(
            (parsed.ingress.isolates, parsed.egress.isolates),
            (ingress, egress),
            "{spec}"
        );
        // `{}` allows nobody and denies nobody.
        assert!(parsed.ingress.rules.is_empty() && parsed.egress.rules.is_empty());
    }
}

#[test]
fn selectors_stay_in_their_namespace_unless_they_name_one() {
    for (labels, own, other, clusterwide_other) in [
        (json!({"app": "web"}), true, false, true),
        (json!({"k8s:app": "web"}), true, false, true),
        (json!({"any:app": "web"}), true, false, true),
        (
            json!({"k8s:io.kubernetes.pod.namespace": "bank"}),
            false,
            true,
            true,
        ),
        (
            json!({"io.cilium.k8s.namespace.labels.team": "team-bank"}),
            false,
            true,
            true,
        ),
        (
            json!({"io.cilium.k8s.policy.serviceaccount": "robot"}),
            true,
            false,
            true,
        ),
        (
            json!({"io.cilium.k8s.policy.serviceaccount": "cook"}),
            false,
            false,
            false,
        ),
    ] {
        let rule = with_rule(json!({"fromEndpoints": [{"matchLabels": labels}]}));
        let peer = first_peer(rule.clone(), false);
        assert_eq!(selects(&peer, "shop", "web"), own, "{labels}");
        assert_eq!(selects(&peer, "bank", "web"), other, "{labels}");
        let wide = first_peer(rule, true);
        assert_eq!(selects(&wide, "bank", "web"), clusterwide_other, "{labels}");
    }
    let anywhere = json!({"fromEndpoints": [{"matchExpressions": [
        {"key": "io.kubernetes.pod.namespace", "operator": "Exists"}]}]});
    assert!(selects(
        &first_peer(with_rule(anywhere), false),
        "bank",
        "web"
    ));
    let one = json!({"fromEndpoints": [{"matchLabels": {"io.kubernetes.pod.namespace": "bank"}}]});
    let Peer::Pods(one) = first_peer(with_rule(one), false) else {
        panic!("pods");
    };
    assert_eq!(one.namespaces, NamespaceScope::Named("bank".into()));
    assert!(one.pods.is_empty());
}

#[test]
fn a_foreign_namespace_in_the_subject_is_overridden() {
    let value = cnp(json!({"endpointSelector": {"matchLabels":
        {"app": "web", "k8s:io.kubernetes.pod.namespace": "bank"}}, "ingress": [{}]}));
    let parsed = read(&value).unwrap();
    let subject = Peer::Pods(parsed.policy.specs[0].subject.pods().unwrap().clone());
    assert!(selects(&subject, "shop", "web") && !selects(&subject, "bank", "web"));
    assert_eq!(
        problems(&value),
        [(
            "spec.endpointSelector".to_owned(),
            "selects namespace `bank`, but a policy selects pods of its own namespace: `shop` is used"
                .to_owned()
        )]
    );
    let wide = good(&ccnp(json!({"endpointSelector": {"matchLabels":
        {"io.kubernetes.pod.namespace": "bank"}}, "ingress": [{}]})));
    assert!(selects(
        &Peer::Pods(wide.subject.pods().unwrap().clone()),
        "bank",
        "x"
    ));
    assert!(!selects(
        &Peer::Pods(wide.subject.pods().unwrap().clone()),
        "shop",
        "x"
    ));
}

#[test]
fn peers_of_every_kind() {
    let entities = |names: Value| {
        ingress(&cnp(with_rule(json!({"fromEntities": names}))))[0]
            .peers
            .clone()
    };
    assert_eq!(
        entities(json!([
            "all",
            "world",
            "world-ipv4",
            "world-ipv6",
            "cluster",
            "host",
            "remote-node"
        ])),
        Peers::OneOf(
            [
                Entity::All,
                Entity::World,
                Entity::WorldIpv4,
                Entity::WorldIpv6,
                Entity::Cluster,
                Entity::Host,
                Entity::RemoteNode
            ]
            .map(Peer::Entity)
            .to_vec()
        )
    );
    assert_eq!(entities(json!(["none"])), Peers::OneOf(vec![]));
    for nobody in [
        "fromEndpoints",
        "fromEntities",
        "fromCIDR",
        "fromCIDRSet",
        "fromNodes",
    ] {
        assert_eq!(
            ingress(&cnp(with_rule(json!({nobody: []}))))[0].peers,
            Peers::OneOf(vec![])
        );
    }
    let cidr = |cidr: &str, except: &[&str]| Peer::Cidr {
        cidr: cidr.parse().unwrap(),
        except: except.iter().map(|part| part.parse().unwrap()).collect(),
        cluster_too: false,
    };
    let rules = good(&cnp(json!({"endpointSelector": {}, "egress": [
        {"toCIDR": ["10.1.2.3/8", "192.0.2.1", "2001:db8::1"]},
        {"toCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}]}]})))
    .egress
    .rules;
    assert_eq!(
        rules[0].peers,
        Peers::OneOf(vec![
            cidr("10.0.0.0/8", &[]),
            cidr("192.0.2.1/32", &[]),
            cidr("2001:db8::1/128", &[])
        ])
    );
    assert_eq!(
        rules[1].peers,
        Peers::OneOf(vec![cidr("10.0.0.0/8", &["10.1.0.0/16"])])
    );
}

#[test]
fn groups_nodes_reserved_entities_and_every_message() {
    let rules = good(&cnp(json!({"endpointSelector": {}, "egress": [
        {"toCIDRSet": [{"cidrGroupRef": "vpn"}, {"cidrGroupSelector": {"matchLabels": {"role": "vpn"}}}]},
        {"toNodes": [{"matchLabels": {"node:disk": "ssd"}}]},
        {"toEntities": ["reserved:host", "reserved:none"]},
        {"icmps": [{}]}]})))
    .egress
    .rules;
    let label = |key: &str, value: &str| {
        Selector::new([Requirement::equals(Key::Label(key.into()), value)])
    };
    let groups = [
        WhichGroups::Named("vpn".into()),
        WhichGroups::Matching(label("role", "vpn")),
    ];
    let peers = |index: usize| rules[index].peers.clone();
    assert_eq!(peers(0), Peers::OneOf(groups.map(Peer::CidrGroup).to_vec()));
    assert_eq!(
        peers(1),
        Peers::OneOf(vec![Peer::Nodes(label("disk", "ssd"))])
    );
    assert_eq!(peers(2), Peers::OneOf(vec![Peer::Entity(Entity::Host)]));
    let every = [Protocol::Icmp, Protocol::Icmpv6].map(|protocol| PortMatch {
        protocol,
        port: Port::All,
    });
    assert_eq!(rules[3].ports, every);
}

#[test]
fn a_rule_for_each_entry_of_ports() {
    use Protocol::{Sctp, Tcp, Udp};
    let rules = ingress(&cnp(with_rule(json!({"toPorts": [
        {"ports": [{"port": "80"}]},
        {"ports": [{"port": "8000", "endPort": 8080, "protocol": "UDP"}]},
        {"ports": [{"port": "Web", "protocol": "ANY"}]},
        {"ports": [{"port": "0", "protocol": "TCP"}]},
        {"ports": [{"port": "0"}, {"port": "53", "protocol": "UDP"}]},
    ]}))));
    let ports: Vec<_> = rules.iter().map(|rule| rule.ports.clone()).collect();
    let named = |protocol| PortMatch {
        protocol,
        port: Port::Named("web".into()),
    };
    assert_eq!(
        ports[0],
        [port(Tcp, 80, 80), port(Udp, 80, 80), port(Sctp, 80, 80)]
    );
    assert_eq!(ports[1], [port(Udp, 8000, 8080)]);
    assert_eq!(ports[2], [named(Tcp), named(Udp), named(Sctp)]);
    assert_eq!(
        ports[3],
        [PortMatch {
            protocol: Tcp,
            port: Port::All
        }]
    );
    assert_eq!(ports[4], [], "everything, ICMP too");
    assert!(rules.iter().all(|rule| rule.peers == Peers::Any));
    assert_eq!(rules[4].place, "spec.ingress[0].toPorts[4]");
}

#[test]
fn a_bad_request_rule_leaves_the_others() {
    let entry = |http: Value| {
        json!({"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}],
                                                  "rules": {"http": http}}]})
    };
    let value = cnp(with_rule(entry(
        json!([{"path": "/a"}, {"path": "/b["}, {}]),
    )));
    let parsed = read(&value).unwrap();
    let rule = &parsed.policy.specs[0].ingress.rules[0];
    let Some(L7::Http(http)) = &rule.l7 else {
        panic!("HTTP rules");
    };
    let places: Vec<_> = http.iter().map(|http| http.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "spec.ingress[0].toPorts[0].rules.http[0]",
            "spec.ingress[0].toPorts[0].rules.http[2]"
        ]
    );
    assert_eq!(
        parsed.problems[0].to_string(),
        "CiliumNetworkPolicy/shop/p: spec.ingress[0].toPorts[0].rules.http[1].path: \
         `/b[` is not a regular expression: a `[` without its `]`"
    );

    let value = cnp(with_rule(entry(json!([{"path": "/a)|(.*"}]))));
    let rule = &read(&value).unwrap().policy.specs[0].ingress.rules[0];
    assert_eq!(
        rule.l7,
        Some(L7::Http(vec![])),
        "allows no request, and still needs the proxy"
    );
}

#[test]
fn a_bad_entry_leaves_the_others_and_the_isolation() {
    let value = cnp(json!({"endpointSelector": {}, "ingress": [
        {"toPorts": [{"ports": [{"port": "80"}]}, {"ports": [{"port": "99999"}]}]},
        {"fromFQDNs": []},
    ]}));
    let parsed = read(&value).unwrap();
    let section = &parsed.policy.specs[0].ingress;
    assert!(section.isolates);
    assert_eq!(section.rules.len(), 1);
    assert_eq!(parsed.problems.len(), 2);
}

#[test]
fn deny_rules_deny_and_bad_ones_of_which_nothing_can_be_told_deny_everything() {
    let denied = |rule: Value| {
        let value = cnp(json!({"endpointSelector": {}, "ingressDeny": [rule],
                               "enableDefaultDeny": {"ingress": false}}));
        let parsed = read(&value).unwrap();
        parsed.policy.specs[0].ingress.rules.clone()
    };
    let good = denied(json!({"fromEntities": ["world"], "toPorts": [{"ports": [{"port": "22"}]}]}));
    assert_eq!(good[0].action, Action::Deny);
    assert_eq!(
        good[0].peers,
        Peers::OneOf(vec![Peer::Entity(Entity::World)])
    );
    for bad in [
        json!({"fromEntities": ["wrold"]}),
        json!({"toPorts": [{"ports": [{"port": "22"}]}, {"ports": [{"port": "x y"}]}]}),
        json!({"icmps": []}),
        json!(3),
    ] {
        let rules = denied(bad);
        assert!(deny_all(&Section {
            isolates: true,
            rules
        }));
    }
}

#[test]
fn parts_are_independent() {
    let value = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
    "metadata": {"name": "p"}, "specs": [
        {"endpointSelector": {"matchLabels": {"app": "a"}}, "ingress": [{"fromEntities": ["all"]}]},
        {"endpointSelector": {"matchLabels": {"app": "b"}}, "egressDeny": [{}], "labels": 3},
        {"endpointSelector": {"matchLabels": {"app": ["c"]}}, "egressDeny": [{}]},
    ]});
    let refused = read(&value).unwrap_err();
    let fields: Vec<_> = refused.problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "specs[1].labels",
            "specs[2].endpointSelector.matchLabels.app"
        ]
    );
    let [a, b, c] = refused.stand_in.specs.as_slice() else {
        panic!("three parts");
    };
    assert_eq!(a.ingress.rules.len(), 1);
    assert!(b.egress.isolates && b.egress.rules.is_empty());
    assert!(c.egress.isolates && c.egress.rules.is_empty() && !c.ingress.isolates);
    assert!(selects(
        &Peer::Pods(c.subject.pods().unwrap().clone()),
        "default",
        "c"
    ));
}

/// Found by fuzzing: the good part kept its allow rule where another part was refused too.
#[test]
fn a_wrong_head_closes_the_good_parts_too() {
    for second in [
        json!({"endpointSelector": {}, "ingress": [{}]}),
        json!({"endpointSelector": 1, "ingress": [{}]}),
    ] {
        let value = json!({"apiVersion": "cilium.io/v1", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "p"}, "specs": [
            {"endpointSelector": {}, "ingress": [{"fromEntities": ["all"]}]}, second,
        ]});
        let refused = read(&value).unwrap_err();
        for spec in &refused.stand_in.specs {
            assert!(isolated(&spec.ingress), "{value}");
        }
    }
}

#[test]
fn stand_ins_deny_what_a_lost_deny_rule_may_have_denied() {
    for (spec, ingress, egress) in [
        (
            json!({"endpointSelector": 1, "ingress": [{}]}),
            "isolated",
            "open",
        ),
        (
            json!({"endpointSelector": 1, "ingressDeny": [{"fromEntities": ["all", 3]}]}),
            "denied",
            "open",
        ),
        (
            json!({"endpointSelector": 1, "ingressDeny": [{}]}),
            "isolated",
            "open",
        ),
        (
            json!({"endpointSelector": 1, "ingressDeny": 1}),
            "denied",
            "open",
        ),
        (
            json!({"endpointSelector": {}, "ingressDenny": [{}]}),
            "denied",
            "denied",
        ),
        (
            json!({"endpointSelector": {}, "enableDefaultDeny": {"egress": 1}, "egress": [{}]}),
            "open",
            "isolated",
        ),
        (json!({"endpointSelector": {}}), "isolated", "isolated"),
        (json!("x"), "denied", "denied"),
    ] {
        let refused = read(&cnp(spec.clone())).unwrap_err();
        let part = &refused.stand_in.specs[0];
        for (section, expected) in [(&part.ingress, ingress), (&part.egress, egress)] {
            let is = match section {
                section if deny_all(section) => "denied",
                section if isolated(section) => "isolated",
                _ => "open",
            };
            assert_eq!(is, expected, "{spec}");
        }
    }
}

#[test]
fn a_host_policy_is_about_nodes_and_touches_no_pod() {
    let selector = json!({"matchLabels": {"node-role.kubernetes.io/worker": ""}});
    let spec = good(&ccnp(json!({"nodeSelector": selector, "ingress": [{}]})));
    assert!(spec.ingress.isolates && !spec.egress.isolates);
    let Subjects::Nodes(nodes) = spec.subject else {
        panic!("{:?}", spec.subject);
    };
    let labels = |key: &str| Labels::from([(key.to_owned(), String::new())]);
    assert!(nodes.matches_labels(&labels("node-role.kubernetes.io/worker")));
    assert!(!nodes.matches_labels(&labels("node-role.kubernetes.io/control-plane")));
}

#[test]
fn what_a_node_cannot_be_asked_is_refused_by_name() {
    let ports = json!([{"port": "80", "protocol": "TCP"}]);
    let http = json!([{"ports": ports, "rules": {"http": [{"method": "GET"}]}}]);
    for (part, place, says) in [
        (
            json!({"ingress": [{"toPorts": http}]}),
            "spec.ingress[0].toPorts[0]",
            "connections only",
        ),
        (
            json!({"egress": [{"toFQDNs": [{"matchName": "a.test"}]}]}),
            "spec.egress[0]",
            "toFQDNs",
        ),
        (
            json!({"ingress": [{"toPorts": [{"ports": [{"port": "web"}]}]}]}),
            "spec.ingress[0].toPorts[0]",
            "no named ports",
        ),
    ] {
        let mut spec = part.clone();
        spec["nodeSelector"] = json!({});
        let parsed = read(&ccnp(spec)).unwrap();
        assert_eq!(parsed.problems[0].field, place);
        assert!(
            parsed.problems[0].reason.contains(says),
            "{:?}",
            parsed.problems
        );
        let of = &parsed.policy.specs[0];
        assert!(
            of.ingress.rules.is_empty() && of.egress.rules.is_empty(),
            "{part}"
        );
        assert!(of.ingress.isolates || of.egress.isolates, "{part}");
    }
    let deny =
        json!({"ingressDeny": [{"toPorts": [{"ports": [{"port": "web"}]}]}], "nodeSelector": {}});
    let parsed = read(&ccnp(deny)).unwrap();
    let rules = &parsed.policy.specs[0].ingress.rules;
    assert!(rules[0].action == Action::Deny && rules[0].ports.is_empty());
}

#[test]
fn a_host_policy_that_selects_nobody_knows_whom_cuts_nobody() {
    let strange = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    for value in [
        ccnp(json!({"nodeSelector": strange, "ingress": [{}]})),
        cnp(json!({"nodeSelector": {}, "ingress": [{}]})),
    ] {
        let parsed = read(&value).unwrap();
        assert_eq!(parsed.policy.specs, []);
        assert!(
            parsed.problems[0].field.starts_with("spec.nodeSelector"),
            "{:?}",
            parsed.problems
        );
        assert!(
            parsed.problems[0]
                .reason
                .contains("nothing of this part is in force")
        );
    }
    // Of one whose nodes are known, what is not understood closes.
    let refused = read(&ccnp(
        json!({"nodeSelector": {}, "ingress": [{}], "egres": []}),
    ))
    .unwrap_err();
    let part = &refused.stand_in.specs[0];
    assert!(matches!(part.subject, Subjects::Nodes(_)));
    assert!(part.ingress.isolates);
}

#[test]
fn subject_expressions_are_kept() {
    let spec = good(&cnp(json!({"endpointSelector": {"matchExpressions": [
        {"key": "any:app", "operator": "NotIn", "values": ["a", "b"]}]}, "ingress": [{}]})));
    let requirement = spec
        .subject
        .pods()
        .unwrap()
        .pods
        .requirements()
        .next()
        .unwrap();
    assert_eq!(requirement.key, Key::Label("app".into()));
    assert_eq!(requirement.operator, Operator::NotIn);
}

#[test]
fn the_cluster_is_asked_for_by_its_name() {
    // `selects` knows a cluster of the name `c1`.
    for key in [
        "io.cilium.k8s.policy.cluster",
        "k8s:io.cilium.k8s.policy.cluster",
        "any:io.cilium.k8s.policy.cluster",
    ] {
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, here) in [
            (json!({"matchLabels": {key: "c1"}}), true),
            (json!({"matchLabels": {key: "default"}}), false),
            (expression("In", &["c1", "c2"]), true),
            (expression("In", &["c2"]), false),
            (expression("NotIn", &["c1"]), false),
            (expression("NotIn", &["c2"]), true),
            (expression("Exists", &[]), true),
            (expression("DoesNotExist", &[]), false),
        ] {
            for value in [cnp, ccnp] {
                let spec = good(&value(
                    json!({"endpointSelector": selector, "ingress": [{"fromEndpoints": [selector]}],
                           "egressDeny": [{"toEndpoints": [selector]}]}),
                ));
                let wide = value(json!({}))["kind"] == "CiliumClusterwideNetworkPolicy";
                let subject = Peer::Pods(spec.subject.pods().unwrap().clone());
                let mut all = vec![subject];
                for rule in [&spec.ingress.rules[0], &spec.egress.rules[0]] {
                    let Peers::OneOf(peers) = &rule.peers else {
                        panic!("peers");
                    };
                    all.extend(peers.clone());
                }
                assert_eq!(all.len(), 3);
                for peer in &all {
                    assert_eq!(selects(peer, "shop", "web"), here, "{selector}");
                    // It names no namespace.
                    assert_eq!(selects(peer, "bank", "web"), here && wide, "{selector}");
                }
            }
        }
    }
}
