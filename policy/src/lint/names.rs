//! Names of `toFQDNs` whose addresses are never learnt. They are read from the answers to DNS queries
//! that a DNS rule lets pass, and mean addresses outside of the cluster only.

use super::{
    Report,
    context::{Context, selects},
    registry::NEVER_LEARNT,
};
use crate::{
    model::{Action, L7, Peer, PolicySpec},
    names::{Name, NamePattern},
};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for rule in context.rules() {
        let peers = context.each_peer(rule.rule);
        let names = peers.into_iter().filter_map(|(field, peer)| match peer {
            Peer::Name(pattern) => Some((field, pattern)),
            _ => None,
        });
        for (field, pattern) in names {
            if is_local(pattern) {
                report.add(
                    &NEVER_LEARNT,
                    field,
                    format!("`{pattern}` leads to services and pods, and `toFQDNs` means addresses outside of the cluster only"),
                    "name pods by `toEndpoints`, or the service by `toServices`",
                );
                continue;
            }
            let asked = asked(context, rule.spec);
            if asked.iter().any(|other| overlap(pattern, other)) {
                continue;
            }
            let why = match asked.as_slice() {
                [] => format!(
                    "no DNS rule lets its pods ask for `{pattern}`, so no answer is read and the rule matches no address: DNS that is allowed without `rules.dns` passes unread"
                ),
                [first, ..] => format!(
                    "the DNS rules of its pods are for other names, such as `{first}`: `{pattern}` is never asked for"
                ),
            };
            report.add(
                &NEVER_LEARNT,
                field,
                why,
                format!("give the rule that allows DNS `rules: {{dns: [{{matchPattern: \"{pattern}\"}}]}}`"),
            );
        }
    }
}

/// Names of DNS rules, of the policies that select the same pods; where the manifests have no pods,
/// of all.
fn asked<'a>(context: &Context<'a>, spec: &PolicySpec) -> Vec<&'a NamePattern> {
    let pods = context.subjects(spec);
    let selects = |other: &PolicySpec| {
        let mut pods = pods.iter();
        pods.any(|pod| selects(context.world(), other, pod))
    };
    context
        .specs()
        .filter(|other| pods.is_empty() || selects(other))
        .flat_map(|other| &other.egress.rules)
        .filter(|rule| rule.action == Action::Allow)
        .flat_map(|rule| match &rule.l7 {
            Some(L7::Dns(names)) => names.as_slice(),
            _ => &[],
        })
        .collect()
}

fn is_local(pattern: &NamePattern) -> bool {
    let text = pattern.as_str();
    text.ends_with(".cluster.local") || text.ends_with(".svc")
}

/// Whether some name is meant by both, as far as one of each tells.
fn overlap(one: &NamePattern, other: &NamePattern) -> bool {
    let meant = |pattern: &NamePattern, of: &NamePattern| {
        Name::parse(&example(of)).is_some_and(|name| pattern.matches(&name))
    };
    meant(one, other) || meant(other, one)
}

/// A name that a pattern means.
fn example(pattern: &NamePattern) -> String {
    pattern.as_str().replace("**", "a.b").replace('*', "a")
}
