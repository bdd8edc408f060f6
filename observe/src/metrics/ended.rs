//! What is counted of flows when they end.

use prometheus::IntCounterVec;
use weir_abi::{event::Ended, policy::direction};

use super::{family::Family, labels::ends, registry::Documented};
use crate::{names::Directory, record};

/// The families about ended flows.
#[derive(Debug)]
pub struct EndedMetrics {
    ended: Family<IntCounterVec>,
    packets: Family<IntCounterVec>,
    bytes: Family<IntCounterVec>,
}

impl EndedMetrics {
    /// `with_ends` puts the labels of both ends behind others.
    pub fn new(
        all: &mut Documented,
        with_ends: impl Fn(&[&'static str]) -> Vec<&'static str>,
    ) -> Self {
        Self {
            ended: all.counters(
                "weir_flows_ended_total",
                "Flows that ended, by how and by the direction of the endpoint that counted them; one between two pods of a node counts at both.",
                &with_ends(&["direction", "end"]),
            ),
            packets: all.counters(
                "weir_flow_packets_total",
                "Packets of flows, counted when the flow ends; way is sent for those of the side that opened it (source), received for the other's.",
                &with_ends(&["direction", "way"]),
            ),
            bytes: all.counters(
                "weir_flow_bytes_total",
                "Bytes of the same from the IP header on.",
                &with_ends(&["direction", "way"]),
            ),
        }
    }

    pub fn ended(&mut self, ended: &Ended, names: &Directory) {
        let (source, destination) = record::opened_by(ended);
        let (source, destination) = (names.end(source), names.end(destination));
        let ends = ends(Some(&source), Some(&destination), false);
        let ends = ends.each_ref().map(String::as_str);
        let direction = match ended.entry.direction {
            direction::INGRESS => "ingress",
            _ => "egress",
        };
        let how = record::word(record::end(&ended.entry));
        self.ended.add(&[&[direction, how], &ends[..]].concat(), 1);
        let counted = record::counted(&ended.entry);
        for (way, counted) in ["sent", "received"].into_iter().zip(counted) {
            let labels = [&[direction, way], &ends[..]].concat();
            self.packets.add(&labels, counted.packets);
            self.bytes.add(&labels, counted.bytes);
        }
    }

    pub fn families(&mut self) -> [&mut Family<IntCounterVec>; 3] {
        [&mut self.ended, &mut self.packets, &mut self.bytes]
    }
}
