//! Objects in, model and problems out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    model::{
        Action, Direction, Key, Labels, Peer, Peers, Port, PortMatch, Protocol, Rule, Section,
        selector::Subject,
    },
    schema::tests::agrees,
};

mod cilium;
mod cluster_policy;
mod network_policy;
mod refusals;
mod widening;

fn network(spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
           "metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
}

fn cnp(spec: Value) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
           "metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
}

fn ccnp(spec: Value) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
           "metadata": {"name": "p"}, "spec": spec})
}

/// Reads a policy, and holds it against the schema.
fn read(value: &Value) -> Result<Parsed, Box<Refused>> {
    let kind = kind_of(value).expect("a policy kind");
    let read = parse(kind, value);
    let problems = match &read {
        Ok(parsed) => &parsed.problems,
        Err(refused) => &refused.problems,
    };
    agrees(kind, value, problems);
    read
}

/// A good policy with one part.
fn good(value: &Value) -> PolicySpec {
    let parsed = read(value).expect("a policy");
    assert_eq!(parsed.problems, [], "{value}");
    let [spec] = <[PolicySpec; 1]>::try_from(parsed.policy.specs).expect("one part");
    spec
}

/// The fields and reasons of all problems, however the policy was taken.
fn problems(value: &Value) -> Vec<(String, String)> {
    let problems = match read(value) {
        Ok(parsed) => parsed.problems,
        Err(refused) => refused.problems,
    };
    problems.into_iter().map(|p| (p.field, p.reason)).collect()
}

fn port(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    PortMatch {
        protocol,
        port: Port::Range(first, last),
    }
}

fn deny_all(section: &Section) -> bool {
    section.isolates
        && matches!(section.rules.as_slice(), [Rule { action: Action::Deny, peers: Peers::Any, ports, l7: None, .. }] if ports.is_empty())
}

fn isolated(section: &Section) -> bool {
    section.isolates && section.rules.is_empty()
}

/// Whether a pod of this namespace with this label is selected.
fn selects(peer: &Peer, namespace: &str, app: &str) -> bool {
    let labels = Labels::from([("app".to_owned(), app.to_owned())]);
    let team = Labels::from([("team".to_owned(), format!("team-{namespace}"))]);
    let subject = Subject {
        namespace,
        namespace_labels: &team,
        labels: &labels,
        service_account: "robot",
        cluster: "c1",
        is_node: false,
    };
    matches!(peer, Peer::Pods(selector) if selector.matches(subject))
}

#[test]
fn only_policies_are_policies() {
    let kind = |version: &str, kind: &str| kind_of(&json!({"apiVersion": version, "kind": kind}));
    assert_eq!(
        kind("networking.k8s.io/v1", "NetworkPolicy"),
        Some(PolicyKind::NetworkPolicy)
    );
    // An old version of ours is refused loudly, not overlooked.
    assert_eq!(
        kind("extensions/v1beta1", "NetworkPolicy"),
        Some(PolicyKind::NetworkPolicy)
    );
    assert_eq!(kind("projectcalico.org/v3", "NetworkPolicy"), None);
    assert_eq!(kind("v1", "Pod"), None);
    assert_eq!(kind_of(&json!("x")), None);
}

#[test]
fn a_wrong_head_closes_what_the_object_names() {
    let mut value = network(json!({"podSelector": {"matchLabels": {"app": "db"}},
                                   "policyTypes": ["Egress"], "egress": [{}]}));
    value["apiVersion"] = json!("extensions/v1beta1");
    let refused = read(&value).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "NetworkPolicy/shop/p: apiVersion: must be `networking.k8s.io/v1`"
    );
    let [spec] = refused.stand_in.specs.as_slice() else {
        panic!("one part");
    };
    assert!(selects(
        &Peer::Pods(spec.subject.pods().unwrap().clone()),
        "shop",
        "db"
    ));
    assert!(!selects(
        &Peer::Pods(spec.subject.pods().unwrap().clone()),
        "shop",
        "web"
    ));
    assert!(isolated(&spec.egress) && !spec.ingress.isolates);
    assert_eq!(closed(PolicyKind::NetworkPolicy, &value), refused.stand_in);

    let misspelt = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p"}, "sepc": {"ingress": []}});
    let refused = read(&misspelt).unwrap_err();
    assert_eq!(refused.stand_in.object.namespace, "default");
    assert!(isolated(&refused.stand_in.specs[0].ingress));
    assert!(isolated(&refused.stand_in.specs[0].egress));

    let mut value = network(json!({}));
    value["metadata"] = json!({"name": "a\nb", "namespace": ["x"]});
    let refused = read(&value).unwrap_err();
    assert_eq!(refused.problems[0].object, "NetworkPolicy/default/a_b");
    assert_eq!(
        refused.stand_in.specs[0].subject.pods().unwrap().namespaces,
        NamespaceScope::All
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "spec",
        "specs",
        "podSelector",
        "endpointSelector",
        "nodeSelector",
        "matchLabels",
        "matchExpressions",
        "key",
        "operator",
        "values",
        "In",
        "Exists",
        "policyTypes",
        "Ingress",
        "ingress",
        "egress",
        "ingressDeny",
        "egressDeny",
        "enableDefaultDeny",
        "from",
        "to",
        "ports",
        "port",
        "endPort",
        "protocol",
        "TCP",
        "80",
        "http",
        "rules",
        "toPorts",
        "path",
        "method",
        "headers",
        "X: y",
        "/a)|(.*",
        "[",
        "fromEndpoints",
        "fromCIDR",
        "fromCIDRSet",
        "cidr",
        "except",
        "10.0.0.0/8",
        "::ffff:1.2.3.4/120",
        "fromEntities",
        "world",
        "all",
        "ipBlock",
        "metadata",
        "name",
        "namespace",
        "k8s:io.kubernetes.pod.namespace",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..5).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_panics_and_what_is_refused_is_closed(spec in any_json(), whole in any_json()) {
        for kind in [
            PolicyKind::NetworkPolicy,
            PolicyKind::CiliumNetworkPolicy,
            PolicyKind::CiliumClusterwideNetworkPolicy,
        ] {
            for value in [&whole, &network(spec.clone()), &cnp(spec.clone())] {
                if let Err(refused) = parse(kind, value) {
                    prop_assert!(!refused.problems.is_empty());
                    for spec in &refused.stand_in.specs {
                        for direction in Direction::BOTH {
                            let section = spec.section(direction);
                            // A refused Cilium policy may keep other good parts.
                            let allows = section.rules.iter().any(|r| r.action == Action::Allow);
                            prop_assert!(!allows || value.get("specs").is_some());
                        }
                    }
                }
                let _ = (kind_of(value), closed(kind, value));
            }
        }
    }
}
