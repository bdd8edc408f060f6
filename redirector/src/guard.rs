//! Which interfaces have our programs, and what becomes of those that no pod is known at.
//!
//! Programs leave with their interface, never before: an interface that nobody owns any more may
//! still have a running pod behind it. It denies in both directions until the kernel says that it
//! is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use weir_abi::policy::{Endpoint, ISOLATED_EGRESS, ISOLATED_INGRESS};

use crate::network::interface::Interfaces;

/// The policy set of interfaces that nobody owns: no policy has this number, so nothing is allowed.
const NO_SET: u32 = 0;

/// Interfaces (indices) that have our programs, or may have.
#[derive(Debug, Default)]
pub struct Guarded {
    interfaces: BTreeSet<u32>,
    /// Those that nobody owned when policy was put in force last.
    unowned: BTreeSet<u32>,
}

// === impl Guarded ===

impl Guarded {
    /// Those that an earlier agent left.
    pub fn new(interfaces: impl IntoIterator<Item = u32>) -> Self {
        Self {
            interfaces: interfaces.into_iter().collect(),
            unowned: BTreeSet::new(),
        }
    }

    /// More of them.
    pub fn add(&mut self, interfaces: impl IntoIterator<Item = u32>) {
        self.interfaces.extend(interfaces);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.interfaces.iter().copied()
    }

    /// Those of which the kernel says that they are gone, and why others could not be asked about.
    pub fn gone(&self, interfaces: &impl Interfaces) -> (Vec<u32>, Option<io::Error>) {
        let (mut gone, mut fault) = (Vec::new(), None);
        for interface in self.iter() {
            match interfaces.name(interface) {
                Ok(Some(_)) => {}
                Ok(None) => gone.push(interface),
                Err(error) => fault = Some(error),
            }
        }
        (gone, fault)
    }

    /// Lets go of interfaces.
    pub fn release(&mut self, interfaces: &[u32]) {
        for interface in interfaces {
            self.interfaces.remove(interface);
            self.unowned.remove(interface);
        }
    }

    /// How many of them nobody owns.
    pub fn unowned(&self) -> usize {
        self.unowned.len()
    }

    /// Adds an endpoint that denies for each interface without an owner. Tells which these are.
    /// What else an earlier endpoint of it said (`installed`) stays.
    ///
    /// # Errors
    /// Those of `index`, which gives the index of an endpoint.
    pub fn deny_unowned<E>(
        &mut self,
        endpoints: &mut BTreeMap<u32, Endpoint>,
        installed: &BTreeMap<u32, Endpoint>,
        mut index: impl FnMut(u32) -> Result<u16, E>,
    ) -> Result<Vec<u32>, E> {
        let unowned = self
            .iter()
            .filter(|interface| !endpoints.contains_key(interface));
        let unowned: Vec<u32> = unowned.collect();
        for interface in &unowned {
            let mut endpoint = installed.get(interface).copied().unwrap_or_default();
            endpoint.index = index(*interface)?;
            endpoint.flags = ISOLATED_INGRESS | ISOLATED_EGRESS;
            endpoint.set = NO_SET;
            endpoints.insert(*interface, endpoint);
        }
        self.unowned = unowned.iter().copied().collect();
        Ok(unowned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::interface::testing::Fake;

    const BOTH: u16 = ISOLATED_INGRESS | ISOLATED_EGRESS;

    #[test]
    fn only_what_the_kernel_calls_gone_is_gone() {
        let guarded = Guarded::new([1, 2, 3, 4, 5]);
        let known = [
            (1, Ok("veth1")),
            // Of 2 the kernel knows nothing.
            (3, Err(libc::EMFILE)),
            (4, Err(libc::ENODEV)),
            (5, Err(libc::ENOMEM)),
        ];
        let (gone, fault) = guarded.gone(&Fake(known.into()));
        assert_eq!(gone, [2, 4]);
        assert_eq!(
            fault.and_then(|error| error.raw_os_error()),
            Some(libc::ENOMEM)
        );
    }

    #[test]
    fn an_interface_that_nobody_owns_denies_both_directions() {
        let endpoint = |index, flags, set| {
            let mut endpoint = Endpoint::default();
            (endpoint.index, endpoint.flags, endpoint.set) = (index, flags, set);
            endpoint
        };
        let (owned, left) = (endpoint(7, ISOLATED_INGRESS, 12), endpoint(8, 0, 13));
        let mut endpoints = BTreeMap::from([(1, owned)]);
        let installed = BTreeMap::from([(1, owned), (2, left)]);
        let mut guarded = Guarded::new([1, 2]);
        guarded.add([3]);
        let index = |interface| match interface {
            2 => Ok(8),
            3 => Ok(9),
            other => Err(other),
        };
        let unowned = guarded.deny_unowned(&mut endpoints, &installed, index);
        assert_eq!(unowned, Ok(vec![2, 3]));
        assert_eq!(guarded.unowned(), 2);
        let denying = |index| endpoint(index, BOTH, 0);
        let wanted = BTreeMap::from([(1, owned), (2, denying(8)), (3, denying(9))]);
        assert_eq!(endpoints, wanted);
        guarded.release(&[2, 3]);
        assert_eq!(guarded.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(guarded.unowned(), 0);
    }
}
