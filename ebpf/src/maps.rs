//! Maps. All are pinned by name; the loader sets sizes from its configuration.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, ProgramArray, RingBuf, SockMap},
};
use weir_abi::{
    Address,
    conntrack::{Connection, ConnectionKey, MOST_SLOTS, Share, SlotKey},
    counter,
    http::{Change, Stream, TABLES as TABLE_BYTES, Taken},
    listener,
    policy::{AddressValue, Config, Endpoint, PolicyKey, PolicyValue},
    service::{Backend, BackendKey, Service, ServiceKey},
};

use crate::{
    http::{Budget, Bytes},
    packet::Packet,
    pod::Refusal,
};

/// What one run of a program works on: too much for the 512 bytes of stack. A run is not
/// interrupted by another one on its CPU, so one for each CPU is enough.
#[derive(Clone, Copy)]
pub struct Scratch {
    /// Whose interface it is.
    pub endpoint: Endpoint,
    /// The packet's flow.
    pub packet: Packet,
    /// The flow that an ICMP error quotes.
    pub quoted: Packet,
    /// Its tracking key.
    pub key: ConnectionKey,
    /// A new entry for it.
    pub connection: Connection,
    /// Where the ports of a fragment are kept.
    pub datagram: ConnectionKey,
    /// A header as it stands in the packet.
    pub header: [u8; 40],
    /// The table by which a new connection is judged.
    pub table: u32,
}

/// How many drops this CPU has told of lately.
#[derive(Clone, Copy)]
pub struct Rate {
    /// Monotonic time in ns at which counting began.
    pub since: u64,
    /// Since then.
    pub count: u32,
}

/// See [`Rate`]. Not pinned: what a new program forgets is a tenth of a second.
#[map]
pub static TOLD: PerCpuArray<Rate> = PerCpuArray::with_max_entries(1, 0);

/// See [`Scratch`]. Not pinned: nothing in it outlives a run.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's scratch.
#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the slot is this CPU's own and lives as long as the map; callers take it once.
    Some(unsafe { &mut *scratch })
}

/// What is remembered beside a flow, on its way into the table or looked for there.
#[derive(Clone, Copy)]
pub struct Beside {
    pub key: ConnectionKey,
    pub entry: Connection,
}

/// See [`Beside`]. Not pinned, as above.
#[map]
pub static BESIDE: PerCpuArray<Beside> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's.
#[inline(always)]
pub fn beside() -> Option<&'static mut Beside> {
    let beside = BESIDE.get_ptr_mut(0)?;
    // SAFETY: as in `scratch`; callers use it up before they call what uses it, too.
    Some(unsafe { &mut *beside })
}

/// Settings: one entry.
#[map]
pub static CONFIG: Array<Config> = Array::pinned(1, 0);

/// Managed pod interfaces by interface index.
#[map]
pub static ENDPOINTS: HashMap<u32, Endpoint> = HashMap::pinned(4096, 0);

/// Interface index of an endpoint by its index.
#[map]
pub static INTERFACES: HashMap<u32, u32> = HashMap::pinned(4096, 0);

/// Address to peer class, by longest prefix. Room for the largest cluster that Kubernetes means to
/// carry (150,000 pods, each with two addresses) and as much again; entries take memory when they
/// are there.
#[map]
pub static ADDRESSES: LpmTrie<Address, AddressValue> =
    LpmTrie::pinned(1_048_576, BPF_F_NO_PREALLOC);

/// (policy set, class, direction, protocol, port) to verdict, by longest prefix.
#[map]
pub static POLICY: LpmTrie<PolicyKey, PolicyValue> = LpmTrie::pinned(262_144, BPF_F_NO_PREALLOC);

/// The connection table: see [`weir_abi::conntrack`]. Entries take memory when they are there.
#[map]
pub static CONNTRACK: HashMap<ConnectionKey, Connection> =
    HashMap::pinned(1_048_576, BPF_F_NO_PREALLOC);

/// Which entry has a slot of an endpoint's ring.
#[map]
pub static SLOTS: HashMap<SlotKey, ConnectionKey> = HashMap::pinned(1_048_576, BPF_F_NO_PREALLOC);

/// How far each endpoint's ring has come, by index of the endpoint.
#[map]
pub static SHARES: Array<Share> = Array::pinned(MOST_SLOTS, 0);

/// Services by virtual address.
#[map]
pub static SERVICES: HashMap<ServiceKey, Service> = HashMap::pinned(65_536, BPF_F_NO_PREALLOC);

/// Backends of services.
#[map]
pub static BACKENDS: HashMap<BackendKey, Backend> = HashMap::pinned(262_144, BPF_F_NO_PREALLOC);

/// Ports of the node that are not judged by host policies alone: see [`weir_abi::host::port`].
#[map]
pub static HOST_PORTS: HashMap<ServiceKey, u8> = HashMap::pinned(16_384, BPF_F_NO_PREALLOC);

/// The proxy's listeners: see [`weir_abi::listener`].
#[map]
pub static LISTENERS: SockMap = SockMap::pinned(listener::COUNT, 0);

/// See [`weir_abi::counter`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::pinned(counter::COUNT, 0);

/// New verdicts.
#[map]
pub static EVENTS: RingBuf = RingBuf::pinned(1 << 20, 0);

/// The programs that judge requests, by whether they handle what the pod sends; empty where the
/// kernel cannot run them.
#[map]
pub static JUDGES: ProgramArray = ProgramArray::pinned(2, 0);

/// Judged connections: see [`weir_abi::http`].
#[map]
pub static STREAMS: HashMap<ConnectionKey, Stream> = HashMap::pinned(65_536, BPF_F_NO_PREALLOC);

/// The tables that request lines are judged by; user space writes them through a mapping.
#[map]
pub static TABLES: Array<[u32; TABLE_BYTES / 4]> = Array::pinned(1, BPF_F_MMAPABLE);

/// Connections to be taken over, and what their clients sent.
#[map]
pub static TAKEN: RingBuf = RingBuf::pinned(1 << 20, 0);

/// Requests that passed.
#[map]
pub static REQUESTS: RingBuf = RingBuf::pinned(1 << 20, 0);

/// How many connections each endpoint handed out, by its index.
#[map]
pub static BUDGETS: Array<Budget> = Array::pinned(MOST_SLOTS, 0);

/// See [`Bytes`]. This and the next ones are not pinned: nothing in them outlives a run.
#[map]
pub static BYTES: PerCpuArray<Bytes> = PerCpuArray::with_max_entries(1, 0);

/// See [`Refusal`].
#[map]
pub static REFUSALS: PerCpuArray<Refusal> = PerCpuArray::with_max_entries(1, 0);

/// A new entry of `STREAMS`.
#[map]
pub static FRESH: PerCpuArray<Stream> = PerCpuArray::with_max_entries(1, 0);

/// What is told of a connection that is taken over.
#[map]
pub static NOTE: PerCpuArray<Taken> = PerCpuArray::with_max_entries(1, 0);

/// What `set_state` was asked.
#[map]
pub static CHANGE: PerCpuArray<Change> = PerCpuArray::with_max_entries(1, 0);
