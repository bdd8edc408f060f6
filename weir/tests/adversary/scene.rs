//! The labs of the suite: pods in roles, with Weir and without, each with its packet sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use weir_lab::{Lab, Topology, UpOptions};

use crate::common::{Family, PATIENCE, WEIR, free_name, sweep};
use crate::frame::{Frame, ethernet, ip::Ip, transport};
use crate::wire::{Ear, Mac, Sender, Tag, enter};

/// A fence that is lost is sent again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// Where every pod listens, and where HTTP rules are about.
pub const WEB: u16 = 80;
pub const DATAGRAMS: u16 = 9000;

/// A lab with the suite's pods.
pub struct Scene {
    pub lab: Lab,
    pub name: String,
    pub topology: Topology,
    actors: BTreeMap<String, Actor>,
}

/// A pod, or `world`.
pub struct Actor {
    pub name: String,
    pub netns: String,
    pub v4: IpAddr,
    pub v6: IpAddr,
    pub mac: Mac,
    /// Where its default route leads.
    pub router: Mac,
    pub sender: Sender,
    pub ear: Ear,
}

/// Every lab that was made: statics are not dropped when the process ends.
static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

// === impl Scene ===

impl Scene {
    /// The lab of a topology that all tests share which leave it as it is.
    pub fn shared(topology: Topology) -> &'static Self {
        static SHARED: [OnceLock<Scene>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = &SHARED[usize::from(topology == Topology::Bridge)];
        place.get_or_init(|| Self::up(topology, true))
    }

    /// The same without Weir: what the wire does when nobody judges.
    pub fn plain(topology: Topology) -> &'static Self {
        static PLAIN: [OnceLock<Scene>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = &PLAIN[usize::from(topology == Topology::Bridge)];
        place.get_or_init(|| Self::up(topology, false))
    }

    /// A lab of a test's own; it goes when the process does.
    pub fn up(topology: Topology, weir: bool) -> Self {
        static AT_EXIT: Once = Once::new();
        sweep();
        // SAFETY: `remove_all` is a function for it, and needs nothing that is gone by then.
        AT_EXIT.call_once(|| unsafe {
            nix::libc::atexit(remove_all);
        });
        let name = free_name();
        MADE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.clone());
        let up = Lab::up(UpOptions {
            name: name.clone(),
            topology,
            yaml: vec![include_str!("scene.yaml").into()],
            weir,
            program: Some(WEIR.into()),
            ..UpOptions::default()
        });
        let (lab, report) = up.unwrap_or_else(|error| {
            panic!("these tests need root, BPF and network namespaces: {error:#}")
        });
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let actors = actors(&lab, &name, topology);
        let scene = Self {
            lab,
            name,
            topology,
            actors,
        };
        scene.settle();
        scene
    }

    pub fn actor(&self, name: &str) -> &Actor {
        let found = self.actors.get(name);
        found.unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    pub fn node_netns(&self) -> String {
        format!("weir-lab-{}-node", self.name)
    }

    /// Sends frames of one actor, one after the other.
    pub fn send(&self, from: &str, frames: &[Frame]) {
        stay();
        for frame in frames {
            self.actor(from).sender.send(frame);
        }
    }

    /// Whether the frames that were sent with a tag have come to an actor. What was sent before
    /// from this thread has come or will never come.
    pub fn came(&self, to: &str, tag: Tag) -> bool {
        self.fence();
        self.actor(to).ear.heard(tag)
    }

    /// Whether an actor hears the tag in an answer of another one's server. No answer is known when
    /// a datagram of the node, which always passes, has been answered by the same server.
    pub fn answered(&self, asker: &str, server: &str, tag: Tag, expected: bool) -> bool {
        let ear = &self.actor(asker).ear;
        self.fence();
        let deadline = Instant::now() + PATIENCE;
        while expected && !ear.heard(tag) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
        let to = SocketAddr::new(self.actor(server).v4, DATAGRAMS);
        enter(&self.node_netns(), |_| {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
            socket.send_to(b"fence", to).expect("a way to the pod");
            socket.recv_from(&mut [0; 16]).expect("its answer");
        });
        self.fence();
        ear.heard(tag)
    }

    /// The node's end of a pod's link, or the bridge.
    pub fn link(&self, pod: &str) -> String {
        match self.topology {
            Topology::Bridge => "cni0".into(),
            Topology::Routed => {
                let pod = self.lab.pod(pod).expect("the pod");
                pod.interface.expect("its link")
            }
        }
    }

    /// A datagram from `loud` to `open` goes the way that other frames went before, on the same
    /// processor, whose queues keep their order: when it has come, they are where they go.
    fn fence(&self) {
        let (from, to) = (self.actor("loud"), self.actor("open"));
        let tag = Tag::next();
        let at = |actor: &Actor| SocketAddr::new(actor.v4, DATAGRAMS);
        let ip = Ip::new(from.v4, to.v4, transport::UDP);
        let packet = ip.packet(&transport::udp(at(from), at(to), tag, 16));
        let link = match self.topology {
            Topology::Routed => from.router,
            Topology::Bridge => to.mac,
        };
        let frame = ethernet(link, from.mac, ip.ethertype(), &packet);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.send("loud", std::slice::from_ref(&frame));
            let again = Instant::now() + AGAIN;
            while Instant::now() < again {
                if to.ear.heard(tag) {
                    return;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        panic!("{}: a datagram to an open pod did not come", self.name);
    }

    /// Neighbours are known, so that nothing waits for their answers: to ask for an address is
    /// enough, whether the ping passes or not.
    fn settle(&self) {
        let pods = self.actors.values().filter(|actor| actor.name != "world");
        let addresses = pods.flat_map(|actor| [actor.v4, actor.v6]);
        std::thread::scope(|scope| {
            for address in addresses {
                scope.spawn(move || {
                    let address = address.to_string();
                    let words = ["ping", "-n", "-c", "1", "-W", "1", &address];
                    self.lab.exec("@node", &words).expect("ping");
                });
            }
        });
    }
}

// === impl Actor ===

impl Actor {
    pub fn address(&self, family: Family) -> IpAddr {
        if family.is_v6() { self.v6 } else { self.v4 }
    }
}

fn actors(lab: &Lab, name: &str, topology: Topology) -> BTreeMap<String, Actor> {
    let node = format!("weir-lab-{name}-node");
    let mac_of = |interface: &str| enter(&node, |inside| Sender::open(inside, interface).mac);
    let pods = lab.pods().expect("the pods").into_iter();
    let mut places: Vec<(String, String, String, Vec<IpAddr>)> = pods
        .filter(|pod| pod.namespace == "default")
        .map(|pod| {
            let link = pod.interface.expect("a link");
            (pod.name, pod.netns, link, pod.addresses)
        })
        .collect();
    if topology == Topology::Bridge {
        for place in &mut places {
            "cni0".clone_into(&mut place.2);
        }
    }
    let world = ["198.51.100.68", "2001:db8::68"].map(|text| text.parse().expect("an address"));
    let netns = format!("weir-lab-{name}-world");
    places.push(("world".into(), netns, "eth0".into(), world.to_vec()));
    let actor = |(name, netns, router, addresses): (String, String, String, Vec<IpAddr>)| {
        let open = |inside: &_| (Sender::open(inside, "eth0"), Ear::open(inside, "eth0"));
        let (sender, ear) = enter(&netns, open);
        let actor = Actor {
            router: mac_of(&router),
            mac: sender.mac,
            v4: addresses[0],
            v6: addresses[1],
            name: name.clone(),
            netns,
            sender,
            ear,
        };
        (name, actor)
    };
    places.into_iter().map(actor).collect()
}

/// Keeps this thread on the processor where it is: frames that it sends keep their order.
pub fn stay() {
    thread_local! {
        static STAYS: OnceLock<()> = const { OnceLock::new() };
    }
    STAYS.with(|stays| {
        stays.get_or_init(|| {
            let mut here = CpuSet::new();
            let processor = sched_getcpu().expect("a processor");
            here.set(processor).expect("its number");
            sched_setaffinity(Pid::from_raw(0), &here).expect("to stay on it");
        });
    });
}

extern "C" fn remove_all() {
    for name in MADE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Err(error) = Lab::remove(name) {
            eprintln!("lab {name} is still there: {error:#}");
        }
    }
}
