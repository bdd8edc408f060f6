//! The kinds that the lab knows by name: their short names and whether they live in a namespace.

/// A kind, its API group, the name of its resources, and short words for it.
struct Known {
    kind: &'static str,
    group: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
}

const fn known(
    kind: &'static str,
    group: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Known {
    Known {
        kind,
        group,
        plural,
        short,
    }
}

const KNOWN: &[Known] = &[
    known("Namespace", "", "namespaces", &["ns"]),
    known("Node", "", "nodes", &["no"]),
    known("Pod", "", "pods", &["po"]),
    known("Deployment", "apps", "deployments", &["deploy"]),
    known("ReplicaSet", "apps", "replicasets", &["rs"]),
    known("StatefulSet", "apps", "statefulsets", &["sts"]),
    known("DaemonSet", "apps", "daemonsets", &["ds"]),
    known("Service", "", "services", &["svc"]),
    known("EndpointSlice", "discovery.k8s.io", "endpointslices", &[]),
    known("Ingress", "networking.k8s.io", "ingresses", &["ing"]),
    known(
        "NetworkPolicy",
        "networking.k8s.io",
        "networkpolicies",
        &["netpol"],
    ),
    known(
        "CiliumNetworkPolicy",
        "cilium.io",
        "ciliumnetworkpolicies",
        &["cnp", "ciliumnp"],
    ),
    known(
        "CiliumClusterwideNetworkPolicy",
        "cilium.io",
        "ciliumclusterwidenetworkpolicies",
        &["ccnp"],
    ),
    known("CiliumCIDRGroup", "cilium.io", "ciliumcidrgroups", &["ccg"]),
    known(
        "ClusterNetworkPolicy",
        "policy.networking.k8s.io",
        "clusternetworkpolicies",
        &[],
    ),
    known("ServiceAccount", "", "serviceaccounts", &["sa"]),
    known("ConfigMap", "", "configmaps", &["cm"]),
    known("Secret", "", "secrets", &[]),
    known("PersistentVolume", "", "persistentvolumes", &["pv"]),
    known(
        "PersistentVolumeClaim",
        "",
        "persistentvolumeclaims",
        &["pvc"],
    ),
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

/// The kind that a word on the command line means, with its group or without; an unknown word may be
/// a kind itself.
pub fn from_word(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let (name, group) = lower.split_once('.').unwrap_or((&lower, ""));
    let means = |known: &&Known| {
        let named = name == known.kind.to_lowercase() || name == known.plural;
        let full = named || known.short.contains(&name);
        // With a version in between, as `deployments.v1.apps`.
        full && (group.is_empty() || !known.group.is_empty() && group.ends_with(known.group))
    };
    let found = KNOWN.iter().find(means);
    found.map(|known| known.kind.to_owned()).or_else(|| {
        let is_kind = word.starts_with(|c: char| c.is_ascii_uppercase());
        is_kind.then(|| word.to_owned())
    })
}

/// The resources of a kind, as messages name them: `networkpolicies.networking.k8s.io`.
pub fn resources(kind: &str) -> String {
    match KNOWN.iter().find(|known| known.kind == kind) {
        Some(known) if known.group.is_empty() => known.plural.to_owned(),
        Some(known) => format!("{}.{}", known.plural, known.group),
        None => kind.to_lowercase(),
    }
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
        assert_eq!(
            from_word("deployments.v1.apps").as_deref(),
            Some("Deployment")
        );
        assert_eq!(from_word("deployments.cilium.io"), None);
        assert_eq!(
            resources("NetworkPolicy"),
            "networkpolicies.networking.k8s.io"
        );
        assert_eq!(resources("Pod"), "pods");
    }
}
