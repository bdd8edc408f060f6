//! CiliumCIDRGroup: prefixes that policies name by an object.

use serde_json::{Value, json};

use super::{
    OWNER,
    build::{described, list, object, text},
};

/// The definition. Cilium serves it in two versions that say the same; the newer one is stored.
pub(super) fn definition() -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name,
            "served": true,
            "storage": storage,
            "additionalPrinterColumns": [
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "schema": {"openAPIV3Schema": schema()},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "ciliumcidrgroups.cilium.io",
            "labels": {OWNER.0: OWNER.1},
        },
        "spec": {
            "group": "cilium.io",
            "names": {
                "kind": "CiliumCIDRGroup",
                "listKind": "CiliumCIDRGroupList",
                "plural": "ciliumcidrgroups",
                "singular": "ciliumcidrgroup",
                "shortNames": ["ccg"],
                "categories": ["cilium"],
            },
            "scope": "Cluster",
            "versions": [version("v2", true), version("v2alpha1", false)],
        },
    })
}

/// A prefix is judged by the parser: one that is refused here would keep the good ones out.
pub(super) fn schema() -> Value {
    let prefixes = described("Addresses outside the cluster", list(text()));
    let spec = object(vec![("externalCIDRs", prefixes)], &["externalCIDRs"]);
    described(
        "Prefixes that policies name in `fromCIDRSet` and `toCIDRSet`; Cilium's format",
        object(
            vec![
                ("apiVersion", text()),
                ("kind", text()),
                ("metadata", json!({"type": "object"})),
                ("spec", spec),
            ],
            &["metadata", "spec"],
        ),
    )
}
