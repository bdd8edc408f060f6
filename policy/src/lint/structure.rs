//! `policyTypes` that do not fit the rules, and lists of peers that are empty.

use serde_json::Value;

use super::{
    Report,
    context::Context,
    registry::{EMPTY_PEERS, NO_RULES, RULES_IGNORED},
};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    if context.is_network_policy() {
        policy_types(context, report);
    }
    for spec in ["spec".to_owned()]
        .into_iter()
        .chain((0..context.policy.specs.len()).map(|index| format!("specs[{index}]")))
    {
        for (section, peers) in [
            ("ingress", "from"),
            ("egress", "to"),
            ("ingressDeny", "from"),
            ("egressDeny", "to"),
        ] {
            empty_peers(context, &format!("{spec}.{section}"), peers, report);
        }
    }
}

fn policy_types(context: &Context<'_>, report: &mut Report) {
    let list = |name: &str| {
        context
            .at(&format!("spec.{name}"))
            .and_then(Value::as_array)
    };
    let types = list("policyTypes").filter(|types| !types.is_empty());
    let rules = |name: &str| list(name).map_or(0, Vec::len);
    let sides = [
        ("Ingress", "ingress", "egress"),
        ("Egress", "egress", "ingress"),
    ];
    let Some(types) = types else {
        // Without policyTypes, ingress is always isolated, egress where it has rules.
        if list("egress").is_some_and(Vec::is_empty) {
            report.add(
                &RULES_IGNORED,
                "spec.egress",
                "an empty `egress` without `policyTypes` isolates nothing: egress stays open",
                "write `policyTypes: [Ingress, Egress]` to deny all egress, or leave `egress` out",
            );
        }
        if rules("egress") > 0 && list("ingress").is_none() {
            report.add(
                &NO_RULES,
                "spec",
                "without `policyTypes` a policy with egress rules isolates ingress too, and no \
                 rule allows any",
                "write `policyTypes: [Egress]` if only egress is meant",
            );
        }
        return;
    };
    for (word, own, other) in sides {
        let named = types.iter().any(|given| given.as_str() == Some(word));
        if !named && rules(own) > 0 {
            report.add(
                &RULES_IGNORED,
                format!("spec.{own}"),
                format!(
                    "`policyTypes` leaves out {word}, so these rules say nothing: {own} stays open"
                ),
                format!("add {word} to `policyTypes`"),
            );
        }
        if named && rules(own) == 0 && rules(other) > 0 {
            report.add(
                &NO_RULES,
                "spec.policyTypes",
                format!("names {word}, and there is no {own} rule: all {own} is denied"),
                format!("add `{own}` rules, or leave {word} out of `policyTypes` if {own} is to stay open"),
            );
        }
    }
}

fn empty_peers(context: &Context<'_>, section: &str, peers: &str, report: &mut Report) {
    let Some(rules) = context.at(section).and_then(Value::as_array) else {
        return;
    };
    for (index, rule) in rules.iter().enumerate() {
        for (name, list) in rule.as_object().into_iter().flatten() {
            let empty = list.as_array().is_some_and(Vec::is_empty);
            if !empty || !name.starts_with(peers) || name == "toPorts" {
                continue;
            }
            let field = format!("{section}[{index}].{name}");
            if context.is_network_policy() {
                report.add(
                    &EMPTY_PEERS,
                    field,
                    "an empty list means everyone, inside the cluster and out",
                    format!("leave `{name}` out to say so plainly, or name the peers"),
                );
            } else {
                report.add(
                    &EMPTY_PEERS,
                    field,
                    "an empty list means nobody: the rule never matches",
                    format!("leave `{name}` out for everyone, or name the peers"),
                );
            }
        }
    }
}
