//! Selectors and prefixes that mean other pods than they seem to.

use serde_json::Value;

use super::{
    Report,
    context::{Context, RuleIn, count, matches},
    namespaces::{self, NAME_LABEL},
    registry::{
        CROSS_NAMESPACE, HOST_NETWORK, IP_BLOCK_OVER_PODS, MATCHES_NOTHING, NO_CIDR_GROUP,
        NO_NAMESPACE, OR_NOT_AND,
    },
};
use crate::model::{Key, NamespaceScope, Peer, Pod, PodSelector, PolicyKind, Selector};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for (index, spec) in context.policy.specs.iter().enumerate() {
        let field = subject_field(context, index);
        let Some(subject) = spec.subject.pods() else {
            continue;
        };
        if namespaces::check(context, &field, subject, report) {
            continue;
        }
        if host_network(context, subject) {
            report.add(
                &HOST_NETWORK,
                field,
                "matches host-network pods only, which no policy selects: they are not isolated",
                "limit them where they run: a policy sees the node's traffic, not theirs",
            );
        } else if context.knows(subject) && context.selected(subject).is_empty() {
            report.add(
                &MATCHES_NOTHING,
                field,
                "selects no pod of the manifests",
                "compare it with the pods' labels and namespace",
            );
        }
    }
    for rule in context.rules() {
        or_not_and(context, rule, report);
        for (field, peer) in context.each_peer(rule.rule) {
            if let Peer::Pods(selector) = peer {
                pods(context, &field, selector, report);
            }
            if let Peer::Cidr { cluster_too, .. } = peer {
                prefix(context, &field, peer, *cluster_too, report);
            }
            nobody(context, field, peer, report);
        }
    }
}

fn subject_field(context: &Context<'_>, index: usize) -> String {
    if context.is_network_policy() {
        return "spec.podSelector".to_owned();
    }
    let one = usize::from(context.at("spec").is_some_and(|spec| !spec.is_null()));
    match index.checked_sub(one) {
        Some(index) => format!("specs[{index}].endpointSelector"),
        None => "spec.endpointSelector".to_owned(),
    }
}

fn pods(context: &Context<'_>, field: &str, selector: &PodSelector, report: &mut Report) {
    if namespaces::check(context, field, selector, report) {
        return;
    }
    if let NamespaceScope::Matching(wanted) = &selector.namespaces
        && no_namespace(context, wanted)
    {
        report.add(
            &NO_NAMESPACE,
            format!("{field}.namespaceSelector"),
            "matches no namespace of the manifests",
            format!(
                "label the namespace, or use the label that each has: `{NAME_LABEL}: {}`",
                meant(context, wanted).unwrap_or("NAME")
            ),
        );
        return;
    }
    if !context.selected(selector).is_empty() {
        return;
    }
    if host_network(context, selector) {
        report.add(
            &HOST_NETWORK,
            field,
            "matches host-network pods only: their traffic is their node's, which no pod selector means",
            match context.policy.object.kind {
                PolicyKind::NetworkPolicy => {
                    "name the nodes by `ipBlock`, or by entity in a CiliumNetworkPolicy"
                }
                _ => "name the nodes by entity: `host` and `remote-node`",
            },
        );
        return;
    }
    let elsewhere = elsewhere(context, selector);
    if let Some(first) = elsewhere.first() {
        let own = &context.policy.object.namespace;
        let fix = match context.policy.object.kind {
            PolicyKind::NetworkPolicy => format!(
                "add, in the same list item, `namespaceSelector: {{matchLabels: {{{NAME_LABEL}: {}}}}}`",
                first.namespace
            ),
            _ => format!(
                "add the label `io.kubernetes.pod.namespace: {}`",
                first.namespace
            ),
        };
        report.add(
            &CROSS_NAMESPACE,
            field,
            format!(
                "means pods of namespace `{own}` only, which has none with these labels; {} in \
                 another has them: {}",
                count(elsewhere.len(), "pod"),
                first.id()
            ),
            fix,
        );
    } else if context.knows(selector) {
        report.add(
            &MATCHES_NOTHING,
            field,
            "matches no pod of the manifests",
            "compare it with the pods' labels and namespaces",
        );
    }
}

/// Groups and nodes that are not there, where the manifests have some.
fn nobody(context: &Context<'_>, field: String, peer: &Peer, report: &mut Report) {
    let world = context.world();
    let (groups, nodes) = (&world.cidr_groups, &world.nodes);
    match peer {
        Peer::CidrGroup(which) if !groups.is_empty() && which.of(groups).next().is_none() => {
            report.add(
                &NO_CIDR_GROUP,
                field,
                "names no CiliumCIDRGroup of the manifests: an allow rule means nobody, a deny \
                 rule that names one means everybody outside the cluster",
                "add the group, or correct its name",
            );
        }
        Peer::Nodes(selector)
            if !nodes.is_empty() && !nodes.iter().any(|of| selector.matches_labels(&of.labels)) =>
        {
            report.add(
                &MATCHES_NOTHING,
                field,
                "matches no node of the manifests",
                "compare it with the nodes' labels",
            );
        }
        _ => {}
    }
}

/// Whether a selector's labels are those of host-network pods, and of no others.
fn host_network(context: &Context<'_>, selector: &PodSelector) -> bool {
    let world = context.world();
    let mut hosts = world.pods.iter().filter(|pod| pod.host_network);
    context.selected(selector).is_empty() && hosts.any(|pod| matches(world, selector, pod))
}

/// Pods of other namespaces that a selector of the policy's own would match.
fn elsewhere<'a>(context: &Context<'a>, selector: &PodSelector) -> Vec<&'a Pod> {
    let own = &context.policy.object.namespace;
    let is_own = matches!(&selector.namespaces, NamespaceScope::Named(name) if name == own);
    if !is_own || selector.pods.is_empty() {
        return Vec::new();
    }
    context.selected(&PodSelector {
        namespaces: NamespaceScope::All,
        pods: selector.pods.clone(),
    })
}

/// Whether the manifests know namespaces and none of them matches. One that is asked for by its
/// name may be there without being in the manifests.
fn no_namespace(context: &Context<'_>, wanted: &Selector) -> bool {
    let by_name = wanted
        .requirements()
        .any(|one| matches!(&one.key, Key::Label(key) if key == NAME_LABEL));
    let namespaces = &context.world().namespaces;
    !by_name
        && !namespaces.is_empty()
        && !namespaces
            .values()
            .any(|namespace| wanted.matches_labels(&namespace.labels))
}

/// The namespace of which a selector has the name, under another key.
fn meant<'a>(context: &Context<'a>, wanted: &Selector) -> Option<&'a str> {
    let mut values = wanted.requirements().flat_map(|one| &one.values);
    let names = &context.world().namespaces;
    values.find_map(|value| names.get_key_value(value).map(|(name, _)| name.as_str()))
}

/// `- namespaceSelector` and `- podSelector`, where one `-` is most often meant.
fn or_not_and(context: &Context<'_>, rule: RuleIn<'_>, report: &mut Report) {
    if !context.is_network_policy() {
        return;
    }
    let Some((field, items)) = context.peers(rule.rule) else {
        return;
    };
    let only = |item: &Value, name: &str, other: &str| {
        let has = |name: &str| item.get(name).is_some_and(|value| !value.is_null());
        has(name) && !has(other)
    };
    for (index, pair) in items.windows(2).enumerate() {
        let [first, second] = pair else { continue };
        let split = only(first, "namespaceSelector", "podSelector")
            && only(second, "podSelector", "namespaceSelector");
        // `podSelector: {}` beside it plainly means "and my own namespace".
        let labels = second.get("podSelector").and_then(Value::as_object);
        if split && labels.is_some_and(|labels| !labels.is_empty()) {
            report.add(
                &OR_NOT_AND,
                format!("{field}[{}]", index + 1),
                "as an item of its own this allows such pods of the policy's own namespace, \
                 beside every pod of the namespaces before it",
                "for these pods of those namespaces, take away the `-` before `podSelector`",
            );
        }
    }
}

fn prefix(context: &Context<'_>, field: &str, peer: &Peer, cluster_too: bool, report: &mut Report) {
    let Peer::Cidr { cidr, .. } = peer else {
        return;
    };
    // The whole of a family is how people write "anyone".
    if cidr.prefix_len() == 0 {
        return;
    }
    let covered = |pod: &&Pod| {
        let mut real = pod.addresses.iter();
        real.any(|address| context.input.pod_addresses.contains(address) && peer.contains(*address))
    };
    let covered: Vec<&Pod> = context.pods().filter(covered).collect();
    let Some(first) = covered.first() else {
        return;
    };
    let pods = count(covered.len(), "pod");
    let why = match cluster_too {
        true => format!(
            "`{cidr}` covers {pods}, {} among them: pod addresses change, and Cilium does not \
             match pods by address",
            first.id()
        ),
        false => format!(
            "`{cidr}` covers {pods}, {} among them, and a CIDR of a Cilium policy never means pods",
            first.id()
        ),
    };
    report.add(
        &IP_BLOCK_OVER_PODS,
        field,
        why,
        "name pods by label; keep prefixes for what is outside of the cluster",
    );
}
