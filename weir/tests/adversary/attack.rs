//! One attack, tried where it must fail and, as its control, where it must succeed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use weir_lab::Topology;

use crate::common::{FAMILIES, Family};
use crate::frame::ip::Ip;
use crate::frame::{Frame, ethernet};
use crate::scene::{Actor, Scene};
use crate::wire::{Mac, Tag};

/// From, to: what must not pass. Out of an egress-none pod; into pods behind a NetworkPolicy, an
/// HTTP rule, an Admin-tier deny, a rule for another pod; from outside.
const DENIED: [(&str, &str); 6] = [
    ("muted", "open"),
    ("loud", "closed"),
    ("loud", "web"),
    ("loud", "guarded"),
    ("loud", "private"),
    ("world", "closed"),
];

/// Where the same frames must arrive, which shows that they are what they should be.
#[derive(Clone, Copy)]
pub enum Control {
    /// At a pod that nothing isolates: an ordinary frame, only not here.
    Open,
    /// Where there is no Weir, on those ways where the kernel itself lets it through: Weir drops
    /// these frames whatever the policies are.
    Plain(fn(Family, Way) -> bool),
}

/// How a frame is addressed on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the node's IP stack.
    Router,
    /// By the bridge alone.
    Bridge,
}

/// What an attack is made of: one sender, one victim, one family, one way.
pub struct Shot<'a> {
    pub from: &'a Actor,
    pub to: &'a Actor,
    pub family: Family,
    pub topology: Topology,
    /// The link-layer destination.
    pub link: Mac,
    pub tag: Tag,
    /// A number that no other shot has, of 20,000.
    fresh: u16,
}

// === impl Way ===

impl Way {
    /// The ways that lead from pod to pod.
    pub fn of(topology: Topology) -> &'static [Self] {
        match topology {
            Topology::Routed => &[Self::Router],
            Topology::Bridge => &[Self::Router, Self::Bridge],
        }
    }
}

// === impl Shot ===

impl Shot<'_> {
    /// A port from 32768 up that no flow has had.
    pub fn high(&self) -> u16 {
        34_000 + self.fresh
    }

    /// The same below.
    pub fn low(&self) -> u16 {
        2_000 + self.fresh
    }

    pub fn source(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.from.address(self.family), port)
    }

    pub fn target(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.to.address(self.family), port)
    }

    pub fn ip(&self, protocol: u8) -> Ip {
        let [from, to] = [self.from, self.to].map(|actor| actor.address(self.family));
        Ip::new(from, to, protocol)
    }

    pub fn frame(&self, packet: &[u8]) -> Frame {
        let ethertype = self.ip(0).ethertype();
        ethernet(self.link, self.from.mac, ethertype, packet)
    }

    pub fn frames(&self, packets: &[Vec<u8>]) -> Vec<Frame> {
        packets.iter().map(|packet| self.frame(packet)).collect()
    }
}

/// What came of attacks, told all at once.
#[derive(Default)]
pub struct Findings {
    text: String,
}

// === impl Findings ===

impl Findings {
    pub fn add(&mut self, what: impl std::fmt::Display) {
        writeln!(self.text, "  {what}").expect("a String");
    }

    pub fn expect(&mut self, holds: bool, what: impl std::fmt::Display) {
        if !holds {
            self.add(what);
        }
    }

    /// Fails with everything that was found.
    pub fn none(self) {
        assert!(self.text.is_empty(), "\n{}", self.text);
    }
}

/// Tries what `make` makes of each shot on everything that is closed, and as its control where it
/// must arrive.
pub fn attack(
    topology: Topology,
    what: &str,
    control: Control,
    found: &mut Findings,
    make: impl Fn(&Shot<'_>) -> Vec<Frame>,
) {
    attack_in(&FAMILIES, topology, what, control, found, make);
}

/// The same in some families.
pub fn attack_in(
    families: &[Family],
    topology: Topology,
    what: &str,
    control: Control,
    found: &mut Findings,
    make: impl Fn(&Shot<'_>) -> Vec<Frame>,
) {
    let scene = Scene::shared(topology);
    for family in families.iter().copied() {
        for way in Way::of(topology) {
            let place =
                |from: &str, to: &str| format!("{what}, {family:?} {way:?}: {from} to {to}");
            let (open, expected) = match control {
                Control::Open => (scene, true),
                Control::Plain(passes) => (Scene::plain(topology), passes(family, *way)),
            };
            if expected {
                let arrived = shoot(open, "loud", "open", family, *way, &make);
                let said = "the control did not arrive";
                found.expect(arrived, format!("{}: {said}", place("loud", "open")));
            }
            for (from, to) in DENIED {
                if from == "world" && *way == Way::Bridge {
                    continue;
                }
                let arrived = shoot(scene, from, to, family, *way, &make);
                found.expect(!arrived, format!("{}: arrived", place(from, to)));
            }
        }
    }
}

/// Sends one shot; true if any of it arrives.
pub fn shoot(
    scene: &Scene,
    from: &str,
    to: &str,
    family: Family,
    way: Way,
    make: impl Fn(&Shot<'_>) -> Vec<Frame>,
) -> bool {
    let shot = aim(scene, from, to, family, way);
    let frames = make(&shot);
    assert!(!frames.is_empty(), "an attack without frames");
    scene.send(from, &frames);
    scene.came(to, shot.tag)
}

pub fn aim<'a>(scene: &'a Scene, from: &str, to: &str, family: Family, way: Way) -> Shot<'a> {
    static FRESH: AtomicU16 = AtomicU16::new(0);
    let (from, to) = (scene.actor(from), scene.actor(to));
    Shot {
        from,
        to,
        family,
        topology: scene.topology,
        link: match way {
            Way::Router => from.router,
            Way::Bridge => to.mac,
        },
        tag: Tag::next(),
        fresh: FRESH.fetch_add(1, Ordering::Relaxed) % 20_000,
    }
}
