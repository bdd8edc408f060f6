//! Typed handles of the pinned maps.

use std::{collections::HashSet, net::IpAddr};

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf, SockMap};
use weir_abi::{
    Address,
    conntrack::{Connection, ConnectionKey, DENIED, Share, SlotKey, TRANSLATION},
    http::Stream,
    listener,
    policy::{AddressValue, Config, Endpoint, PolicyKey, PolicyValue, direction},
    protocol,
    service::{Backend, BackendKey, Service, ServiceKey},
};

use crate::{
    counters::Counters,
    fill::Rooms,
    programs::{Programs, ProgramsError},
};

/// The maps that user space works on.
pub struct Maps {
    pub(crate) config: Array<MapData, Config>,
    pub(crate) endpoints: HashMap<MapData, u32, Endpoint>,
    pub(crate) interfaces: HashMap<MapData, u32, u32>,
    pub(crate) addresses: LpmTrie<MapData, Address, AddressValue>,
    pub(crate) policy: LpmTrie<MapData, PolicyKey, PolicyValue>,
    pub(crate) services: HashMap<MapData, ServiceKey, Service>,
    pub(crate) host_ports: HashMap<MapData, ServiceKey, u8>,
    pub(crate) backends: HashMap<MapData, BackendKey, Backend>,
    pub(crate) conntrack: HashMap<MapData, ConnectionKey, Connection>,
    pub(crate) slots: HashMap<MapData, SlotKey, ConnectionKey>,
    pub(crate) streams: HashMap<MapData, ConnectionKey, Stream>,
    pub(crate) shares: Array<MapData, Share>,
    /// Entries that maps can hold.
    pub(crate) rooms: Rooms,
    listeners: SockMap<MapData>,
    counters: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}

impl Maps {
    /// Takes the maps from the loaded programs.
    pub fn take(programs: &mut Programs) -> Result<Self, ProgramsError> {
        Ok(Self {
            rooms: Rooms::of(programs)?,
            config: take(programs, "CONFIG")?,
            endpoints: take(programs, "ENDPOINTS")?,
            interfaces: take(programs, "INTERFACES")?,
            addresses: take(programs, "ADDRESSES")?,
            policy: take(programs, "POLICY")?,
            services: take(programs, "SERVICES")?,
            host_ports: take(programs, "HOST_PORTS")?,
            backends: take(programs, "BACKENDS")?,
            conntrack: take(programs, "CONNTRACK")?,
            slots: take(programs, "SLOTS")?,
            streams: take(programs, "STREAMS")?,
            shares: take(programs, "SHARES")?,
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
        let direction = match direction {
            weir_policy::model::Direction::Ingress => direction::INGRESS,
            weir_policy::model::Direction::Egress => direction::EGRESS,
        };
        self.listeners
            .set(listener::slot(direction, v6, udp), listener, 0)
    }

    #[cfg(feature = "testing")]
    /// Lets a socket stand for whoever takes judged connections over.
    pub fn takes_over(&mut self, socket: &impl std::os::fd::AsRawFd) -> Result<(), MapError> {
        self.listeners.set(listener::TAKEOVER, socket, 0)
    }

    /// What the programs counted, over all CPUs.
    pub fn counters(&self) -> Result<Counters, MapError> {
        Counters::read(|slot| Ok(self.counters.get(&slot, 0)?.iter().sum()))
    }

    /// Endpoints with the other ends of their tracked TCP connections that have not ended.
    pub fn remotes(&self) -> HashSet<(u16, IpAddr)> {
        self.conntrack
            .iter()
            .filter_map(Result::ok)
            .filter(|(key, _)| key.protocol == protocol::TCP && key.kind != TRANSLATION)
            .filter(|(_, connection)| !connection.is_closed() && connection.flags & DENIED == 0)
            .map(|(key, _)| (key.endpoint, address(key.remote)))
            .collect()
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

/// The ring buffer of requests.
pub fn take_requests(programs: &mut Programs) -> Result<RingBuf<MapData>, ProgramsError> {
    take(programs, "REQUESTS")
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
