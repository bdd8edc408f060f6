//! Host policies: what they leave out that a node needs.

use super::*;

fn ids(spec: Value) -> Vec<(&'static str, String)> {
    found(workshop(), &host_policy(spec))
}

#[test]
fn what_a_node_lives_by_is_to_be_allowed() {
    let field = |text: &str| text.to_owned();
    assert_eq!(
        ids(json!({"nodeSelector": {}, "ingress": [{}], "egress": [{}]})),
        [
            ("W027", field("spec.egress")),
            ("W027", field("spec.ingress")),
            ("W028", field("spec.ingress")),
        ]
    );
    let kubelet = json!({"fromEntities": ["cluster"], "toPorts": [{"ports": [
        {"port": "10250", "protocol": "TCP"}]}]});
    assert_eq!(
        ids(json!({"nodeSelector": {}, "ingress": [kubelet]})),
        [("W028", field("spec.ingress"))]
    );
    let nodes = json!({"fromEntities": ["remote-node"]});
    let api = json!({"toEntities": ["kube-apiserver"]});
    assert_eq!(
        ids(json!({"nodeSelector": {}, "ingress": [nodes], "egress": [api]})),
        []
    );
    // Who denies nothing by default cuts nothing.
    assert_eq!(
        ids(
            json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["world"]}],
            "enableDefaultDeny": {"ingress": false}})
        ),
        []
    );
}

#[test]
fn no_pod_is_missed_where_nodes_are_selected() {
    let spec = json!({"nodeSelector": {"matchLabels": {"role": "edge"}},
        "ingress": [{"fromEntities": ["cluster"]}],
        "egress": [{"toEntities": ["all"]}]});
    assert_eq!(ids(spec), []);
}
