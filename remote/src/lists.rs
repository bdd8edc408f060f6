//! Which lists of agents' answers can be narrowed.

use weir_link::tools::{Endpoints, Policies};

use crate::{Entry, List};

impl List for Endpoints {
    fn keep(&mut self, test: &mut dyn FnMut(Entry<'_>) -> bool) {
        let mut test = |namespace: &str, name: &str| {
            test(Entry {
                kind: "Pod",
                namespace,
                name,
            })
        };
        self.endpoints
            .retain(|of| test(&of.pod.namespace, &of.pod.name));
        self.unmanaged
            .retain(|of| test(&of.pod.namespace, &of.pod.name));
    }
}

impl List for Policies {
    fn keep(&mut self, test: &mut dyn FnMut(Entry<'_>) -> bool) {
        self.policies.retain(|of| {
            test(Entry {
                kind: &of.kind,
                namespace: &of.namespace,
                name: &of.name,
            })
        });
    }
}
