//! All verdicts of a snapshot, in the order in which maps and tables are filled.

use std::{collections::HashSet, sync::Arc};

use super::{ClassId, DirectionSet, PolicySet, Segment, SetId, Snapshot, segmenter::Segmenter};
use crate::model::Direction;

/// The verdicts of one direction of a policy set on the flows with one class.
#[derive(Debug, Clone)]
pub struct ClassVerdicts<'a> {
    /// The policy set.
    pub set: SetId,
    /// Whose view it is: traffic towards or from the set's endpoints.
    pub direction: Direction,
    /// The direction's rules, to which [`Decision::rules`](super::Decision::rules) points.
    pub side: &'a DirectionSet,
    /// The other end's class.
    pub class: ClassId,
    /// As [`DirectionSet::segments`] gives them.
    pub segments: Arc<[Segment]>,
}

// === impl Snapshot ===

impl Snapshot {
    /// The verdicts of these policy sets on every class, set by set. A set that is named twice is
    /// given once, one that the snapshot does not have is left out, and so is a direction in which
    /// nothing is enforced: it is open.
    pub fn verdicts(
        &self,
        sets: impl IntoIterator<Item = SetId>,
    ) -> impl Iterator<Item = ClassVerdicts<'_>> {
        let mut done = HashSet::new();
        sets.into_iter()
            .filter(move |set| done.insert(*set))
            .filter_map(|id| Some((id, self.sets.get(&id)?)))
            .flat_map(|(id, set)| set.enforced().map(move |(of, side)| (id, of, side)))
            .flat_map(|(set, direction, side)| {
                // Classes that the side's rules cannot tell apart are judged once.
                let mut segmenter = Segmenter::new(side);
                self.classes
                    .iter()
                    .map(move |(class, atoms)| ClassVerdicts {
                        set,
                        direction,
                        side,
                        class: *class,
                        segments: segmenter.segments(atoms),
                    })
            })
    }
}

// === impl PolicySet ===

impl PolicySet {
    /// One direction of it.
    pub fn side(&self, direction: Direction) -> &DirectionSet {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The directions in which some policy speaks; the others are open.
    pub fn enforced(&self) -> impl Iterator<Item = (Direction, &DirectionSet)> {
        let sides = Direction::BOTH.map(|direction| (direction, self.side(direction)));
        sides.into_iter().filter(|(_, side)| side.enforced())
    }
}
