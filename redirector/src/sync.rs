//! Bringing the maps to a desired state, make before break.
//!
//! Ids never change their meaning, so the order alone keeps every packet correct: first what is
//! new (policy entries, backends), then the switches (address to class, service to backends,
//! endpoint to policy set), then the revision, and last, when no program can still be using it,
//! what is old goes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use aya::maps::{MapError, lpm_trie::Key};
use weir_abi::{
    policy::{AddressValue, Config, Endpoint, PolicyValue},
    service::{BackendKey, Service, ServiceKey},
};

use crate::{
    lower::{Desired, PolicyPrefix, Prefix, ServiceEntry, backend_key},
    maps::Maps,
};

/// A program runs for microseconds; after this none still holds what it read before.
const GRACE: Duration = Duration::from_millis(20);

/// What the maps hold, as far as this process knows.
#[derive(Debug, Default)]
pub struct Installed {
    addresses: BTreeMap<Prefix, AddressValue>,
    policy: BTreeMap<PolicyPrefix, PolicyValue>,
    endpoints: BTreeMap<u32, Endpoint>,
    services: BTreeMap<ServiceKey, Service>,
    host_ports: BTreeMap<ServiceKey, u8>,
    /// Backends of each service id.
    backends: HashMap<u32, Vec<weir_abi::service::Backend>>,
    last_service: u32,
}

/// A map refused an entry.
#[derive(Debug, thiserror::Error)]
#[error("map {map} took no {what}: {source}; what was in force before stays in force")]
pub struct SyncError {
    /// Name of the map.
    map: &'static str,
    /// What was tried.
    what: &'static str,
    /// Why it failed.
    #[source]
    source: MapError,
}

pub(crate) fn failed(map: &'static str, what: &'static str) -> impl Fn(MapError) -> SyncError {
    move |source| SyncError { map, what, source }
}

// === impl Installed ===

impl Installed {
    /// Entries of endpoints, addresses, policy, services and backends.
    pub fn sizes(&self) -> [usize; 5] {
        [
            self.endpoints.len(),
            self.addresses.len(),
            self.policy.len(),
            self.services.len(),
            self.backends.values().map(Vec::len).sum(),
        ]
    }

    /// Reads what an earlier agent left in the maps.
    pub fn read(maps: &Maps) -> Result<Self, MapError> {
        let mut installed = Self::default();
        for entry in maps.addresses.iter() {
            let (key, value) = entry?;
            installed
                .addresses
                .insert((key.prefix_len(), key.data()), value);
        }
        for entry in maps.policy.iter() {
            let (key, value) = entry?;
            installed
                .policy
                .insert((key.prefix_len(), key.data()), value);
        }
        for entry in maps.endpoints.iter() {
            let (interface, endpoint) = entry?;
            installed.endpoints.insert(interface, endpoint);
        }
        for entry in maps.services.iter() {
            let (key, service) = entry?;
            installed.last_service = installed.last_service.max(service.id);
            installed.services.insert(key, service);
        }
        for entry in maps.host_ports.iter() {
            let (key, value) = entry?;
            installed.host_ports.insert(key, value);
        }
        let mut slots: BTreeMap<(u32, u32), weir_abi::service::Backend> = BTreeMap::new();
        for entry in maps.backends.iter() {
            let (key, backend) = entry?;
            installed.last_service = installed.last_service.max(key.service);
            slots.insert((key.service, key.slot), backend);
        }
        for ((service, _), backend) in slots {
            installed.backends.entry(service).or_default().push(backend);
        }
        Ok(installed)
    }

    /// The highest id of a class or a policy set in the maps.
    pub fn last_id(&self) -> u32 {
        let sets = self.endpoints.values().map(|endpoint| endpoint.set);
        let classes = self.addresses.values().map(|value| value.class);
        let keys = self.policy.iter().flat_map(|((_, key), value)| {
            [
                u32::from_be_bytes(key.set_be),
                u32::from_be_bytes(key.class_be),
                value.policy,
            ]
        });
        sets.chain(classes).chain(keys).max().unwrap_or(0)
    }

    /// Entries of the policy map.
    pub fn policy(&self) -> impl Iterator<Item = &PolicyValue> {
        self.policy.values()
    }

    /// Endpoints by interface.
    pub fn endpoints(&self) -> &BTreeMap<u32, Endpoint> {
        &self.endpoints
    }

    /// Brings the maps to the desired state. Connections of new endpoints may be older than the
    /// programs up to `met_until` (monotonic time in ns). Returns the interfaces that have no
    /// endpoint any more; detach from them before [`Self::forget_endpoints`].
    pub fn apply(
        &mut self,
        maps: &mut Maps,
        desired: &Desired,
        config: Config,
        met_until: u64,
    ) -> Result<Vec<u32>, SyncError> {
        self.apply_policy(maps, &desired.policy)?;
        // Longest first: an exception stands before the range that it is an exception to.
        for ((length, address), value) in desired.addresses.iter().rev() {
            if self.addresses.get(&(*length, *address)) != Some(value) {
                maps.addresses
                    .insert(&Key::new(*length, *address), value, 0)
                    .map_err(failed("ADDRESSES", "new entry"))?;
                self.addresses.insert((*length, *address), *value);
            }
        }
        for (key, entry) in &desired.services {
            self.apply_service(maps, *key, entry)?;
        }
        for (key, value) in &desired.host_ports {
            if self.host_ports.get(key) != Some(value) {
                maps.host_ports
                    .insert(key, value, 0)
                    .map_err(failed("HOST_PORTS", "new entry"))?;
                self.host_ports.insert(*key, *value);
            }
        }
        for (interface, endpoint) in &desired.endpoints {
            let before = self.endpoints.get(interface);
            let endpoint = &Endpoint {
                met_until: before.map_or(met_until, |endpoint| endpoint.met_until),
                ..*endpoint
            };
            if before != Some(endpoint) {
                maps.interfaces
                    .insert(u32::from(endpoint.index), interface, 0)
                    .map_err(failed("INTERFACES", "new entry"))?;
                maps.endpoints
                    .insert(interface, endpoint, 0)
                    .map_err(failed("ENDPOINTS", "new entry"))?;
                self.endpoints.insert(*interface, *endpoint);
            }
        }
        maps.config
            .set(0, config, 0)
            .map_err(failed("CONFIG", "new revision"))?;
        for endpoint in self.endpoints.values() {
            maps.cut_share(endpoint.index, config.share)?;
        }
        self.remove_old(maps, desired)?;
        Ok(self
            .endpoints
            .keys()
            .filter(|interface| !desired.endpoints.contains_key(interface))
            .copied()
            .collect())
    }

    /// Nothing leads to what is new yet: where there is no room for all of it, it goes again, so that
    /// the next change finds the room that this one found.
    fn apply_policy(
        &mut self,
        maps: &mut Maps,
        desired: &BTreeMap<PolicyPrefix, PolicyValue>,
    ) -> Result<(), SyncError> {
        let mut new = Vec::new();
        for ((length, key), value) in desired {
            let before = self.policy.get(&(*length, *key));
            if before == Some(value) {
                continue;
            }
            if before.is_none() {
                new.push((*length, *key));
            }
            let inserted = maps.policy.insert(&Key::new(*length, *key), value, 0);
            if let Err(error) = inserted.map_err(failed("POLICY", "new entry")) {
                for (length, key) in new {
                    gone(maps.policy.remove(&Key::new(length, key)))
                        .map_err(failed("POLICY", "removal"))?;
                    self.policy.remove(&(length, key));
                }
                return Err(error);
            }
            self.policy.insert((*length, *key), *value);
        }
        Ok(())
    }

    fn apply_service(
        &mut self,
        maps: &mut Maps,
        key: ServiceKey,
        entry: &ServiceEntry,
    ) -> Result<(), SyncError> {
        if let Some(service) = self.services.get(&key)
            && service.flags == entry.flags
            && self.backends.get(&service.id) == Some(&entry.backends)
        {
            return Ok(());
        }
        self.last_service = self.last_service.wrapping_add(1).max(1);
        let id = self.last_service;
        for (slot, backend) in entry.backends.iter().enumerate() {
            maps.backends
                .insert(backend_key(id, slot), backend, 0)
                .map_err(failed("BACKENDS", "new entry"))?;
        }
        let service = Service {
            id,
            backends: entry.backends.len() as u16,
            flags: entry.flags,
        };
        maps.services
            .insert(key, service, 0)
            .map_err(failed("SERVICES", "new entry"))?;
        self.backends.insert(id, entry.backends.clone());
        self.services.insert(key, service);
        Ok(())
    }

    /// Removes what the desired state does not name.
    fn remove_old(&mut self, maps: &mut Maps, desired: &Desired) -> Result<(), SyncError> {
        let policy: Vec<PolicyPrefix> = self
            .policy
            .keys()
            .filter(|key| !desired.policy.contains_key(key))
            .copied()
            .collect();
        let addresses: Vec<Prefix> = self
            .addresses
            .keys()
            .filter(|key| !desired.addresses.contains_key(key))
            .copied()
            .collect();
        let services: Vec<ServiceKey> = self
            .services
            .keys()
            .filter(|key| !desired.services.contains_key(key))
            .copied()
            .collect();
        // Services go first: a flow to a removed service falls to the node, and its backends
        // must not go under one that is being dialled.
        for key in services {
            gone(maps.services.remove(&key)).map_err(failed("SERVICES", "removal"))?;
            self.services.remove(&key);
        }
        let ports: Vec<ServiceKey> = self
            .host_ports
            .keys()
            .filter(|key| !desired.host_ports.contains_key(key))
            .copied()
            .collect();
        for key in ports {
            gone(maps.host_ports.remove(&key)).map_err(failed("HOST_PORTS", "removal"))?;
            self.host_ports.remove(&key);
        }
        let live: BTreeSet<u32> = self.services.values().map(|service| service.id).collect();
        let backends: Vec<u32> = self
            .backends
            .keys()
            .filter(|id| !live.contains(id))
            .copied()
            .collect();
        if policy.is_empty() && addresses.is_empty() && backends.is_empty() {
            return Ok(());
        }
        std::thread::sleep(GRACE);
        // Shortest first: what an exception excludes must not fall to the range around it.
        for (length, address) in addresses {
            gone(maps.addresses.remove(&Key::new(length, address)))
                .map_err(failed("ADDRESSES", "removal"))?;
            self.addresses.remove(&(length, address));
        }
        for (length, key) in policy {
            gone(maps.policy.remove(&Key::new(length, key)))
                .map_err(failed("POLICY", "removal"))?;
            self.policy.remove(&(length, key));
        }
        for id in backends {
            for slot in 0..self.backends.get(&id).map_or(0, Vec::len) {
                let key: BackendKey = backend_key(id, slot);
                gone(maps.backends.remove(&key)).map_err(failed("BACKENDS", "removal"))?;
            }
            self.backends.remove(&id);
        }
        Ok(())
    }

    /// Forgets endpoints whose programs are detached.
    pub fn forget_endpoints(
        &mut self,
        maps: &mut Maps,
        interfaces: &[u32],
    ) -> Result<(), SyncError> {
        for interface in interfaces {
            gone(maps.endpoints.remove(interface)).map_err(failed("ENDPOINTS", "removal"))?;
            if let Some(endpoint) = self.endpoints.remove(interface) {
                let index = u32::from(endpoint.index);
                // Another interface may have the index by now.
                if maps
                    .interfaces
                    .get(&index, 0)
                    .is_ok_and(|at| at == *interface)
                {
                    gone(maps.interfaces.remove(&index))
                        .map_err(failed("INTERFACES", "removal"))?;
                    maps.cut_share(endpoint.index, 0)?;
                }
            }
        }
        Ok(())
    }
}

/// What is not there need not be removed.
pub(crate) fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}
