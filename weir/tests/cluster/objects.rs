//! Objects of the API.

use serde_json::{Value, json};

pub fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}}})
}

pub fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.10"}]}})
}

/// A pod that is scheduled here and has no network yet.
pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Pending"}})
}

/// The agent's own pod, made by a DaemonSet.
pub fn agents_pod() -> Value {
    let mut agent = pod("weir-1");
    agent["metadata"]["namespace"] = "weir-system".into();
    agent["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet",
        "name": "weir", "uid": "of-the-daemonset", "controller": true}]);
    agent["spec"]["hostNetwork"] = true.into();
    agent
}

/// GET /headers of httpbin, for sleep.
pub fn get_headers() -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "get-headers", "namespace": "default"},
        "spec": {"endpointSelector": {"matchLabels": {"app": "httpbin"}},
            "ingress": [{"fromEndpoints": [{"matchLabels": {"app": "sleep"}}],
                "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}],
                    "rules": {"http": [{"method": "GET", "path": "/headers"}]}}]}]}})
}
