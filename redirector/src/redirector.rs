//! The whole kernel side of one node: programs attached, private networks up, maps in step.

mod error;
mod host;
mod indices;

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use nix::time::ClockId;
use weir_abi::{
    host::{HOST, REACHED, SENT_ON},
    policy::Config,
};
use weir_policy::{
    compile::Snapshot,
    model::{Direction, Service},
};

use crate::{
    counters::Counters,
    events::Events,
    fill::Fill,
    guard::Guarded,
    kernel,
    lower::lower,
    maps::{self, Maps},
    network::{
        INSIDE, Network,
        interface::{Interfaces as _, Kernel},
        netns, outside, time_wait,
    },
    pins::{Pins, pod_pins},
    place::{Places, PodInterface, Unmanaged, place},
    programs::{Hook, Programs, ProgramsError},
    requests::Requests,
    shares::{Tracked, share},
    sync::Installed,
    tables::Tables,
};

pub use error::RedirectorError;
use error::unusable;
use host::{Devices, is_host, share_alone};
use indices::Indices;

/// MTU of the private links where no pod says otherwise.
pub const DEFAULT_MTU: u32 = 1500;

/// How long after a first start connections may be older than the programs. One that is silent for
/// longer, and belongs to a pod that some policy isolates, has to be opened anew.
const OLDER: Duration = Duration::from_secs(300);

/// What the programs may do beside enforcing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Requests may be judged in the kernel, where it can and somebody takes connections over
    /// (`weir takeover`); else the proxy gets all from their SYN.
    pub judges: bool,
    /// A pod is told by an ICMP error that a packet of it was denied.
    pub answers: bool,
}

/// The kernel side of a node.
#[derive(Debug)]
pub struct Redirector {
    programs: Programs,
    maps: Maps,
    installed: Installed,
    ingress: Network,
    egress: Network,
    indices: Indices,
    attached: BTreeMap<u32, String>,
    guarded: Guarded,
    interfaces: Kernel,
    unanswered: u64,
    proxy_ready: bool,
    /// By which requests are judged in the kernel; none where it cannot.
    tables: Option<Tables>,
    answers: bool,
    /// Up to which monotonic time in ns connections may be older than the programs.
    met_until: u64,
    devices: Devices,
}

// === impl Redirector ===

impl Redirector {
    /// Loads the programs, makes or adopts the private networks, and reads what is in force. Where
    /// there was no instance of this name, a failure leaves none.
    pub fn open(pins: &Pins, options: Options) -> Result<Self, RedirectorError> {
        kernel::check()?;
        // Where that cannot be told, what may be there stays.
        let fresh = matches!(pins.root().try_exists(), Ok(false));
        let opened = Self::make_or_adopt(pins, options);
        if opened.is_err() && fresh {
            // The first error says what went wrong; a second one would only hide it.
            Self::remove(pins).ok();
        }
        opened
    }

    fn make_or_adopt(pins: &Pins, options: Options) -> Result<Self, RedirectorError> {
        pins.prepare()?;
        let interfaces = Kernel::open().map_err(RedirectorError::Interfaces)?;
        // Of every version: what an agent of another one attached must not go before this one's
        // programs stand in its place.
        let pinned = pins.pinned_interfaces()?;
        let mut programs = Programs::load(pins)?;
        let maps = Maps::take(&mut programs)?;
        let installed = Installed::read(&maps).map_err(RedirectorError::Adopt)?;
        let tables = match options.judges {
            true => programs
                .load_judges(pins)
                .and_then(|()| Tables::open(&mut programs, installed.policy()))
                .inspect_err(|error| {
                    // What the verifier says of a program goes over thousands of lines.
                    let error = error.to_string();
                    let reason = error.lines().next();
                    tracing::warn!(reason, "the proxy judges all requests, the kernel none");
                })
                .ok(),
            false => None,
        };
        // Where maps are adopted, every connection is in them.
        let met_until = match installed.endpoints().is_empty() {
            true => monotonic() + u64::try_from(OLDER.as_nanos()).unwrap_or(0),
            false => 0,
        };
        let ingress = Network::ensure(pins.instance(), Direction::Ingress, DEFAULT_MTU)?;
        let egress = Network::ensure(pins.instance(), Direction::Egress, DEFAULT_MTU)?;
        for network in [&ingress, &egress] {
            attach_network(&mut programs, network)?;
        }
        let mut indices = Indices::default();
        for (interface, endpoint) in installed.endpoints() {
            indices.adopt(*interface, endpoint.index);
        }
        let guarded = Guarded::new(
            pinned
                .into_iter()
                .chain(installed.endpoints().keys().copied())
                .filter(|interface| !is_host(*interface)),
        );
        let mut redirector = Self {
            programs,
            maps,
            installed,
            ingress,
            egress,
            indices,
            attached: BTreeMap::new(),
            guarded,
            interfaces,
            unanswered: 0,
            proxy_ready: false,
            tables,
            answers: options.answers,
            met_until,
            devices: Devices::default(),
        };
        redirector.release_gone()?;
        Ok(redirector)
    }

    /// The highest id that the maps still use.
    pub fn last_id(&self) -> u32 {
        self.installed.last_id()
    }

    /// The revision in force.
    pub fn revision(&self) -> Result<u32, RedirectorError> {
        self.maps.revision().map_err(unusable("CONFIG", "read"))
    }

    /// Index of each pod that is placed on this node; pods get theirs on first sight. Where an
    /// interface could not be asked about, [`Unmanaged::unknown`] says so.
    pub fn place(
        &mut self,
        pods: &[PodInterface],
    ) -> Result<(Places, Vec<Unmanaged>), RedirectorError> {
        let (mut places, unmanaged) = place(pods, &self.interfaces, |interface| {
            self.indices.of(interface)
        })?;
        places.host = Some(self.indices.of(HOST)?);
        let unknown = unmanaged.iter().filter(|pod| pod.unknown);
        self.unanswered += unknown.count() as u64;
        Ok((places, unmanaged))
    }

    /// Whether an interface (by index) is there; an error says nothing of it.
    pub fn is_there(&self, interface: u32) -> std::io::Result<bool> {
        Ok(self.interfaces.name(interface)?.is_some())
    }

    /// Whether an interface of this name is there; an error says nothing of it.
    pub fn is_there_by_name(&self, interface: &str) -> std::io::Result<bool> {
        Ok(self.interfaces.index(interface)?.is_some())
    }

    /// Lets go of the interfaces of which the kernel says that they are gone: their programs went
    /// with them. Tells how many; those that it could not be asked about stay.
    pub fn release_gone(&mut self) -> Result<usize, RedirectorError> {
        let (gone, fault) = self.guarded.gone(&self.interfaces);
        if let Some(error) = fault {
            self.unanswered += 1;
            tracing::warn!(%error, "interfaces could not be looked up: what is in force stays");
        }
        for interface in &gone {
            self.detach_pod(*interface);
            self.end_flows(*interface);
        }
        self.installed.forget_endpoints(&mut self.maps, &gone)?;
        self.indices.forget(&gone);
        self.guarded.release(&gone);
        Ok(gone.len())
    }

    /// Has the flows of a gone interface's endpoint told of. Where that fails they are not, and the
    /// endpoint goes all the same.
    fn end_flows(&mut self, interface: u32) {
        let Some(endpoint) = self.installed.endpoints().get(&interface) else {
            return;
        };
        let ended = match self.maps.shares.get(&endpoint.index.into(), 0) {
            Ok(share) => self.programs.end_flows(endpoint.index, share).err(),
            Err(source) => Some(ProgramsError::Map {
                name: "SHARES".to_owned(),
                source,
            }),
        };
        if let Some(error) = ended {
            tracing::warn!(%error, interface, "the ends of a pod's flows are not told");
        }
    }

    /// How often interfaces could not be asked about since the start.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Interfaces that nobody owns: they are there, their pod is not known, and they deny.
    pub fn unowned(&self) -> usize {
        self.guarded.unowned()
    }

    /// Puts a snapshot in force. Pods whose interface takes no program are returned.
    ///
    /// Programs leave with their interface and never before: one that no pod of the snapshot is
    /// at denies in both directions until it is gone.
    pub fn apply(
        &mut self,
        snapshot: &Snapshot,
        services: &[Service],
        places: &Places,
    ) -> Result<Vec<Unmanaged>, RedirectorError> {
        let tables = &mut self.tables;
        let table = |side: &_, decided: &[usize]| match tables {
            Some(tables) => tables.place(side, decided),
            None => 0,
        };
        let mut desired = lower(snapshot, services, |pod| places.get(pod), table);
        let interfaces = desired.endpoints.keys().copied();
        self.guarded
            .add(interfaces.filter(|interface| !is_host(*interface)));
        let indices = &mut self.indices;
        if desired.endpoints.contains_key(&HOST) {
            for share in [REACHED, SENT_ON] {
                let index = indices.of(share)?;
                desired.endpoints.insert(share, share_alone(index));
            }
        }
        let denying = self.guarded.deny_unowned(
            &mut desired.endpoints,
            self.installed.endpoints(),
            |interface| indices.of(interface),
        )?;
        let config = Config {
            revision: snapshot.revision as u32,
            ingress_link: self.ingress.link,
            egress_link: self.egress.link,
            proxy_ready: u32::from(self.proxy_ready),
            share: share(self.maps.rooms.conntrack(), desired.endpoints.len()),
            judges: u32::from(self.tables.is_some()),
            answers: u32::from(self.answers),
            reserved: 0,
        };
        if desired.endpoints.contains_key(&HOST) {
            // Until there is an endpoint they let everything pass. A new pod's packets come by its
            // device at once.
            if !self.devices.are_read() || self.is_new(places) {
                self.read_devices();
            }
            self.judge_devices();
        }
        // What is not desired was released above, or denies: only the node may be stale.
        let stale = self
            .installed
            .apply(&mut self.maps, &desired, config, self.met_until)?;
        debug_assert!(
            stale.iter().all(|at| is_host(*at)),
            "an endpoint without its interface"
        );
        for interface in &stale {
            self.end_flows(*interface);
        }
        self.installed.forget_endpoints(&mut self.maps, &stale)?;
        if !desired.endpoints.contains_key(&HOST) {
            self.leave_host();
        }
        if let Some(tables) = &mut self.tables {
            tables.keep(self.installed.policy(), Instant::now());
        }
        let mut unmanaged = Vec::new();
        for (pod, place, interface) in places.iter() {
            if !desired.endpoints.contains_key(&place.interface) {
                continue;
            }
            if let Err(error) = self.ensure_attached(place.interface, interface) {
                unmanaged.push(Unmanaged {
                    pod: pod.clone(),
                    reason: error.to_string(),
                    unknown: false,
                });
            }
        }
        for interface in denying {
            self.attach_unowned(interface);
        }
        Ok(unmanaged)
    }

    /// An agent of another version may have attached it: its programs go soon.
    fn attach_unowned(&mut self, interface: u32) {
        let attached = match self.interfaces.name(interface) {
            Ok(None) => return,
            Ok(Some(name)) => self
                .ensure_attached(interface, &name)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = attached {
            tracing::error!(
                interface,
                error,
                "an interface that nobody owns may be open"
            );
        }
    }

    /// Interfaces that are guarded and have no programs of this version yet.
    pub fn unguarded(&self) -> Vec<u32> {
        let missing = |interface: &u32| !self.attached.contains_key(interface);
        self.guarded.iter().filter(missing).collect()
    }

    fn ensure_attached(&mut self, index: u32, interface: &str) -> Result<(), ProgramsError> {
        // Under which name it was attached does not count: the programs are at the interface.
        if !self.attached.contains_key(&index) {
            self.attach_pod(index, interface)?;
            self.attached.insert(index, interface.to_owned());
        }
        Ok(())
    }

    fn attach_pod(&mut self, index: u32, interface: &str) -> Result<(), ProgramsError> {
        let [ingress, egress] = pod_pins(index);
        self.programs
            .attach("to_pod", interface, Hook::Egress, &egress)?;
        self.programs
            .attach("from_pod", interface, Hook::Ingress, &ingress)
    }

    fn detach_pod(&mut self, index: u32) {
        self.attached.remove(&index);
        for pin in pod_pins(index) {
            // A pin that stays keeps its program, which finds no endpoint and drops.
            if let Err(error) = self.programs.detach(&pin) {
                tracing::warn!(pin, %error, "a link is still pinned");
            }
        }
    }

    /// Puts the proxy's listener in charge of new connections.
    pub fn listen(
        &mut self,
        direction: Direction,
        v6: bool,
        udp: bool,
        listener: &impl std::os::fd::AsRawFd,
    ) -> Result<(), RedirectorError> {
        let set = self.maps.listen(direction, v6, udp, listener);
        set.map_err(unusable("LISTENERS", "written"))
    }

    /// Tells the programs whether a proxy listens. Where only policies in audit mode have HTTP
    /// rules, flows pass without one.
    pub fn set_proxy_ready(&mut self, ready: bool) -> Result<(), RedirectorError> {
        self.proxy_ready = ready;
        let config = Config {
            proxy_ready: u32::from(ready),
            ..self.maps.config().map_err(unusable("CONFIG", "read"))?
        };
        let set = self.maps.set_config(config);
        set.map_err(unusable("CONFIG", "written"))
    }

    /// What the programs counted.
    pub fn counters(&self) -> Result<Counters, RedirectorError> {
        self.maps.counters().map_err(unusable("COUNTERS", "read"))
    }

    /// How full the maps are; `tracked` is what the connection table holds.
    pub fn fill(&self, tracked: Tracked) -> Vec<Fill> {
        self.maps.rooms.fill(self.installed.sizes(), tracked)
    }

    /// Endpoints (by index) with the other ends of their tracked TCP connections that have not ended.
    pub fn remotes(&self) -> HashSet<(u16, IpAddr)> {
        self.maps.remotes()
    }

    /// Sockets in TIME_WAIT in the private network of each direction.
    pub fn time_wait(&self) -> Result<[(Direction, u64); 2], RedirectorError> {
        Ok([
            (Direction::Ingress, time_wait(&self.ingress)?),
            (Direction::Egress, time_wait(&self.egress)?),
        ])
    }

    /// The ring of new verdicts; once.
    pub fn take_events(&mut self) -> Result<Events, RedirectorError> {
        Ok(Events::new(maps::take_events(&mut self.programs)?))
    }

    /// The ring of requests that the kernel judges, to be read elsewhere.
    pub fn take_requests(&mut self) -> Result<Requests, RedirectorError> {
        Ok(Requests::new(maps::take_requests(&mut self.programs)?))
    }

    /// A loaded program, for test runs against the engine.
    pub fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// Removes everything of an instance: links, maps, private networks, folders.
    pub fn remove(pins: &Pins) -> Result<(), RedirectorError> {
        pins.remove()?;
        for direction in Direction::BOTH {
            Network::remove(pins.instance(), direction)?;
        }
        Ok(())
    }
}

/// The clock of the programs (`bpf_ktime_get_ns`), in ns.
pub(crate) fn monotonic() -> u64 {
    let now = ClockId::CLOCK_MONOTONIC.now().map(Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn attach_network(programs: &mut Programs, network: &Network) -> Result<(), RedirectorError> {
    let direction = network.direction;
    let (steer, pin) = match direction {
        Direction::Ingress => ("steer_ingress", "ingress"),
        Direction::Egress => ("steer_egress", "egress"),
    };
    // Inside before outside: no packet comes in before it would be steered.
    programs.steer(steer, network.netns.as_fd())?;
    netns::within(&network.netns, Path::new(INSIDE), || {
        programs.attach(
            "to_proxy",
            INSIDE,
            Hook::Ingress,
            &format!("{pin}-to-proxy"),
        )?;
        programs.attach(
            "leave_proxy",
            INSIDE,
            Hook::Egress,
            &format!("{pin}-leave-proxy"),
        )
    })??;
    let pin = format!("{pin}-from-proxy");
    programs.attach("from_proxy", outside(direction), Hook::Ingress, &pin)?;
    Ok(())
}
