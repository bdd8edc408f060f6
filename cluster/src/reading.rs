//! What a source says at one moment: the world, where its pods sit, and what is wrong with it.

use std::fmt;

use weir_policy::{
    model::{Problem, World},
    objects::unrendered,
};

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

/// Files or folders of which nothing could be read, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread(pub usize);

// === impl Reading ===

impl Reading {
    /// The problems that forbid to start.
    pub fn fatal(&self) -> impl Iterator<Item = &SourceProblem> {
        self.problems.iter().filter(|problem| problem.fatal)
    }

    /// Fails where something was not read, for readers that read once and say what the rest says.
    ///
    /// # Errors
    /// [`Unread`]; each is among the problems with its place.
    pub fn whole(&self) -> Result<(), Unread> {
        match self.fatal().count() {
            0 => Ok(()),
            files => Err(Unread(files)),
        }
    }
}

// === impl SourceProblem ===

impl SourceProblem {
    pub(crate) fn of(document: &Document, problem: Problem) -> Self {
        let reason = match unrendered(&problem.reason) {
            Some(hint) => format!("{}; {hint}", problem.reason),
            None => problem.reason.clone(),
        };
        Self::at(document.place.clone(), Problem { reason, ..problem })
    }

    pub(crate) fn at(place: String, problem: Problem) -> Self {
        Self {
            place,
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

// === impl Unread ===

impl std::error::Error for Unread {}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 file was not read: what is said is without it"),
            files => write!(
                f,
                "{files} files were not read: what is said is without them"
            ),
        }
    }
}
