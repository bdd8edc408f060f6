//! Label selectors over pods and namespaces.
//!
//! Follows the Kubernetes label selector semantics (`metav1.LabelSelector`): requirements are
//! ANDed, and `NotIn` and `DoesNotExist` also match where the key is absent.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// What a requirement looks at. Cilium selectors reach beyond the pod's own labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A label of the pod (or of the namespace, in a namespace selector).
    Label(String),
    /// A label of the pod's namespace: `io.cilium.k8s.namespace.labels.<key>`.
    NamespaceLabel(String),
    /// The name of the pod's namespace: `io.kubernetes.pod.namespace`.
    NamespaceName,
    /// The pod's service account: `io.cilium.k8s.policy.serviceaccount`.
    ServiceAccount,
    /// The name of the pod's cluster: `io.cilium.k8s.policy.cluster`.
    Cluster,
    /// A label that Cilium gives to what is no pod: `reserved:<name>`. No pod ever has one.
    Reserved(String),
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// The value is one of the listed ones.
    In,
    /// The key is absent or its value is none of the listed ones.
    NotIn,
    /// The key is present.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// What is looked at.
    pub key: Key,
    /// How it is compared.
    pub operator: Operator,
    /// The values of `In` and `NotIn`; empty for the others.
    pub values: BTreeSet<String>,
}

/// A conjunction of requirements; the empty selector matches everything.
///
/// `matchLabels` entries are kept as `In` with one value. INVARIANT: sorted and without
/// repetition, so that equal selectors compare equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    requirements: BTreeSet<Requirement>,
}

/// Which namespaces a pod selector reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceScope {
    /// Every namespace.
    All,
    /// The one of this name.
    Named(String),
    /// Those whose labels match.
    Matching(Selector),
}

/// Pods, by namespace and by label: both must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodSelector {
    /// The namespaces it reaches.
    pub namespaces: NamespaceScope,
    /// The pods in them.
    pub pods: Selector,
}

/// Whom a part of a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subjects {
    /// Pods, by namespace and by label.
    Pods(PodSelector),
    /// Nodes, by label: a host policy.
    Nodes(Selector),
}

/// What a selector is matched against: one pod, or a node, with its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Name of the namespace.
    pub namespace: &'a str,
    /// Labels of the namespace.
    pub namespace_labels: &'a Labels,
    /// Labels of the pod.
    pub labels: &'a Labels,
    /// Service account of the pod.
    pub service_account: &'a str,
    /// Name of the cluster.
    pub cluster: &'a str,
    /// It is a node, which has labels and nothing else.
    pub is_node: bool,
}

// === impl Subjects ===

impl Subjects {
    /// Whether this pod, or this node, is selected.
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Pods(pods) => !subject.is_node && pods.matches(subject),
            Self::Nodes(nodes) => subject.is_node && nodes.matches_labels(subject.labels),
        }
    }

    /// The pods that are selected, where it is pods.
    pub fn pods(&self) -> Option<&PodSelector> {
        match self {
            Self::Pods(pods) => Some(pods),
            Self::Nodes(_) => None,
        }
    }
}

// === impl Selector ===

impl Selector {
    /// A selector of these requirements.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }

    /// The requirements, sorted.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter()
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether plain labels (of a namespace) satisfy it.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = match &requirement.key {
                Key::Label(key) => labels.get(key).map(String::as_str),
                Key::NamespaceLabel(_)
                | Key::NamespaceName
                | Key::ServiceAccount
                | Key::Cluster
                | Key::Reserved(_) => None,
            };
            requirement.accepts(value)
        })
    }

    /// Whether a pod satisfies it.
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.accepts(subject.value(&requirement.key)))
    }
}

// === impl Requirement ===

impl Requirement {
    /// The requirement of a `matchLabels` entry.
    pub fn equals(key: Key, value: impl Into<String>) -> Self {
        Self {
            key,
            operator: Operator::In,
            values: BTreeSet::from([value.into()]),
        }
    }

    /// Whether it asks for the key to be there.
    pub fn asks_for_presence(&self) -> bool {
        matches!(self.operator, Operator::In | Operator::Exists)
    }

    fn accepts(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

// === impl PodSelector ===

impl PodSelector {
    /// Whether this pod is selected.
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        let in_namespace = match &self.namespaces {
            NamespaceScope::All => true,
            NamespaceScope::Named(name) => name == subject.namespace,
            NamespaceScope::Matching(selector) => selector.matches_labels(subject.namespace_labels),
        };
        in_namespace && self.pods.matches(subject)
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    /// What the subject has under a key.
    pub fn value(&self, key: &Key) -> Option<&'a str> {
        match key {
            Key::Label(key) => self.labels.get(key).map(String::as_str),
            Key::NamespaceLabel(key) => self.namespace_labels.get(key).map(String::as_str),
            Key::NamespaceName => Some(self.namespace),
            Key::ServiceAccount => Some(self.service_account),
            Key::Cluster => Some(self.cluster),
            Key::Reserved(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn requirement(operator: Operator, values: &[&str]) -> Selector {
        Selector::new([Requirement {
            key: Key::Label("app".into()),
            operator,
            values: values.iter().map(|value| value.to_string()).collect(),
        }])
    }

    #[test]
    fn negative_operators_match_an_absent_key() {
        let (web, none) = (labels(&[("app", "web")]), labels(&[]));
        assert!(requirement(Operator::In, &["web", "db"]).matches_labels(&web));
        assert!(!requirement(Operator::In, &["web"]).matches_labels(&none));
        assert!(!requirement(Operator::NotIn, &["web"]).matches_labels(&web));
        assert!(requirement(Operator::NotIn, &["web"]).matches_labels(&none));
        assert!(requirement(Operator::Exists, &[]).matches_labels(&web));
        assert!(!requirement(Operator::Exists, &[]).matches_labels(&none));
        assert!(requirement(Operator::DoesNotExist, &[]).matches_labels(&none));
        assert!(!requirement(Operator::DoesNotExist, &[]).matches_labels(&web));
    }

    #[test]
    fn namespace_and_pods_are_anded() {
        let selector = PodSelector {
            namespaces: NamespaceScope::Matching(Selector::new([Requirement::equals(
                Key::Label("team".into()),
                "a",
            )])),
            pods: Selector::new([Requirement::equals(Key::Label("app".into()), "web")]),
        };
        let (team_a, team_b) = (labels(&[("team", "a")]), labels(&[("team", "b")]));
        let (web, db) = (labels(&[("app", "web")]), labels(&[("app", "db")]));
        let subject = |namespace_labels, labels| Subject {
            namespace: "x",
            namespace_labels,
            labels,
            service_account: "default",
            cluster: "default",
            is_node: false,
        };
        assert!(selector.matches(subject(&team_a, &web)));
        assert!(!selector.matches(subject(&team_b, &web)));
        assert!(!selector.matches(subject(&team_a, &db)));
    }
}
