//! Segments of one direction for many classes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    AtomId, CONTESTED, DirectionSet, Segment,
    sets::{CompiledPort, PeerMatch},
};

/// Finds the segments of a direction, once for all classes that its rules cannot tell apart.
#[derive(Debug)]
pub(super) struct Segmenter<'a> {
    side: &'a DirectionSet,
    /// Atoms that its rules name.
    named: HashSet<AtomId>,
    found: HashMap<Vec<AtomId>, Arc<[Segment]>>,
}

impl<'a> Segmenter<'a> {
    /// A segmenter of a direction.
    pub(super) fn new(side: &'a DirectionSet) -> Self {
        let mut named = HashSet::from([CONTESTED]);
        for rule in &side.rules {
            if let PeerMatch::OneOf(atoms) = &rule.peers {
                named.extend(atoms);
            }
            for port in &rule.ports {
                if let CompiledPort::OfPeer(_, numbers) = port {
                    named.extend(numbers.iter().map(|(_, atom)| *atom));
                }
            }
        }
        Self {
            side,
            named,
            found: HashMap::new(),
        }
    }

    /// The segments for a class of these atoms; see [`DirectionSet::segments`].
    pub(super) fn segments(&mut self, atoms: &[AtomId]) -> Arc<[Segment]> {
        let mut relevant: Vec<AtomId> = Vec::new();
        relevant.extend(atoms.iter().filter(|atom| self.named.contains(atom)));
        if let Some(found) = self.found.get(&relevant) {
            return Arc::clone(found);
        }
        let segments: Arc<[Segment]> = self.side.segments(&relevant).into();
        self.found.insert(relevant, Arc::clone(&segments));
        segments
    }
}
