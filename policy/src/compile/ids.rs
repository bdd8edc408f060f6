//! Numbers of policies: the same as long as a policy is the same.

use std::{collections::HashMap, sync::Arc};

use crate::model::{ObjectRef, Policy};

use super::PolicyId;

/// Gives every version of every policy a number of its own.
#[derive(Debug, Default)]
pub(super) struct PolicyIds {
    known: HashMap<ObjectRef, (PolicyId, Arc<Policy>)>,
    last: PolicyId,
}

impl PolicyIds {
    /// Numbers above `last`.
    pub(super) fn after(last: PolicyId) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    /// The numbers of a world's policies, in order. Policies that are the same as in the last
    /// world are neither copied nor numbered anew.
    pub(super) fn of(&mut self, policies: &[Policy]) -> Vec<(PolicyId, Arc<Policy>)> {
        let mut before = std::mem::take(&mut self.known);
        policies
            .iter()
            .map(|policy| {
                let same = before.remove(&policy.object);
                let entry = match same.filter(|(_, known)| **known == *policy) {
                    Some(same) => same,
                    None => {
                        self.last = self.last.wrapping_add(1).max(1);
                        (self.last, Arc::new(policy.clone()))
                    }
                };
                self.known.insert(policy.object.clone(), entry.clone());
                entry
            })
            .collect()
    }
}
