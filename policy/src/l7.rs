//! The part of a snapshot that the proxy needs: who may send which request to whom.

use serde::{Deserialize, Serialize};

use crate::http::{Judge, Request, RequestFlow, RequestVerdict};

/// Everything the proxy decides from, at one revision.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct L7Table {
    /// The snapshot's revision.
    pub revision: u64,
}

impl Judge for L7Table {
    fn judge(&self, _flow: RequestFlow, _request: &Request<'_>) -> RequestVerdict {
        RequestVerdict {
            allowed: false,
            policies: Vec::new(),
            reason: "no policy is loaded".into(),
        }
    }
}
