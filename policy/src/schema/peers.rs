//! Selectors and the other ends of rules.

use serde_json::{Value, json};

use super::build::{described, list, map, object, one_of, pattern, requires, text, with};

/// Labels end up in label indexes: Kubernetes' own limits.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const DNS_NAME: &str = r"^([-a-zA-Z0-9_]+[.]?)+$";
const DNS_PATTERN: &str = r"^([-a-zA-Z0-9_*]+[.]?)+$";

/// Entities of Cilium; some of them nobody has here.
pub(super) const ENTITIES: &[&str] = &[
    "all",
    "world",
    "world-ipv4",
    "world-ipv6",
    "cluster",
    "cluster-mesh",
    "host",
    "init",
    "ingress",
    "unmanaged",
    "remote-node",
    "health",
    "none",
    "kube-apiserver",
    "reserved:all",
    "reserved:world",
    "reserved:world-ipv4",
    "reserved:world-ipv6",
    "reserved:cluster",
    "reserved:cluster-mesh",
    "reserved:host",
    "reserved:init",
    "reserved:ingress",
    "reserved:unmanaged",
    "reserved:remote-node",
    "reserved:health",
    "reserved:none",
    "reserved:kube-apiserver",
];

/// A label selector; `{}` selects everything.
pub(super) fn selector() -> Value {
    let value = json!({"type": "string", "maxLength": 63, "pattern": LABEL_VALUE});
    let expression = object(
        vec![
            ("key", text()),
            (
                "operator",
                one_of(&["In", "NotIn", "Exists", "DoesNotExist"]),
            ),
            ("values", list(text())),
        ],
        &["key", "operator"],
    );
    object(
        vec![
            ("matchLabels", map(value)),
            ("matchExpressions", list(expression)),
        ],
        &[],
    )
}

pub(super) fn selectors(description: &str) -> Value {
    described(description, list(selector()))
}

pub(super) fn entities(description: &str) -> Value {
    described(description, list(one_of(ENTITIES)))
}

/// Prefixes. Cilium also takes plain addresses here, so the API server does not judge them.
pub(super) fn prefixes(description: &str) -> Value {
    described(description, list(text()))
}

/// Prefixes with exceptions, or groups of prefixes.
pub(super) fn prefix_sets(description: &str) -> Value {
    let cidr = || json!({"type": "string", "format": "cidr"});
    let group = with(pattern(SUBDOMAIN), "maxLength", json!(253));
    let entry = object(
        vec![
            ("cidr", cidr()),
            ("cidrGroupRef", group),
            ("cidrGroupSelector", selector()),
            (
                "except",
                described("Prefixes inside `cidr` that are left out", list(cidr())),
            ),
        ],
        &[],
    );
    let alternatives = requires(&["cidr", "cidrGroupRef", "cidrGroupSelector"]);
    described(description, list(with(entry, "oneOf", alternatives)))
}

/// Security groups of a cloud provider.
pub(super) fn groups(description: &str) -> Value {
    let aws = object(
        vec![
            ("labels", map(text())),
            ("region", text()),
            ("securityGroupsIds", list(text())),
            ("securityGroupsNames", list(text())),
        ],
        &[],
    );
    described(description, list(object(vec![("aws", aws)], &[])))
}

/// Services, by name or by label.
pub(super) fn services() -> Value {
    let named = object(vec![("namespace", text()), ("serviceName", text())], &[]);
    let selected = object(
        vec![("namespace", text()), ("selector", selector())],
        &["selector"],
    );
    described(
        "Backends of these services",
        list(object(
            vec![("k8sService", named), ("k8sServiceSelector", selected)],
            &[],
        )),
    )
}

/// DNS names, as in `toFQDNs` and `rules.dns`.
pub(super) fn names(description: &str) -> Value {
    let bounded = |text| with(pattern(text), "maxLength", json!(255));
    let entry = object(
        vec![
            ("matchName", bounded(DNS_NAME)),
            ("matchPattern", bounded(DNS_PATTERN)),
        ],
        &[],
    );
    let alternatives = requires(&["matchName", "matchPattern"]);
    described(description, list(with(entry, "oneOf", alternatives)))
}
