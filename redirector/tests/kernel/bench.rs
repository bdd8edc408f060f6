//! A test bench: the real programs loaded, their maps filled from a world, packets run through.
//!
//! All packets run on interface 1 (loopback), so one pod at a time is the endpoint there.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::{
    maps::{HashMap, Map, MapData, RingBuf},
    programs::{TestRun, TestRunOptions},
};
use weir_abi::{
    conntrack::{Connection, ConnectionKey},
    event::{Ended, Event, Sweep},
    host::{HOST, REACHED, SENT_ON},
    http::{Change, Request, Stream, TAKEN_HEADER},
    policy::{Config, Endpoint},
};
use weir_link::Instance;
use weir_policy::{
    compile::{Compiler, Local, Snapshot},
    model::{PodName, World},
    testing::generate::NODE,
};
use weir_redirector::{
    MapSize, Pins, Placement, Told,
    testing::{Installed, Maps, Programs, SyncError, Tables, lower, take_events, told},
};

/// What a program returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    Pass,
    Drop,
    Redirect,
}

/// Which program, and on which way the packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    FromPod,
    ToPod,
    FromHost,
    ToHost,
}

impl Way {
    fn program(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
            Self::FromHost => "from_host",
            Self::ToHost => "to_host",
        }
    }
}

/// The loaded programs with their maps.
pub struct Bench {
    pins: Pins,
    programs: Programs,
    maps: Maps,
    installed: Installed,
    tables: Tables,
    events: RingBuf<MapData>,
    ended: Vec<Ended>,
    taken: RingBuf<MapData>,
    requests: RingBuf<MapData>,
    compiler: Compiler,
    revision: u32,
    taker: Option<std::net::TcpListener>,
    /// Whether requests are judged in the kernel.
    pub judges: bool,
    /// Whether pods are told that a packet was denied.
    pub answers: bool,
    /// Entries of the connection table for each endpoint.
    pub share: u32,
    /// Up to when connections may be older than the programs.
    pub met_until: u64,
}

pub const LOOPBACK: u32 = 1;
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Bench {
    pub fn new() -> Self {
        Self::sized("")
    }

    /// Where the kernel judges requests, as if somebody took connections over.
    pub fn judging() -> Self {
        let mut bench = Self::make("", true);
        bench.takes_over();
        bench
    }

    /// With maps of other sizes: `NAME=ENTRIES`.
    pub fn sized(sizes: &str) -> Self {
        Self::make(sizes, false)
    }

    fn make(sizes: &str, judges: bool) -> Self {
        let sizes = sizes.split_terminator(',');
        let sizes = sizes.map(|size| size.parse::<MapSize>().expect("a size"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-kernel-{}-{number}", std::process::id());
        let instance = Instance::new(&name).expect("a good name");
        let pins = Pins::new(instance, sizes.collect());
        pins.prepare().expect("root and bpffs");
        let mut programs = Programs::load(&pins).expect("the kernel takes the programs");
        if judges {
            let loaded = programs.load_judges(&pins);
            loaded.expect("the kernel takes the programs that judge");
        }
        let maps = Maps::take(&mut programs).expect("all maps are there");
        let installed = Installed::default();
        let tables = Tables::open(&mut programs, installed.policy()).expect("the memory is there");
        let events = take_events(&mut programs).expect("the ring is there");
        let mut ring = |name| {
            let map = programs.take_map(name).expect("the ring is there");
            RingBuf::try_from(map).expect("a ring")
        };
        let (taken, requests) = (ring("TAKEN"), ring("REQUESTS"));
        Self {
            pins,
            programs,
            maps,
            installed,
            tables,
            taker: None,
            judges: false,
            answers: false,
            events,
            ended: Vec::new(),
            taken,
            requests,
            compiler: Compiler::new(),
            revision: 0,
            share: 4096,
            met_until: 0,
        }
    }

    /// Puts a world in force with one of its pods as the endpoint on the interface.
    pub fn install(&mut self, world: &World, pod: usize) -> Snapshot {
        self.try_install(world, pod)
            .expect("the maps take the world")
    }

    /// The same where the maps may have no room.
    pub fn try_install(
        &mut self,
        world: &World,
        pod: usize,
    ) -> std::result::Result<Snapshot, SyncError> {
        let endpoint = world.pods[pod].id();
        let place = |of: &PodName| {
            (*of == endpoint).then_some(Placement {
                index: pod as u16 + 1,
                interface: LOOPBACK,
            })
        };
        self.place(world, place)
    }

    /// Puts a world in force with endpoints at these places.
    pub fn place(
        &mut self,
        world: &World,
        place: impl Fn(&PodName) -> Option<Placement>,
    ) -> std::result::Result<Snapshot, SyncError> {
        let snapshot = self
            .compiler
            .compile(world, Local::Everywhere { node: NODE });
        let tables = &mut self.tables;
        let table = |side: &_, decided: &[usize]| tables.place(side, decided);
        let mut desired = lower(&snapshot, &world.services, place, table);
        if desired.endpoints.contains_key(&HOST) {
            for (share, index) in [(REACHED, 998), (SENT_ON, 999)] {
                let alone = Endpoint {
                    index,
                    ..Endpoint::default()
                };
                desired.endpoints.insert(share, alone);
            }
        }
        self.revision += 1;
        let config = Config {
            revision: self.revision,
            ingress_link: LOOPBACK,
            egress_link: LOOPBACK,
            proxy_ready: 1,
            share: self.share,
            judges: u32::from(self.judges),
            answers: u32::from(self.answers),
            reserved: 0,
        };
        let until = self.met_until;
        let stale = self
            .installed
            .apply(&mut self.maps, &desired, config, until)?;
        // Interfaces keep what they have; the node has none.
        if stale.contains(&HOST) {
            let gone = [HOST, REACHED, SENT_ON];
            self.installed.forget_endpoints(&mut self.maps, &gone)?;
        }
        Ok(snapshot)
    }

    /// As if somebody took connections over.
    fn takes_over(&mut self) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        self.maps.takes_over(&socket).expect("the map takes it");
        self.judges = true;
        self.taker = Some(socket);
    }

    /// As if that one were gone.
    pub fn nobody_takes_over(&mut self) {
        self.taker = None;
    }

    /// Forgets the endpoint on the interface, as when it is detached.
    pub fn forget(&mut self) {
        let forgotten = self.installed.forget_endpoints(&mut self.maps, &[LOOPBACK]);
        forgotten.expect("the maps let go");
    }

    /// Where a map is pinned.
    pub fn pin(&self, map: &str) -> PathBuf {
        self.pins.maps().join(map)
    }

    /// Runs a packet through a program, as if it had arrived on another interface.
    pub fn run(&mut self, way: Way, packet: &[u8]) -> Result {
        self.run_on(way, packet, 77).0
    }

    /// Runs a packet; returns the verdict and the packet as the program left it.
    /// `arrived_on` 0 means that the node itself made it.
    pub fn run_on(&mut self, way: Way, packet: &[u8], arrived_on: u32) -> (Result, Vec<u8>) {
        let name = way.program();
        // struct __sk_buff of linux/bpf.h: ingress_ifindex at 36, ifindex at 40.
        let mut context = [0u8; 192];
        context[36..40].copy_from_slice(&arrived_on.to_ne_bytes());
        context[40..44].copy_from_slice(&LOOPBACK.to_ne_bytes());
        let mut out = vec![0u8; packet.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context);
        let program = self.programs.classifier(name).expect("it is loaded");
        let run = program.test_run(options).expect("BPF_PROG_TEST_RUN works");
        let result = result(name, run.return_value);
        let length = run.data_size_out as usize;
        out.truncate(length);
        (result, out)
    }

    /// Runs a packet that carries a mark; returns the verdict and the mark as the program left it.
    pub fn run_marked(&mut self, way: Way, packet: &[u8], mark: u32) -> (Result, u32) {
        let name = way.program();
        // struct __sk_buff of linux/bpf.h: mark at 8, ifindex at 40.
        let mut context = [0u8; 192];
        context[8..12].copy_from_slice(&mark.to_ne_bytes());
        context[40..44].copy_from_slice(&LOOPBACK.to_ne_bytes());
        let mut left = context;
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.ctx_in = Some(&context);
        options.ctx_out = Some(&mut left);
        let program = self.programs.classifier(name).expect("it is loaded");
        let run = program.test_run(options).expect("BPF_PROG_TEST_RUN works");
        let mark = u32::from_ne_bytes(left[8..12].try_into().expect("four"));
        (result(name, run.return_value), mark)
    }

    /// What was told of connections to be taken over, since the last time: why, and the bytes with
    /// the sequence number of the first.
    pub fn taken(&mut self) -> Vec<(u8, u32, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(item) = self.taken.next() {
            assert!(item.len() >= TAKEN_HEADER);
            let word = |at: usize| u32::from_ne_bytes(item[at..at + 4].try_into().expect("four"));
            let length = word(52) as usize;
            let bytes = item[TAKEN_HEADER..TAKEN_HEADER + length].to_vec();
            all.push((item[56], word(48), bytes));
        }
        all
    }

    /// What was told of requests, since the last time: line and status.
    pub fn requests(&mut self) -> Vec<(String, u16)> {
        let mut all = Vec::new();
        while let Some(item) = self.requests.next() {
            assert_eq!(item.len(), size_of::<Request>());
            // SAFETY: the ring holds whole records of this plain type.
            let request: Request = unsafe { std::ptr::read_unaligned(item.as_ptr().cast()) };
            let text = |bytes: &[u8], length: u16| {
                String::from_utf8(bytes[..usize::from(length)].to_vec()).expect("a text")
            };
            let line = text(&request.text.line, request.text.line_length);
            let host = text(&request.text.host, request.text.host_length);
            all.push((format!("{line} {host}"), request.status));
        }
        all
    }

    /// Changes the state of a connection as who takes it over does: what came of it, and the stream.
    pub fn change(&mut self, key: ConnectionKey, was: u8, to: u8) -> (u32, Stream) {
        let change = Change {
            key,
            was,
            to,
            reserved: [0; 6],
        };
        let mut data = vec![0u8; 14 + size_of::<Stream>()];
        // SAFETY: a plain type, and there is room.
        unsafe { std::ptr::write_unaligned(data[14..].as_mut_ptr().cast(), change) };
        let mut out = vec![0u8; data.len()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        options.data_out = Some(&mut out);
        let program = self.programs.classifier("set_state").expect("it is loaded");
        let run = program.test_run(options).expect("BPF_PROG_TEST_RUN works");
        // SAFETY: as above.
        let stream = unsafe { std::ptr::read_unaligned(out[14..].as_ptr().cast()) };
        (run.return_value, stream)
    }

    /// What the programs have told since the last time.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(item) = self.events.next() {
            match told(&item).expect("a whole value") {
                Told::Verdict(event) => events.push(event),
                Told::Ended(ended) => self.ended.push(ended),
            }
        }
        events
    }

    /// The ends of flows that the programs have told of since the last time.
    pub fn ended(&mut self) -> Vec<Ended> {
        self.events();
        std::mem::take(&mut self.ended)
    }

    /// Has the programs look for flows that have ended.
    pub fn sweep(&mut self, asked: Sweep) {
        let mut data = vec![0u8; 14];
        for word in [asked.endpoint, asked.from, asked.all] {
            data.extend(word.to_ne_bytes());
        }
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        let program = self.programs.classifier("sweep").expect("it is loaded");
        program.test_run(options).expect("BPF_PROG_TEST_RUN works");
    }

    /// The connection table, to read and to write.
    pub fn conntrack(&self) -> HashMap<MapData, ConnectionKey, Connection> {
        let map = MapData::from_pin(self.pin("CONNTRACK")).expect("it is pinned");
        HashMap::try_from(Map::HashMap(map)).expect("a hash map")
    }

    /// Entries of the connection table, of every kind.
    pub fn entries(&self) -> u64 {
        self.maps.tracked(u64::MAX).entries
    }

    /// A counter of the programs.
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.maps.counters().expect("readable");
        let found = counters.named().find(|(other, _)| *other == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).1
    }
}

fn result(name: &str, returned: u32) -> Result {
    match returned as i32 {
        -1 => Result::Pass,
        2 => Result::Drop,
        7 => Result::Redirect,
        other => panic!("{name} returned {other}"),
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.pins.remove().ok();
    }
}
