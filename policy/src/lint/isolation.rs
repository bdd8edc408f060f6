//! Deny rules that isolate the pods they are about, so that nothing else passes either.

use super::{
    Report,
    context::{Context, selects},
    registry::DENY_ALONE,
};
use crate::model::{Action, Direction, Pod, PolicySpec, Tier};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    for spec in &context.policy.specs {
        for direction in Direction::BOTH {
            one(context, spec, direction, report);
        }
    }
}

fn one(context: &Context<'_>, spec: &PolicySpec, direction: Direction, report: &mut Report) {
    let section = spec.section(direction);
    let Some(first) = section.rules.first() else {
        return;
    };
    if spec.tier != Tier::Normal || !section.isolates || allows(spec, direction) {
        return;
    }
    let lonely = |pod: &&Pod| {
        let mut others = context.specs();
        !others.any(|other| allows(other, direction) && selects(context.world(), other, pod))
    };
    let pods = context.subjects(spec);
    let of = match pods.iter().copied().find(lonely) {
        Some(pod) => pod.id().to_string(),
        None if spec.subject.pods().is_none() => "its nodes".to_owned(),
        None if pods.is_empty() => "its pods".to_owned(),
        None => return,
    };
    let field = first.place.split('[').next().unwrap_or(&first.place);
    report.add(
        &DENY_ALONE,
        field,
        format!("a deny rule isolates as any other does, and no rule allows {direction} of {of}: all of it is denied"),
        format!(
            "write `enableDefaultDeny: {{{direction}: false}}` to deny these only, or add `{direction}` \
             rules for what is to pass"
        ),
    );
}

fn allows(spec: &PolicySpec, direction: Direction) -> bool {
    let mut rules = spec.section(direction).rules.iter();
    rules.any(|rule| rule.action == Action::Allow)
}
