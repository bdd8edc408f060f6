//! The whole kernel side of one node: programs attached, private networks up, maps in step.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use aya::maps::{MapData, MapError, RingBuf};
use nix::time::ClockId;
use weir_abi::policy::Config;
use weir_policy::{
    compile::Snapshot,
    model::{Direction, Service},
};

use crate::{
    instance::{Instance, InstanceError},
    kernel,
    lower::{Placement, lower},
    maps::{self, Counter, Maps},
    network::{INSIDE, Network, NetworkError, netns, outside, time_wait},
    programs::{Hook, Programs, ProgramsError},
    shares::{Tracked, share},
    sync::{Installed, SyncError},
};

/// MTU of the private links where no pod says otherwise.
pub const DEFAULT_MTU: u32 = 1500;

/// How long after a first start connections may be older than the programs. One that is silent for
/// longer, and belongs to a pod that some policy isolates, has to be opened anew.
const OLDER: Duration = Duration::from_secs(300);

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
    proxy_ready: bool,
    /// Up to which monotonic time in ns connections may be older than the programs.
    met_until: u64,
}

/// Where a pod is on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodInterface {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Host side of its veth.
    pub interface: String,
}

/// A pod that could not be put under policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmanaged {
    /// `NAMESPACE/NAME`.
    pub pod: String,
    /// Why.
    pub reason: String,
}

/// What can go wrong on the kernel side.
#[derive(Debug, thiserror::Error)]
pub enum RedirectorError {
    /// Its folders.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// Its programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// Its private networks.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its maps.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// Reading a map.
    #[error("cannot read the maps of an earlier agent: {0}")]
    Read(#[from] MapError),
    /// More pods than indices.
    #[error("no endpoint index is free: a node takes at most 65535 pods")]
    Indices,
}

/// Indices of endpoints: a pod's interface keeps its index; a free one is reused as late as possible.
#[derive(Debug, Default)]
struct Indices {
    of: HashMap<u32, u16>,
    last: u16,
}

// === impl Redirector ===

impl Redirector {
    /// Loads the programs, makes or adopts the private networks, and reads what is in force. Where
    /// there was no instance of this name, a failure leaves none.
    pub fn open(instance: &Instance) -> Result<Self, RedirectorError> {
        kernel::check()?;
        let fresh = !instance.pin_root().exists();
        let opened = Self::make_or_adopt(instance);
        if opened.is_err() && fresh {
            // The first error says what went wrong; a second one would only hide it.
            Self::remove(instance).ok();
        }
        opened
    }

    fn make_or_adopt(instance: &Instance) -> Result<Self, RedirectorError> {
        instance.prepare()?;
        let mut programs = Programs::load(instance)?;
        let maps = Maps::take(&mut programs)?;
        let installed = Installed::read(&maps)?;
        // Where maps are adopted, every connection is in them.
        let met_until = match installed.endpoints().is_empty() {
            true => monotonic() + u64::try_from(OLDER.as_nanos()).unwrap_or(0),
            false => 0,
        };
        let ingress = Network::ensure(instance, Direction::Ingress, DEFAULT_MTU)?;
        let egress = Network::ensure(instance, Direction::Egress, DEFAULT_MTU)?;
        for network in [&ingress, &egress] {
            attach_network(&mut programs, network)?;
        }
        // Links of interfaces that no endpoint stands for: an earlier agent ended in between.
        for pin in programs.pinned().unwrap_or_default() {
            let known = |interface: &u32| installed.endpoints().contains_key(interface);
            if pod_of_pin(&pin).is_some_and(|interface| !known(&interface)) {
                // A pin that stays keeps its program, which finds no endpoint and drops.
                programs.detach(&pin).ok();
            }
        }
        let mut indices = Indices::default();
        for (interface, endpoint) in installed.endpoints() {
            indices.of.insert(*interface, endpoint.index);
            indices.last = indices.last.max(endpoint.index);
        }
        Ok(Self {
            programs,
            maps,
            installed,
            ingress,
            egress,
            indices,
            attached: BTreeMap::new(),
            proxy_ready: false,
            met_until,
        })
    }

    /// The highest id that the maps still use.
    pub fn last_id(&self) -> u32 {
        self.installed.last_id()
    }

    /// The revision in force.
    pub fn revision(&self) -> Result<u32, RedirectorError> {
        Ok(self.maps.revision()?)
    }

    /// Index of each pod that is placed on this node; pods get theirs on first sight.
    pub fn place(
        &mut self,
        pods: &[PodInterface],
    ) -> Result<(Places, Vec<Unmanaged>), RedirectorError> {
        let mut places = Places::default();
        let mut unmanaged = Vec::new();
        for pod in pods {
            match nix::net::if_::if_nametoindex(pod.interface.as_str()) {
                Ok(interface) => {
                    let placement = Placement {
                        index: self.indices.of(interface)?,
                        interface,
                    };
                    let key = (pod.namespace.clone(), pod.name.clone());
                    places.of.insert(key, (placement, pod.interface.clone()));
                }
                Err(errno) => unmanaged.push(Unmanaged {
                    pod: format!("{}/{}", pod.namespace, pod.name),
                    reason: format!("interface `{}`: {}", pod.interface, errno.desc()),
                }),
            }
        }
        Ok((places, unmanaged))
    }

    /// Puts a snapshot in force. Pods whose interface takes no program are returned.
    pub fn apply(
        &mut self,
        snapshot: &Snapshot,
        services: &[Service],
        places: &Places,
    ) -> Result<Vec<Unmanaged>, RedirectorError> {
        let desired = lower(snapshot, services, |namespace, name| {
            places.get(namespace, name)
        });
        let config = Config {
            revision: snapshot.revision as u32,
            ingress_link: self.ingress.link,
            egress_link: self.egress.link,
            proxy_ready: u32::from(self.proxy_ready),
            share: share(self.maps.room, desired.endpoints.len()),
        };
        let stale = self
            .installed
            .apply(&mut self.maps, &desired, config, self.met_until)?;
        let mut unmanaged = Vec::new();
        for ((namespace, name), (placement, interface)) in &places.of {
            if self.attached.get(&placement.interface) == Some(interface)
                || !desired.endpoints.contains_key(&placement.interface)
            {
                continue;
            }
            match self.attach_pod(placement.interface, interface) {
                Ok(()) => {
                    self.attached.insert(placement.interface, interface.clone());
                }
                Err(error) => unmanaged.push(Unmanaged {
                    pod: format!("{namespace}/{name}"),
                    reason: error.to_string(),
                }),
            }
        }
        for interface in &stale {
            self.detach_pod(*interface);
        }
        self.installed.forget_endpoints(&mut self.maps, &stale)?;
        self.indices
            .of
            .retain(|interface, _| !stale.contains(interface));
        Ok(unmanaged)
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
        Ok(self.maps.listen(direction, v6, udp, listener)?)
    }

    /// Tells the programs whether a proxy listens. Where only policies in audit mode have HTTP
    /// rules, flows pass without one.
    pub fn set_proxy_ready(&mut self, ready: bool) -> Result<(), RedirectorError> {
        self.proxy_ready = ready;
        let config = Config {
            proxy_ready: u32::from(ready),
            ..self.maps.config()?
        };
        Ok(self.maps.set_config(config)?)
    }

    /// What the programs counted.
    pub fn counters(&self) -> Result<Vec<Counter>, RedirectorError> {
        Ok(self.maps.counters()?)
    }

    /// Entries of each map that policy fills, by the map's name.
    pub fn sizes(&self) -> [(&'static str, usize); 5] {
        self.installed.sizes()
    }

    /// What is tracked.
    pub fn tracked(&self) -> Tracked {
        self.maps.tracked(monotonic())
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

    /// The ring buffer of new verdicts; once.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>, RedirectorError> {
        Ok(maps::take_events(&mut self.programs)?)
    }

    /// A loaded program, for test runs against the engine.
    pub fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// Removes everything of an instance: links, maps, private networks, folders.
    pub fn remove(instance: &Instance) -> Result<(), RedirectorError> {
        instance.remove()?;
        for direction in Direction::BOTH {
            Network::remove(instance, direction)?;
        }
        Ok(())
    }
}

/// The clock of the programs (`bpf_ktime_get_ns`), in ns.
fn monotonic() -> u64 {
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

fn pod_pins(interface: u32) -> [String; 2] {
    [
        format!("pod-{interface}-from"),
        format!("pod-{interface}-to"),
    ]
}

fn pod_of_pin(pin: &str) -> Option<u32> {
    pin.strip_prefix("pod-")?.split('-').next()?.parse().ok()
}

/// Where the pods of this node are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    of: BTreeMap<(String, String), (Placement, String)>,
}

impl Places {
    /// The place of a pod.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Placement> {
        self.of
            .get(&(namespace.to_owned(), name.to_owned()))
            .map(|(placement, _)| *placement)
    }

    /// The interface of a pod.
    pub fn interface(&self, namespace: &str, name: &str) -> Option<&str> {
        self.of
            .get(&(namespace.to_owned(), name.to_owned()))
            .map(|(_, interface)| interface.as_str())
    }

    /// Pods with their interfaces, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.of.iter().map(|((namespace, name), (_, interface))| {
            (namespace.as_str(), name.as_str(), interface.as_str())
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

// === impl Indices ===

impl Indices {
    fn of(&mut self, interface: u32) -> Result<u16, RedirectorError> {
        if let Some(index) = self.of.get(&interface) {
            return Ok(*index);
        }
        for _ in 0..u16::MAX {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.of.values().any(|index| *index == self.last) {
                self.of.insert(interface, self.last);
                return Ok(self.last);
            }
        }
        Err(RedirectorError::Indices)
    }
}
