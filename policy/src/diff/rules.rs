//! The policies that select an end, in both worlds: what they mention, and whether they differ.

use super::{ends::End, probes::Mentioned};
use crate::{
    compile::subject,
    model::{Direction, Labels, Policy, World},
};

/// Both worlds, and whether they are alike but for their policies.
pub(super) struct Rules<'a> {
    worlds: [&'a World; 2],
    alike: bool,
}

/// The policies of one end.
pub(super) struct OfEnd<'a> {
    pub ingress: OfSide<'a>,
    pub egress: OfSide<'a>,
}

/// The policies of one end for one direction.
pub(super) struct OfSide<'a> {
    /// The verdict cannot have changed: the same policies in the same surroundings.
    pub same: bool,
    pub mentioned: Mentioned,
    selecting: [Vec<&'a Policy>; 2],
}

// === impl Rules ===

impl<'a> Rules<'a> {
    pub fn new(old: &'a World, new: &'a World) -> Self {
        Self {
            worlds: [old, new],
            alike: old.namespaces == new.namespaces
                && old.pods == new.pods
                && old.nodes == new.nodes
                && old.services == new.services
                // Whose names count depends on what selects other pods.
                && old.names.is_empty()
                && new.names.is_empty(),
        }
    }

    pub fn of(&self, end: &End) -> OfEnd<'a> {
        let side = |direction| {
            let pods = end.first();
            let [old, new] = self.worlds;
            let mut side = OfSide {
                same: false,
                mentioned: Mentioned::default(),
                selecting: [
                    selecting(old, pods.0, direction),
                    selecting(new, pods.1, direction),
                ],
            };
            for (world, policies) in [old, new].into_iter().zip(&side.selecting) {
                let specs = policies.iter().flat_map(|policy| &policy.specs);
                for rule in specs.flat_map(|spec| &spec.section(direction).rules) {
                    side.mentioned.add(world, rule);
                }
            }
            side.same = self.alike && side.selecting[0] == side.selecting[1];
            side
        };
        OfEnd {
            ingress: side(Direction::Ingress),
            egress: side(Direction::Egress),
        }
    }
}

/// The policies that select a pod, by name, or a node, by address; none select another address.
fn selecting<'a>(world: &'a World, name: &str, direction: Direction) -> Vec<&'a Policy> {
    let no_labels = Labels::new();
    let Some(pod) = world.endpoint(name) else {
        return Vec::new();
    };
    let subject = subject(world, &pod, &no_labels);
    let selects = |policy: &&Policy| {
        policy.specs.iter().any(|spec| {
            let section = spec.section(direction);
            (section.isolates || !section.rules.is_empty()) && spec.subject.matches(subject)
        })
    };
    world.policies.iter().filter(selects).collect()
}
