//! A selector that is not understood: closed are all whom it may mean, and nobody else.

use super::*;
use crate::model::Entity;

/// The four operators on a key, and whether a pod without such a label fits.
fn requirements(key: &str, value: &str) -> [(Value, bool); 5] {
    let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    [
        (json!({"matchLabels": {key: value}}), false),
        (expression("In", &[value]), false),
        (expression("Exists", &[]), false),
        (expression("NotIn", &[value]), true),
        (expression("DoesNotExist", &[]), true),
    ]
}

/// Who of `shop/web`, `shop/db` and `bank/web` is isolated by a policy, its stand-in if refused.
fn isolated_pods(value: &Value) -> Vec<&'static str> {
    let policy = match read(value) {
        Ok(parsed) => parsed.policy,
        Err(refused) => {
            assert_eq!(
                closed(kind_of(value).unwrap(), value).specs.len(),
                refused.stand_in.specs.len()
            );
            refused.stand_in
        }
    };
    let is = |namespace: &str, app: &str| {
        let specs = policy.specs.iter();
        specs
            .filter(|spec| spec.ingress.isolates || !spec.ingress.rules.is_empty())
            .any(|spec| {
                selects(
                    &Peer::Pods(spec.subject.pods().unwrap().clone()),
                    namespace,
                    app,
                )
            })
    };
    [("shop", "web"), ("shop", "db"), ("bank", "web")]
        .into_iter()
        .zip(["shop/web", "shop/db", "bank/web"])
        .filter(|((namespace, app), _)| is(namespace, app))
        .map(|(_, name)| name)
        .collect()
}

fn merged(first: &Value, second: &Value) -> Value {
    let mut all = first.clone();
    for (name, given) in second.as_object().unwrap() {
        match all.get_mut(name) {
            Some(Value::Object(map)) => map.extend(given.as_object().unwrap().clone()),
            Some(Value::Array(list)) => list.extend(given.as_array().unwrap().clone()),
            _ => all[name] = given.clone(),
        }
    }
    all
}

const EVERYBODY: [&str; 3] = ["shop/web", "shop/db", "bank/web"];

#[test]
fn a_subject_of_ciliums_own_endpoints_selects_no_pod() {
    let web = json!({"matchLabels": {"app": "web"}});
    for key in [
        "reserved:health",
        "reserved:ingress",
        "reserved:host",
        "reserved:x y",
    ] {
        for (selector, everybody) in requirements(key, "") {
            let wide = ccnp(json!({"endpointSelector": selector, "ingress": [{}]}));
            let own = cnp(json!({"endpointSelector": selector, "ingress": [{}]}));
            let both = ccnp(json!({"endpointSelector": merged(&web, &selector), "ingress": [{}]}));
            let (all, shop, named): (&[_], &[_], &[_]) = match everybody {
                true => (&EVERYBODY, &EVERYBODY[..2], &["shop/web", "bank/web"]),
                false => (&[], &[], &[]),
            };
            assert_eq!(isolated_pods(&wide), all, "{selector}");
            assert_eq!(isolated_pods(&own), shop, "{selector}");
            assert_eq!(isolated_pods(&both), named, "{selector}");
            for value in [&wide, &own, &both] {
                assert!(read(value).is_ok(), "it is understood: {value}");
                assert_eq!(problems(value).is_empty(), everybody, "{value}");
            }
        }
    }
}

#[test]
fn a_key_that_is_not_understood_widens_no_subject_to_everybody() {
    let web = json!({"matchLabels": {"app": "web"}});
    for key in [
        "container:x",
        "k8:app",
        "a b",
        "io.cilium.k8s.namespace.labels.",
        "",
    ] {
        for (selector, everybody) in requirements(key, "v") {
            let subject =
                |selector: &Value| ccnp(json!({"endpointSelector": selector, "ingress": [{}]}));
            let alone = subject(&selector);
            let both = subject(&merged(&web, &selector));
            let expected: &[_] = if everybody { &EVERYBODY } else { &[] };
            assert_eq!(isolated_pods(&alone), expected, "{selector}");
            assert_eq!(isolated_pods(&both), ["shop/web", "bank/web"], "{selector}");
            // Not in force as written, so a last good version stays.
            assert!(read(&alone).is_err() && read(&both).is_err());
        }
    }
}

#[test]
fn what_is_understood_of_a_subject_holds_in_every_kind() {
    for (selector, expected) in [
        // A label that is there, whatever its value.
        (json!({"matchLabels": {"app": 5}}), &EVERYBODY[..2]),
        (json!({"matchLabels": {"tier": "a b"}}), &[]),
        (json!({"matchLabels": {"app": "web", "tier": true}}), &[]),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": 3}),
            &EVERYBODY[..1],
        ),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "app", "operator": "Foo"}, {"key": "app", "operator": "NotIn", "values": []},
                {"operator": "Exists"}, 3, {"key": "app", "operator": "Exists", "values": ["x"]}]}),
            &EVERYBODY[..1],
        ),
        (json!({"matchLabel": {"app": "web"}}), &EVERYBODY[..2]),
        (json!({"matchLabels": {"a b": "c"}}), &[]),
        (json!(3), &EVERYBODY[..2]),
    ] {
        let own = cnp(json!({"endpointSelector": selector, "ingress": [{}]}));
        assert!(read(&own).is_err(), "{selector}");
        assert_eq!(isolated_pods(&own), expected, "{selector}");
        let plain = network(json!({"podSelector": selector}));
        assert!(read(&plain).is_err(), "{selector}");
        assert_eq!(isolated_pods(&plain), expected, "{selector}");
        let admin = admin(json!({"pods": {
            "namespaceSelector": {"matchLabels": {"team": "team-shop"}}, "podSelector": selector}}));
        assert!(read(&admin).is_err(), "{selector}");
        assert_eq!(isolated_pods(&admin), expected, "{selector}");
    }
}

/// What is wrong tells nothing of whom is meant; what stands beside it does.
#[test]
fn a_wrong_shape_or_operator_isolates_no_more_than_what_is_understood_beside_it() {
    let web = json!({"matchLabels": {"app": "web"}});
    let one = |expression: Value| json!({"matchExpressions": [expression]});
    for (wrong, alone) in [
        (
            one(json!({"key": "app", "operator": "Foo", "values": ["web"]})),
            &EVERYBODY[..],
        ),
        (
            one(json!({"key": "app", "operator": "in", "values": ["web"]})),
            &EVERYBODY,
        ),
        (one(json!({"key": "app", "operator": 5})), &EVERYBODY),
        (
            one(json!({"key": "reserved:health", "operator": "Foo"})),
            &EVERYBODY,
        ),
        (
            one(json!({"key": "container:x", "operator": "Foo"})),
            &EVERYBODY,
        ),
        (
            one(json!({"key": "a b", "operator": "Gt", "values": ["1"]})),
            &EVERYBODY,
        ),
        (one(json!("app in (web)")), &EVERYBODY),
        (
            json!({"matchExpressions": {"key": "app", "operator": "Foo"}}),
            &EVERYBODY,
        ),
        (json!({"matchLabelz": {"app": "db"}}), &EVERYBODY),
        // A field that is not known beside an operator that is: the label is there, or is not.
        (
            one(json!({"key": "tier", "operator": "In", "value": ["web"]})),
            &[],
        ),
        (
            one(json!({"key": "tier", "operator": "Exists", "not": true})),
            &[],
        ),
        (
            one(json!({"key": "app", "operator": "DoesNotExist", "x": 1})),
            &[],
        ),
        (
            one(json!({"key": "app", "operator": "NotIn", "values": ["web"], "x": 1})),
            &EVERYBODY,
        ),
    ] {
        let both = merged(&web, &wrong);
        let web_of = |pods: &[&'static str]| -> Vec<&'static str> {
            pods.iter()
                .copied()
                .filter(|pod| pod.ends_with("web"))
                .collect()
        };
        for (selector, expected) in [(&wrong, alone.to_vec()), (&both, web_of(alone))] {
            let own: Vec<_> = expected
                .iter()
                .copied()
                .filter(|pod| pod.starts_with("shop"))
                .collect();
            let cilium = json!({"endpointSelector": selector, "ingress": [{}]});
            for (value, expected) in [
                (ccnp(cilium.clone()), &expected),
                (admin(json!({"pods": {"podSelector": selector}})), &expected),
                (cnp(cilium), &own),
                (network(json!({"podSelector": selector})), &own),
            ] {
                assert!(read(&value).is_err(), "{value}");
                assert_eq!(&isolated_pods(&value), expected, "{value}");
            }
        }
    }
}

#[test]
fn two_subjects_where_one_is_allowed_isolate_those_of_either() {
    let shop = json!({"matchLabels": {"team": "team-shop"}});
    let web = json!({"podSelector": {"matchLabels": {"app": "web"}}});
    let nobody = json!({"podSelector": {"matchLabels": {"a b": "c"}}});
    for (subject, expected) in [
        (json!({"namespaces": shop, "pods": web}), &EVERYBODY[..]),
        (
            json!({"namespaces": {"matchLabels": {"team": "x"}}, "pods": web}),
            &["shop/web", "bank/web"],
        ),
        (json!({"namespaces": shop, "pods": nobody}), &EVERYBODY[..2]),
        (json!({}), &EVERYBODY),
        (json!(3), &EVERYBODY),
    ] {
        let value = admin(subject);
        assert!(read(&value).is_err(), "{value}");
        assert_eq!(isolated_pods(&value), expected, "{value}");
    }
}

fn admin(subject: Value) -> Value {
    json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"}, "spec": {"tier": "Admin", "priority": 1, "subject": subject}})
}

fn rules(value: &Value) -> Vec<Rule> {
    read(value).unwrap().policy.specs[0].ingress.rules.clone()
}

fn peers(section: &str, peer: &Value) -> Vec<Rule> {
    rules(&cnp(
        json!({"endpointSelector": {}, section: [{"fromEndpoints": [peer]}]}),
    ))
}

#[test]
fn reserved_labels_of_peers_are_entities_or_nobody() {
    for (key, entity) in [
        ("reserved:host", Some(Entity::Host)),
        ("reserved:remote-node", Some(Entity::RemoteNode)),
        ("reserved:world", Some(Entity::World)),
        ("reserved:kube-apiserver", Some(Entity::KubeApiserver)),
        ("reserved:ingress", None),
        ("reserved:init", None),
    ] {
        for (selector, everybody) in requirements(key, "") {
            if everybody {
                continue;
            }
            let named = Peers::OneOf(entity.map(Peer::Entity).into_iter().collect());
            let with_pods = merged(&selector, &json!({"matchLabels": {"app": "web"}}));
            for section in ["ingress", "ingressDeny"] {
                let value =
                    cnp(json!({"endpointSelector": {}, section: [{"fromEndpoints": [selector]}]}));
                assert_eq!(problems(&value), [], "{value}");
                assert_eq!(peers(section, &selector)[0].peers, named, "{selector}");
                // Nobody has both.
                assert_eq!(peers(section, &with_pods)[0].peers, Peers::OneOf(vec![]));
            }
        }
    }
    let other = json!({"matchLabels": {"reserved:host": "x"}});
    assert_eq!(peers("ingress", &other)[0].peers, Peers::OneOf(vec![]));
}

/// Whether a rule that stands for this peer covers web pods of its namespace, web pods of another,
/// and everybody.
fn covers(rules: &[Rule]) -> (bool, bool, bool) {
    let one = |namespace: &str, app: &str| {
        rules.iter().any(|rule| match &rule.peers {
            Peers::Any => true,
            Peers::OneOf(peers) => peers.iter().any(|peer| selects(peer, namespace, app)),
        })
    };
    let any = rules.iter().any(|rule| rule.peers == Peers::Any);
    (one("shop", "web"), one("bank", "web"), any)
}

#[test]
fn a_bad_peer_never_widens_an_allow_nor_narrows_a_deny() {
    let web = json!({"matchLabels": {"app": "web"}});
    for key in ["container:x", "a b", "reserved:hots"] {
        for (selector, _) in requirements(key, "") {
            let both = merged(&web, &selector);
            assert_eq!(covers(&peers("ingress", &selector)), (false, false, false));
            assert_eq!(covers(&peers("ingress", &both)), (false, false, false));
            assert_eq!(covers(&peers("ingressDeny", &selector)), (true, true, true));
            let told = key != "reserved:hots"
                || both["matchExpressions"][0]["operator"] == "NotIn"
                || both["matchExpressions"][0]["operator"] == "DoesNotExist";
            assert_eq!(
                covers(&peers("ingressDeny", &both)),
                (true, true, !told),
                "{both}"
            );
        }
    }
    // A namespace that was named but not understood may be any; one that was not named is the own.
    let value = json!({"matchLabels": {"app": "web", "tier": 3}});
    let most = peers("ingressDeny", &value);
    assert!(!covers(&most).2, "pods only");
    let value = json!({"matchLabels": {"app": "db", "container:x": "y"}});
    assert_eq!(covers(&peers("ingressDeny", &value)), (false, false, false));
}

#[test]
fn a_bad_deny_rule_denies_what_it_may_mean_at_its_ports_and_peers() {
    let deny = |rule: Value| {
        let value = cnp(json!({"endpointSelector": {}, "ingressDeny": [rule],
                               "enableDefaultDeny": {"ingress": false}}));
        assert_eq!(problems(&value).len(), 1, "{value}");
        let [rule] = <[Rule; 1]>::try_from(rules(&value)).unwrap();
        assert_eq!(rule.action, Action::Deny);
        (rule.peers, rule.ports)
    };
    let world = Peers::OneOf(vec![Peer::Entity(Entity::World)]);
    let ssh = port(Protocol::Tcp, 22, 22);
    let tcp = |number: &str| json!({"port": number, "protocol": "TCP"});
    let entry = json!({"ports": [tcp("22")]});
    let requests = json!({"ports": [tcp("22")], "rules": {"http": [{}]}});
    for (rule, peers, ports) in [
        (
            json!({"fromEntities": ["world"], "toPorts": [requests]}),
            world.clone(),
            vec![ssh.clone()],
        ),
        (
            json!({"fromEntities": ["world"], "toPorts": [{"ports": [tcp("x y")]}, entry]}),
            world.clone(),
            vec![],
        ),
        (
            json!({"fromEntities": ["wrold"], "toPorts": [entry]}),
            Peers::Any,
            vec![ssh.clone()],
        ),
        (
            json!({"fromCIDR": ["10.0.0.0/40"], "toPorts": [entry]}),
            Peers::Any,
            vec![ssh.clone()],
        ),
        (
            json!({"fromEntities": ["world"], "fromCIDR": ["10.0.0.0/8"], "toPorts": [entry]}),
            Peers::Any,
            vec![ssh.clone()],
        ),
        (
            json!({"fromEntities": ["world"], "fromNodes": [{}], "toPorts": [entry]}),
            Peers::Any,
            vec![ssh],
        ),
        (
            json!({"fromEntities": ["world"], "icmps": []}),
            world,
            vec![],
        ),
    ] {
        assert_eq!(deny(rule.clone()), (peers, ports), "{rule}");
    }
}

#[test]
fn a_bad_rule_of_a_tier_denies_what_it_may_mean() {
    let deny = |rule: Value| {
        let value = json!({"apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy", "metadata": {"name": "p"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
                     "ingress": [rule]}});
        assert_eq!(problems(&value).len(), 1, "{value}");
        rules(&value)
    };
    let selector = json!({"matchLabels": {"app": "web", "a b": "c"}});
    for action in ["Deny", "Pass"] {
        let rule = |peer: Value| json!({"action": action, "from": [peer]});
        let some = deny(rule(json!({"pods": {"podSelector": selector}})));
        assert_eq!(covers(&some), (true, true, false));
        assert_eq!(some[0].action, Action::Deny);
        let nobody = json!({"matchLabels": {"app": "db", "a b": "c"}});
        let some = deny(rule(json!({"pods": {"podSelector": nobody}})));
        assert_eq!(covers(&some), (false, false, false));
        assert_eq!(
            covers(&deny(rule(json!({"nodes": {}})))),
            (true, true, true)
        );
        let ports = deny(json!({"action": action, "from": [{"nodes": {}}],
            "protocols": [{"tcp": {"destinationPort": {"number": 22}}}]}));
        assert_eq!(ports[0].ports, [port(Protocol::Tcp, 22, 22)]);
    }
    assert_eq!(
        deny(json!({"action": "Accept", "from": [{"nodes": {}}]})),
        []
    );
}
