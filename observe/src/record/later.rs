//! Requests that passed, kept as they came: their records are made when somebody reads them.
//!
//! Under load nearly all records are of this kind and nobody looks at most of them. Making both
//! flows of a request costs more than judging it.

use std::sync::{Arc, OnceLock};

use weir_link::proxy::{Application, Disposition, HttpRecord, L7Record};

use super::requests;
use crate::{
    api::flow::{Flow, Service},
    names::Directory,
    redact::Redaction,
};

/// A request that passed, and all that its records need.
#[derive(Debug)]
pub struct Later {
    /// What the proxy told.
    pub request: L7Record,
    /// What the addresses meant.
    pub names: Arc<Directory>,
    /// What must not be told.
    pub redaction: Arc<Redaction>,
    /// What the client had dialled.
    pub service: Option<Service>,
    /// Of the first record, by run and number; see [`uuid`].
    pub first: (u64, u64),
    made: OnceLock<Vec<Arc<Flow>>>,
}

// === impl Later ===

impl Later {
    /// Whether the records of a request can wait: nothing but counting is to be done with them.
    pub fn fits(request: &L7Record) -> bool {
        request.verdict == Disposition::Allowed
            && matches!(request.application, Application::Http(_))
    }

    /// A request whose first record is this one.
    pub fn new(
        request: L7Record,
        names: Arc<Directory>,
        redaction: Arc<Redaction>,
        service: Option<Service>,
        first: (u64, u64),
    ) -> Self {
        Self {
            request,
            names,
            redaction,
            service,
            first,
            made: OnceLock::new(),
        }
    }

    /// How many records it comes to: what was asked and, where there is one, the answer.
    pub fn count(&self) -> usize {
        match self.request.application {
            Application::Http(HttpRecord { status: None, .. }) => 1,
            _ => 2,
        }
    }

    /// One of its records.
    pub fn flow(&self, index: usize) -> Option<Arc<Flow>> {
        self.made.get_or_init(|| self.make()).get(index).cloned()
    }

    fn make(&self) -> Vec<Arc<Flow>> {
        let mut flows = requests(&self.request, &self.names, &self.redaction);
        dialled(&mut flows, self.service.as_ref());
        let (run, first) = self.first;
        let numbered = flows.into_iter().zip(first..);
        numbered
            .map(|(flow, number)| {
                Arc::new(Flow {
                    uuid: uuid(run, number),
                    ..flow
                })
            })
            .collect()
    }
}

/// Tells the records of a request which service was dialled; the answer comes from it.
pub fn dialled(flows: &mut [Flow], service: Option<&Service>) {
    for flow in flows {
        match flow.is_reply {
            Some(true) => flow.source_service = service.cloned(),
            _ => flow.destination_service = service.cloned(),
        }
    }
}

/// A version 4 UUID by its form; by its content the run and the place in it.
pub fn uuid(run: u64, number: u64) -> String {
    let [high, middle, low] = [run >> 32, (run >> 16) & 0xffff, run & 0xfff];
    format!(
        "{high:08x}-{middle:04x}-4{low:03x}-8000-{:012x}",
        number & 0xffff_ffff_ffff
    )
}
