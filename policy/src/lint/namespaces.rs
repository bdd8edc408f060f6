//! Keys that look like the label of a namespace's name and are not: the nearest right one is said.

use super::{Report, context::Context, registry::NAMESPACE_KEY};
use crate::model::{Key, NamespaceScope, PodSelector, Selector};

/// The label that every namespace has.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Cilium's keys for the name and for the labels of a pod's namespace.
const CILIUM_NAME: &str = "io.kubernetes.pod.namespace";
const CILIUM_LABELS: &str = "io.cilium.k8s.namespace.labels.";
/// What people write in place of them. `name` is none: it was everybody's own label once.
const TAKEN_FOR_NAME: [&str; 8] = [
    "namespace",
    "metadata.name",
    "k8s.io/metadata.name",
    "kubernetes.io/name",
    "kubernetes.io/metadata",
    "kubernetes.io/namespace",
    "app.kubernetes.io/namespace",
    CILIUM_NAME,
];
/// What people write before a namespace's label.
const TAKEN_FOR_LABELS: [&str; 4] = [
    "io.kubernetes.pod.namespace.labels.",
    "io.kubernetes.namespace.labels.",
    "io.cilium.namespace.labels.",
    "io.cilium.k8s.namespace.",
];
/// Letters that may differ in a misspelt key.
const MISSPELT: usize = 3;

/// Tells the first such key of a selector; whether there is one.
pub(super) fn check(
    context: &Context<'_>,
    field: &str,
    selector: &PodSelector,
    report: &mut Report,
) -> bool {
    let Some((key, (right, of))) = wrong(context, selector) else {
        return false;
    };
    let why = match of {
        Of::Namespaces => format!("`{key}` is no label that namespaces have"),
        Of::Pods => format!("`{key}` is no label that pods have"),
    };
    report.add(&NAMESPACE_KEY, field, why, format!("write `{right}`"));
    true
}

/// Whose labels a key would be.
#[derive(Clone, Copy)]
enum Of {
    Namespaces,
    Pods,
}

/// The first key of a selector that is wrong, with the right one.
fn wrong(context: &Context<'_>, selector: &PodSelector) -> Option<(String, (String, Of))> {
    let scope = match &selector.namespaces {
        NamespaceScope::Matching(wanted) => Some(wanted),
        NamespaceScope::All | NamespaceScope::Named(_) => None,
    };
    let scope = scope.into_iter().flat_map(Selector::requirements);
    let mut of_namespaces = scope.filter_map(|one| match &one.key {
        Key::Label(key) => of_namespace(context, key, ""),
        _ => None,
    });
    let mut of_pods = selector
        .pods
        .requirements()
        .filter_map(|one| match &one.key {
            Key::Label(key) => of_pod(context, key),
            Key::NamespaceLabel(key) => of_namespace(context, key, CILIUM_LABELS),
            _ => None,
        });
    of_namespaces.next().or_else(|| of_pods.next())
}

fn of_namespace(context: &Context<'_>, key: &str, before: &str) -> Option<(String, (String, Of))> {
    let mut known = context.world().namespaces.values();
    let there = known.any(|namespace| namespace.labels.contains_key(key));
    let right = name_label(key).filter(|_| !there)?;
    Some((key.to_owned(), (format!("{before}{right}"), Of::Namespaces)))
}

fn of_pod(context: &Context<'_>, key: &str) -> Option<(String, (String, Of))> {
    let mut known = context.world().pods.iter();
    let there = known.any(|pod| pod.labels.contains_key(key));
    let right = pod_key(key, context.is_network_policy()).filter(|_| !there)?;
    Some((key.to_owned(), (right, Of::Pods)))
}

/// The label that a namespace has, where a key is near it.
fn name_label(key: &str) -> Option<&'static str> {
    let near = TAKEN_FOR_NAME.contains(&key) || is_near(key, NAME_LABEL);
    (key != NAME_LABEL && near).then_some(NAME_LABEL)
}

/// What a selector of pods says in place of a key that only namespaces have.
fn pod_key(key: &str, network: bool) -> Option<String> {
    let name = key == NAME_LABEL
        || is_near(key, NAME_LABEL)
        || TAKEN_FOR_NAME.contains(&key)
        || is_near(key, CILIUM_NAME);
    if network {
        return name.then(|| format!("namespaceSelector: {{matchLabels: {{{NAME_LABEL}: NAME}}}}"));
    }
    let labels = TAKEN_FOR_LABELS
        .iter()
        .find_map(|before| key.strip_prefix(before));
    match labels {
        Some(label) => Some(format!("{CILIUM_LABELS}{label}")),
        None => name.then(|| CILIUM_NAME.to_owned()),
    }
}

fn is_near(key: &str, right: &str) -> bool {
    key.len().abs_diff(right.len()) <= MISSPELT
        && distance(key.as_bytes(), right.as_bytes()) <= MISSPELT
}

/// How many letters must be put in, taken out or exchanged (Levenshtein).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut next = vec![index + 1];
        let mut left = index + 1;
        for ((against, diagonal), above) in other.iter().zip(&row).zip(row.iter().skip(1)) {
            let exchanged = diagonal + usize::from(letter != against);
            left = exchanged.min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
