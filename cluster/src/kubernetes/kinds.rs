//! The kinds that are watched.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of the API.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version that is read.
    pub version: &'static str,
    /// Kind, as in objects.
    pub kind: &'static str,
    /// Plural, as in paths and in RBAC.
    pub plural: &'static str,
    /// Whether a cluster may do without it: a custom resource.
    pub optional: bool,
}

/// Everything that policy depends on.
pub static RESOURCES: &[Resource] = &[
    built_in("", "v1", "Namespace", "namespaces"),
    built_in("", "v1", "Node", "nodes"),
    built_in("", "v1", "Pod", "pods"),
    built_in("", "v1", "Service", "services"),
    built_in("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    built_in(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    custom(
        "cilium.io",
        "v2",
        "CiliumNetworkPolicy",
        "ciliumnetworkpolicies",
    ),
    custom(
        "cilium.io",
        "v2",
        "CiliumClusterwideNetworkPolicy",
        "ciliumclusterwidenetworkpolicies",
    ),
    custom("cilium.io", "v2", "CiliumCIDRGroup", "ciliumcidrgroups"),
    custom(
        "policy.networking.k8s.io",
        "v1alpha2",
        "ClusterNetworkPolicy",
        "clusternetworkpolicies",
    ),
];

const fn built_in(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource {
        group,
        version,
        kind,
        plural,
        optional: false,
    }
}

const fn custom(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource {
        optional: true,
        ..built_in(group, version, kind, plural)
    }
}

impl Resource {
    /// The resource of a kind's name.
    pub fn of_kind(kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.kind == kind)
    }

    /// As the client library names it.
    pub fn api(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}
