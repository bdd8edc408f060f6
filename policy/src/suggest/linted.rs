//! What lint says of proposals: they mean it so, because it was seen so. It is told in their notes,
//! and their annotation keeps lint from telling it again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Proposal;
use crate::{
    lint::{IGNORE_ANNOTATION, Input, Severity, lint},
    model::World,
    objects,
};

/// Adds notes and annotations. What lint calls an error is no matter of taste: it is told, and lint
/// will tell it again.
pub(super) fn note(proposals: &mut [Proposal], world: &World) {
    let values: Vec<Value> = proposals.iter().map(|one| one.policy.clone()).collect();
    let parsed = values.iter().filter_map(|value| {
        let kind = objects::kind_of(value)?;
        Some(objects::parse(kind, value).ok()?.policy)
    });
    let mut world = World {
        policies: parsed.collect(),
        ..world.clone()
    };
    let mut ignored = vec![BTreeSet::new(); proposals.len()];
    for with_pods in [true, false] {
        if !with_pods {
            // As whoever lints the proposals alone will see them.
            world = World::default();
        }
        let found = lint(&Input {
            world: world.clone(),
            policies: values.iter().collect(),
            ..Input::default()
        });
        for finding in found {
            let one = proposals.get_mut(finding.policy);
            let Some((one, ids)) = one.zip(ignored.get_mut(finding.policy)) else {
                continue;
            };
            // What needs no second look (a path without a query, say) is in every proposal.
            let text = format!("{}: {} ({})", finding.field, finding.why, finding.id);
            if finding.severity > Severity::Note && with_pods {
                one.notes.push(text);
            }
            if finding.severity < Severity::Error {
                ids.insert(finding.id);
            }
        }
    }
    for (one, ids) in proposals.iter_mut().zip(ignored) {
        let ids: Vec<&str> = ids.into_iter().collect();
        let annotations = one.policy.pointer_mut("/metadata/annotations");
        if let Some(Value::Object(map)) = annotations.filter(|_| !ids.is_empty()) {
            map.insert(IGNORE_ANNOTATION.to_owned(), json!(ids.join(",")));
        }
    }
}
