//! What agents write: whether a policy is valid, and where it is enforced.

use serde_json::{Value, json};

use super::build::{described, list, object, text, with};

/// `status`. Conditions are Cilium's; what is ours stands under `weir`.
pub(super) fn status() -> Value {
    let condition = object(
        vec![
            (
                "type",
                described("`Valid`: every rule is in force as it is written", text()),
            ),
            ("status", described("True, False or Unknown", text())),
            ("reason", text()),
            (
                "message",
                described("What is not in force, and why", text()),
            ),
            (
                "lastTransitionTime",
                json!({"type": "string", "format": "date-time"}),
            ),
        ],
        &["type", "status"],
    );
    let conditions = with(
        with(list(condition), "x-kubernetes-list-type", json!("map")),
        "x-kubernetes-list-map-keys",
        json!(["type"]),
    );
    let count = |what| {
        described(
            what,
            json!({"type": "integer", "format": "int64", "minimum": 0}),
        )
    };
    let weir = object(
        vec![
            (
                "revision",
                count("`metadata.generation` of the policy that the counts are about"),
            ),
            ("nodesEnforced", count("Nodes that enforce this revision")),
            ("nodesTotal", count("Nodes of the cluster")),
            (
                "nodes",
                described(
                    "`metadata.generation` that each node enforces; up to 100 nodes",
                    json!({
                        "type": "object",
                        "additionalProperties": {"type": "integer", "format": "int64"},
                    }),
                ),
            ),
            (
                "enforced",
                described("Both counts, as `kubectl get` shows them: `2/3`", text()),
            ),
        ],
        &[],
    );
    object(vec![("conditions", conditions), ("weir", weir)], &[])
}
