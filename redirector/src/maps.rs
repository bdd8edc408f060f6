//! Typed handles of the pinned maps.

use std::{collections::HashSet, net::IpAddr};

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf, SockMap};
use weir_abi::{
    Address,
    conntrack::{CLOSING, Connection, ConnectionKey, DENIED},
    counter,
    policy::{AddressValue, Config, Endpoint, PolicyKey, PolicyValue},
    protocol,
    service::{Backend, BackendKey, Service, ServiceKey},
};

use crate::programs::{Programs, ProgramsError};

/// The maps that user space works on.
pub struct Maps {
    pub(crate) config: Array<MapData, Config>,
    pub(crate) endpoints: HashMap<MapData, u32, Endpoint>,
    pub(crate) interfaces: HashMap<MapData, u32, u32>,
    pub(crate) addresses: LpmTrie<MapData, Address, AddressValue>,
    pub(crate) policy: LpmTrie<MapData, PolicyKey, PolicyValue>,
    pub(crate) services: HashMap<MapData, ServiceKey, Service>,
    pub(crate) backends: HashMap<MapData, BackendKey, Backend>,
    conntrack: HashMap<MapData, ConnectionKey, Connection>,
    listeners: SockMap<MapData>,
    counters: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}

/// A counter of the programs by name.
pub type Counter = (&'static str, u64);

impl Maps {
    /// Takes the maps from the loaded programs.
    pub fn take(programs: &mut Programs) -> Result<Self, ProgramsError> {
        Ok(Self {
            config: take(programs, "CONFIG")?,
            endpoints: take(programs, "ENDPOINTS")?,
            interfaces: take(programs, "INTERFACES")?,
            addresses: take(programs, "ADDRESSES")?,
            policy: take(programs, "POLICY")?,
            services: take(programs, "SERVICES")?,
            backends: take(programs, "BACKENDS")?,
            conntrack: take(programs, "CONNTRACK")?,
            listeners: take(programs, "LISTENERS")?,
            counters: take(programs, "COUNTERS")?,
        })
    }

    /// Puts a listener of the proxy in charge of the new connections of a direction and family.
    pub fn listen(
        &mut self,
        direction: weir_policy::model::Direction,
        v6: bool,
        udp: bool,
        listener: &impl std::os::fd::AsRawFd,
    ) -> Result<(), MapError> {
        let slot = match direction {
            weir_policy::model::Direction::Ingress => 0,
            weir_policy::model::Direction::Egress => 2,
        } + u32::from(v6)
            + 4 * u32::from(udp);
        self.listeners.set(slot, listener, 0)
    }

    /// What the programs counted, over all CPUs, in order of the slots.
    pub fn counters(&self) -> Result<Vec<Counter>, MapError> {
        counter::NAMES
            .iter()
            .zip(0u32..)
            .map(|(name, slot)| Ok((*name, self.counters.get(&slot, 0)?.iter().sum())))
            .collect()
    }

    /// The other ends of tracked TCP connections that have not ended.
    pub fn remotes(&self) -> HashSet<IpAddr> {
        self.conntrack
            .iter()
            .filter_map(Result::ok)
            .filter(|(key, _)| key.protocol == protocol::TCP)
            .filter(|(_, connection)| connection.flags & (CLOSING | DENIED) == 0)
            .map(|(key, _)| address(key.remote))
            .collect()
    }

    /// How many flows are tracked.
    pub fn tracked(&self) -> usize {
        self.conntrack.keys().filter(Result::is_ok).count()
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Result<Config, MapError> {
        self.config.get(&0, 0)
    }

    /// Puts settings in force.
    pub(crate) fn set_config(&mut self, config: Config) -> Result<(), MapError> {
        self.config.set(0, config, 0)
    }

    /// The revision in force in the kernel.
    pub fn revision(&self) -> Result<u32, MapError> {
        Ok(self.config()?.revision)
    }
}

/// The ring buffer of new verdicts.
pub fn take_events(programs: &mut Programs) -> Result<RingBuf<MapData>, ProgramsError> {
    take(programs, "EVENTS")
}

fn take<M>(programs: &mut Programs, name: &str) -> Result<M, ProgramsError>
where
    M: TryFrom<Map, Error = MapError>,
{
    M::try_from(programs.take_map(name)?).map_err(|source| ProgramsError::Map {
        name: name.into(),
        source,
    })
}

/// An address of a map entry.
pub fn address(bytes: Address) -> IpAddr {
    std::net::Ipv6Addr::from(bytes).to_canonical()
}
