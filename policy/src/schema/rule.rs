//! One part of a policy, and its four kinds of rules.

use serde_json::Value;

use super::{
    build::{Fields, described, flag, list, object, one_of, requires, text, with},
    peers, ports,
};

/// `spec`, and each of `specs`.
pub(super) fn spec() -> Value {
    let label = object(
        vec![("key", text()), ("value", text()), ("source", text())],
        &["key"],
    );
    let default_deny = object(vec![("ingress", flag()), ("egress", flag())], &[]);
    let spec = object(
        vec![
            ("description", described("Free text", text())),
            (
                "labels",
                described(
                    "Labels of the rule itself; they decide nothing",
                    list(label),
                ),
            ),
            ("log", object(vec![("value", text())], &[])),
            (
                "endpointSelector",
                described("Pods that the policy is about", peers::selector()),
            ),
            (
                "nodeSelector",
                described(
                    "Nodes that the policy is about, in place of pods; in a clusterwide policy only",
                    peers::selector(),
                ),
            ),
            (
                "enableDefaultDeny",
                described(
                    "Whether what no rule allows is denied; for each direction that has rules, \
                     unless said here",
                    default_deny,
                ),
            ),
            (
                "ingress",
                described("What may reach the pods", list(ingress(true))),
            ),
            (
                "ingressDeny",
                described("What may not, whatever allows it", list(ingress(false))),
            ),
            (
                "egress",
                described("What the pods may reach", list(egress(true))),
            ),
            (
                "egressDeny",
                described("What they may not, whatever allows it", list(egress(false))),
            ),
        ],
        &[],
    );
    let rules = requires(&["ingress", "ingressDeny", "egress", "egressDeny"]);
    let subjects = requires(&["endpointSelector", "nodeSelector"]);
    with(with(spec, "anyOf", rules), "oneOf", subjects)
}

fn ingress(allow: bool) -> Value {
    let mut fields = vec![
        ("fromEndpoints", peers::selectors("Pods")),
        (
            "fromEntities",
            peers::entities("Well-known groups of peers"),
        ),
        ("fromCIDR", peers::prefixes("Addresses outside the cluster")),
        (
            "fromCIDRSet",
            peers::prefix_sets("Addresses outside the cluster, with exceptions"),
        ),
        (
            "fromNodes",
            peers::selectors("Other nodes than the pod's own, by their labels"),
        ),
        (
            "fromGroups",
            peers::groups("Groups of a cloud provider; not supported by Weir"),
        ),
    ];
    fields.extend(common(allow));
    object(fields, &[])
}

fn egress(allow: bool) -> Value {
    let mut fields = vec![
        ("toEndpoints", peers::selectors("Pods")),
        ("toEntities", peers::entities("Well-known groups of peers")),
        ("toCIDR", peers::prefixes("Addresses outside the cluster")),
        (
            "toCIDRSet",
            peers::prefix_sets("Addresses outside the cluster, with exceptions"),
        ),
        ("toServices", peers::services()),
        (
            "toNodes",
            peers::selectors("Other nodes than the pod's own, by their labels"),
        ),
        (
            "toGroups",
            peers::groups("Groups of a cloud provider; not supported by Weir"),
        ),
    ];
    // A deny rule by name is refused, with words of its own; the API server lets it through to them.
    fields.push(("toFQDNs", peers::names("DNS names")));
    fields.extend(common(allow));
    object(fields, &[])
}

/// What both directions have.
fn common(allow: bool) -> Fields {
    let mut fields = vec![("icmps", ports::icmps())];
    if allow {
        let modes = one_of(&["disabled", "required", "test-always-fail"]);
        let authentication = object(vec![("mode", modes)], &["mode"]);
        fields.push(("toPorts", ports::allow()));
        fields.push((
            "authentication",
            described(
                "Mutual authentication; not supported by Weir",
                authentication,
            ),
        ));
    } else {
        fields.push(("toPorts", ports::deny()));
    }
    fields
}
