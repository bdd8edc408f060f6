//! HTTP requests as policy sees them: their parts, what they are read as, which rules fit.

pub mod doubt;
pub mod matcher;
pub mod normalise;

pub use doubt::{Asked, Doubt};

use crate::l7::RequestVerdict;

/// The parts of a request that rules look at, exactly as the client sent them.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method, case as sent.
    pub method: &'a str,
    /// Path with its query string; `None` for CONNECT, which has none.
    pub path: Option<&'a str>,
    /// Host, with its port where the client sent one; `None` for HTTP/1.0 without one.
    pub host: Option<&'a str>,
    /// Headers in order; names in any case, values without surrounding white space.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Whether a body follows.
    pub body: bool,
}

/// A change of a request's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Every line of this name goes.
    Remove(String),
    /// A line more, after the others.
    Append {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
}

/// Judges a request in every reading of its path. All must be allowed, because the client's bytes
/// go on unchanged, whoever reads them. The first verdict that denies is given; one that allows
/// has the header changes of all readings.
pub fn judge_every_reading(
    request: &Request<'_>,
    mut judge: impl FnMut(&Request<'_>) -> RequestVerdict,
) -> RequestVerdict {
    let mut verdict = judge(request);
    let Some(path) = request.path else {
        return verdict;
    };
    if !verdict.allowed {
        return verdict;
    }
    for reading in normalise::readings(path) {
        let again = judge(&Request {
            path: Some(&reading),
            ..*request
        });
        if !again.allowed {
            return again.of_reading(path, &reading);
        }
        for edit in &again.edits {
            if !verdict.edits.contains(edit) {
                verdict.edits.push(edit.clone());
            }
        }
        if again.audit && !verdict.audit {
            verdict = RequestVerdict {
                edits: verdict.edits,
                noted: verdict.noted,
                ..again.of_reading(path, &reading)
            };
        }
    }
    verdict
}
