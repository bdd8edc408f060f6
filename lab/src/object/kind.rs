//! The kinds that the lab knows by name: their short names and whether they live in a namespace.

/// Kind and the words that kubectl takes for it.
const ALIASES: &[(&str, &[&str])] = &[
    ("Namespace", &["ns", "namespace", "namespaces"]),
    ("Node", &["no", "node", "nodes"]),
    ("Pod", &["po", "pod", "pods"]),
    (
        "Deployment",
        &["deploy", "deployment", "deployments", "deployment.apps"],
    ),
    (
        "ReplicaSet",
        &["rs", "replicaset", "replicasets", "replicaset.apps"],
    ),
    (
        "StatefulSet",
        &["sts", "statefulset", "statefulsets", "statefulset.apps"],
    ),
    (
        "DaemonSet",
        &["ds", "daemonset", "daemonsets", "daemonset.apps"],
    ),
    ("Service", &["svc", "service", "services"]),
    ("Ingress", &["ing", "ingress", "ingresses"]),
    (
        "NetworkPolicy",
        &[
            "netpol",
            "networkpolicy",
            "networkpolicies",
            "networkpolicy.networking.k8s.io",
        ],
    ),
    (
        "CiliumNetworkPolicy",
        &[
            "cnp",
            "ciliumnp",
            "ciliumnetworkpolicy",
            "ciliumnetworkpolicies",
            "ciliumnetworkpolicy.cilium.io",
        ],
    ),
    (
        "CiliumClusterwideNetworkPolicy",
        &[
            "ccnp",
            "ciliumclusterwidenetworkpolicy",
            "ciliumclusterwidenetworkpolicies",
            "ciliumclusterwidenetworkpolicy.cilium.io",
        ],
    ),
    (
        "CiliumCIDRGroup",
        &["ccg", "ciliumcidrgroup", "ciliumcidrgroups"],
    ),
    (
        "ClusterNetworkPolicy",
        &[
            "clusternetworkpolicy",
            "clusternetworkpolicies",
            "clusternetworkpolicy.policy.networking.k8s.io",
        ],
    ),
    (
        "ServiceAccount",
        &["sa", "serviceaccount", "serviceaccounts"],
    ),
    ("ConfigMap", &["cm", "configmap", "configmaps"]),
    ("Secret", &["secret", "secrets"]),
];

/// Kinds of the cluster itself; every other kind is taken to live in a namespace.
const CLUSTER_SCOPED: &[&str] = &[
    "Namespace",
    "Node",
    "CiliumClusterwideNetworkPolicy",
    "CiliumCIDRGroup",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PersistentVolume",
    "StorageClass",
    "IngressClass",
    "GatewayClass",
    "PriorityClass",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
];

/// The kind that a word on the command line means; an unknown word may be a kind itself.
pub fn from_word(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    ALIASES
        .iter()
        .find(|(_, words)| words.contains(&lower.as_str()))
        .map(|(kind, _)| (*kind).to_owned())
        .or_else(|| {
            let is_kind = word.starts_with(|c: char| c.is_ascii_uppercase());
            is_kind.then(|| word.to_owned())
        })
}

pub fn is_cluster_scoped(kind: &str) -> bool {
    CLUSTER_SCOPED.contains(&kind)
}

/// Kinds that the lab turns into pods itself: the agent sees the pods.
pub fn owns_pods(kind: &str) -> bool {
    matches!(
        kind,
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_words() {
        assert_eq!(from_word("netpol").as_deref(), Some("NetworkPolicy"));
        assert_eq!(from_word("Deploy").as_deref(), Some("Deployment"));
        assert_eq!(from_word("Ingress").as_deref(), Some("Ingress"));
        assert_eq!(from_word("nonsense"), None);
    }
}
