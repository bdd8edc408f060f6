//! One flow in many guises: as fragments, in a tag, longer than it says, quoted by an error. The
//! engine judges the flow; a guise changes nothing but that some are never passed.

use proptest::{prelude::*, sample::select};

use crate::{
    bench::{Result, Way},
    packet::Craft,
};

/// What the engine says.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// Of the flow.
    pub flow: Result,
    /// Of an ICMP error with the same ends.
    pub error: Result,
    /// Whether nothing isolates the pod.
    pub free: bool,
}

/// How a packet is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    Plain,
    /// In two fragments, the second after the first and before it.
    Fragments,
    /// A first fragment that ends within the transport header.
    Tiny,
    /// A first fragment that is no multiple of eight bytes.
    Uneven,
    /// A tag of VLAN 0.
    Tagged,
    /// The IP header says less than the transport header needs.
    Short,
    /// The IP header says more than the frame holds.
    Long,
    /// Bytes behind the IP packet.
    Padded,
    /// From another source, or to another pod.
    Another,
    /// An ICMP error that quotes it, where nothing is tracked.
    Quoted,
    /// TCP only: what is no SYN.
    Middle,
    /// ARP or neighbour discovery for the other end's address.
    Neighbour,
}

const ALL: [Guise; Guise::COUNT] = [
    Guise::Plain,
    Guise::Fragments,
    Guise::Tiny,
    Guise::Uneven,
    Guise::Tagged,
    Guise::Short,
    Guise::Long,
    Guise::Padded,
    Guise::Another,
    Guise::Quoted,
    Guise::Middle,
    Guise::Neighbour,
];

impl Guise {
    pub const COUNT: usize = 12;

    /// Plain in half of the cases.
    pub fn any() -> impl Strategy<Value = Self> {
        prop_oneof![Just(Self::Plain), select(ALL.to_vec())]
    }

    /// The frames of a packet in this guise, each with what must become of it.
    pub fn frames(self, way: Way, packet: &Craft, fate: Fate) -> Vec<(Vec<u8>, Result)> {
        let verdict = fate.flow;
        let plain = packet.build();
        let v6 = packet.source.is_ipv6();
        let (length_at, header) = if v6 {
            (18, 54 + packet.extensions * 8)
        } else {
            (16, 34 + packet.options * 4)
        };
        let lying = |length: usize| {
            let mut frame = plain.clone();
            frame[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
            frame
        };
        // What the length counts from.
        let base = if v6 { 54 } else { 14 };
        let id = u32::from(packet.source_port) + 0x10000 * u32::from(v6);
        let mut first = packet.clone();
        first.payload = vec![0; 44];
        first.fragment = Some((0, true, id));
        match self {
            Self::Plain => vec![(plain, verdict)],
            Self::Fragments => {
                // Whole units, whatever the transport header takes.
                let odd = first.build().len() % 8;
                let header = header + if v6 { 8 } else { 0 };
                first.payload.truncate(44 - (odd + 8 - header % 8) % 8);
                let mut later = first.clone();
                later.fragment = Some((40, false, id));
                let (first, later) = (first.build(), later.build());
                vec![
                    (later.clone(), Result::Drop),
                    (first, verdict),
                    (later, verdict),
                ]
            }
            Self::Tiny => {
                let mut frame = first.build();
                let header = header + if v6 { 8 } else { 0 };
                let keep = if packet.protocol == 6 { 16 } else { 0 };
                frame.truncate(header + keep);
                let length = (frame.len() - base) as u16;
                frame[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
                vec![(frame, Result::Drop)]
            }
            Self::Uneven => {
                let header = header + if v6 { 8 } else { 0 };
                let mut frame = first.build();
                if (frame.len() - header).is_multiple_of(8) {
                    frame.pop();
                }
                let length = (frame.len() - base) as u16;
                frame[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
                vec![(frame, Result::Drop)]
            }
            Self::Tagged => {
                let tagged = [&plain[..12], &[0x81, 0, 0, 0], &plain[12..]].concat();
                vec![(tagged, Result::Drop)]
            }
            Self::Short => vec![(lying(header - base + 4), Result::Drop)],
            Self::Long => vec![(lying(plain.len() - base + 1), Result::Drop)],
            Self::Padded => vec![([plain, vec![0xff; 40]].concat(), verdict)],
            Self::Another => {
                let mut other = packet.clone();
                let stranger = if v6 { "2001:db8:77::7" } else { "203.0.113.77" };
                let stranger = stranger.parse().expect("an address");
                match way {
                    Way::FromPod | Way::FromHost => other.source = stranger,
                    Way::ToPod | Way::ToHost => other.destination = stranger,
                }
                vec![(other.build(), Result::Drop)]
            }
            Self::Quoted => {
                let mut error = packet.clone();
                (error.options, error.extensions) = (0, 0);
                error.protocol = if v6 { 58 } else { 1 };
                error.detail = if v6 { 1 } else { 3 };
                error.payload = plain[14..].to_vec();
                vec![(error.build(), fate.error)]
            }
            Self::Middle if packet.protocol == 6 => {
                let frame = packet.clone().detail(16).build();
                vec![(
                    frame,
                    if fate.free {
                        Result::Pass
                    } else {
                        Result::Drop
                    },
                )]
            }
            Self::Middle => vec![(plain, verdict)],
            // Whose a link-local address is that no node has, nobody knows.
            Self::Neighbour if is_link_local(packet.destination) => Vec::new(),
            Self::Neighbour => vec![(neighbour(packet, way), neighbours_fate(way))],
        }
    }
}

fn is_link_local(address: std::net::IpAddr) -> bool {
    matches!(address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The sender says that it has the other end's address.
fn neighbour(packet: &Craft, way: Way) -> Vec<u8> {
    let claimed = match way {
        Way::FromPod | Way::FromHost => packet.destination,
        Way::ToPod | Way::ToHost => packet.source,
    };
    match claimed {
        std::net::IpAddr::V4(claimed) => {
            let mut frame = vec![0xff; 6];
            let own = [2, 0, 0, 0, 0, 2];
            frame.extend(own);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            frame.extend(own);
            frame.extend(claimed.octets());
            frame.extend([0; 6]);
            frame.extend(claimed.octets());
            frame
        }
        std::net::IpAddr::V6(claimed) => {
            let mut advert = packet.clone();
            advert.extensions = 0;
            advert.protocol = 58;
            advert.detail = 136;
            (advert.source_port, advert.destination_port) = (0, 0);
            advert.payload = [&claimed.octets()[..], &[2, 1, 2, 0, 0, 0, 0, 2]].concat();
            if way == Way::FromPod {
                advert.destination = "ff02::1".parse().expect("a group");
            }
            advert.build()
        }
    }
}

/// A pod may not; what comes from the link is not the pod's to prove.
fn neighbours_fate(way: Way) -> Result {
    match way {
        Way::FromPod | Way::FromHost => Result::Drop,
        Way::ToPod | Way::ToHost => Result::Pass,
    }
}
