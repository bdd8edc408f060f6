//! What a source says at one moment: the world, where its pods sit, and what is wrong with it.

use weir_policy::model::{Problem, World};

use crate::{objects::PodPlacement, yaml::Document};

/// What the objects say at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub world: World,
    /// In the order of the world's pods.
    pub placements: Vec<PodPlacement>,
    /// Everything that is not in force as written.
    pub problems: Vec<SourceProblem>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct SourceProblem {
    /// `FILE:LINE`, or the file; empty where the object came from a cluster.
    pub place: String,
    /// `Kind/NAMESPACE/NAME`; empty where it is not about one object.
    pub object: String,
    /// The field's path; empty where it is about the whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
    /// Nothing can be said about what is in the file: do not start.
    pub fatal: bool,
}

// === impl Reading ===

impl Reading {
    /// The problems that forbid to start.
    pub fn fatal(&self) -> impl Iterator<Item = &SourceProblem> {
        self.problems.iter().filter(|problem| problem.fatal)
    }
}

// === impl SourceProblem ===

impl SourceProblem {
    pub(crate) fn of(document: &Document, problem: Problem) -> Self {
        Self {
            place: document.place.clone(),
            object: problem.object,
            field: problem.field,
            reason: problem.reason,
            fatal: false,
        }
    }

    fn text(&self) -> String {
        [&self.place, &self.object, &self.field, &self.reason]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ")
    }
}
