//! HTTP rules that decide nothing, because something beside them allows the whole connection.

use super::{Report, context::Context, registry::HTTP_SHADOWED};
use crate::{
    compile::{CompiledPort, CompiledRule, DirectionSet, Slot, Snapshot, Verdict},
    model::{Direction, HttpRule, L7, Protocol},
};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    if !context.rules().any(|rule| rule.rule.http().is_some()) {
        return;
    }
    let snapshot = context.snapshot();
    let own = context.policy.object.to_string();
    for spec in &context.policy.specs {
        let Some(pod) = context.subjects(spec).into_iter().next() else {
            continue;
        };
        let set = snapshot
            .endpoint(&pod.id())
            .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
        let Some(set) = set else { continue };
        for (direction, side) in [
            (Direction::Ingress, &set.ingress),
            (Direction::Egress, &set.egress),
        ] {
            let places = spec.section(direction).rules.iter().map(|rule| &rule.place);
            let places: Vec<&String> = places.collect();
            let own_rules = side.rules.iter().filter(|rule| {
                has_http(rule.l7.as_deref()) && *rule.object == own && places.contains(&&rule.place)
            });
            for rule in own_rules {
                if let Some(why) = shadowed(snapshot, side, rule) {
                    report.add(
                        &HTTP_SHADOWED,
                        format!("{}.rules.http", rule.place),
                        why,
                        "narrow the other rule, or drop these HTTP rules",
                    );
                }
            }
        }
    }
}

fn has_http(l7: Option<&L7>) -> bool {
    matches!(l7, Some(L7::Http(_)))
}

/// What allows the rule's connections without asking for their requests.
fn shadowed(snapshot: &Snapshot, side: &DirectionSet, rule: &CompiledRule) -> Option<String> {
    let port = rule.ports.iter().find_map(|port| match port {
        CompiledPort::Range(Protocol::Tcp, first, _) => Some(*first),
        _ => None,
    });
    let port = port.or(rule.ports.is_empty().then_some(1))?;
    let classes = snapshot.classes.values();
    let decisions: Vec<_> = classes
        .filter(|atoms| rule.peers.matches(atoms))
        .map(|atoms| side.decide(atoms, Slot::Tcp, port))
        .collect();
    let shadows = decisions
        .iter()
        .filter(|d| d.verdict == Verdict::Allow || d.watched);
    let first = shadows.clone().next()?;
    let all = shadows.count() == decisions.len();
    let whom = if all { "" } else { " for some of its peers" };
    if first.watched {
        // Every request is to be seen, and that is all that is said.
        let plain = |entry: &HttpRule| *entry == HttpRule::at(&entry.place);
        let every = matches!(rule.l7.as_deref(), Some(L7::Http(rules)) if rules.iter().any(plain));
        return (!every).then(|| {
            format!(
                "nothing denies by default here (`enableDefaultDeny`), so these look and deny \
                 nothing{whom}; `http: [{{}}]` says that"
            )
        });
    }
    let other = first
        .rules
        .first()
        .and_then(|index| side.rules.get(*index))?;
    Some(format!(
        "{} of {} allows port {port} without HTTP rules, so these decide nothing{whom}",
        other.place, other.object
    ))
}
