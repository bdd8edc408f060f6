//! Flows that have ended. The programs tell of an end when they see it; a flow whose time is over,
//! or whose endpoint goes, sends no packet any more, so somebody has to look for it. Looking runs in
//! the kernel (`sweep`), in step with the programs.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, HashMap, Map, MapData, MapError},
    programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions},
};
use weir_abi::{
    conntrack::{MOST_SLOTS, Share},
    event::{SWEPT, Sweep},
    policy::Endpoint,
};

use crate::pins::Pins;

/// The whole table is looked through no more often.
const ROUND: Duration = Duration::from_secs(5);
/// Runs of one turn, of some 10 µs each where all of their slots are taken.
const RUNS: usize = 64;
/// An Ethernet header stands before what `sweep` reads.
const BEFORE: usize = 14;

/// Something that sweeping needs is not there.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A map.
    #[error("map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The program.
    #[error("program sweep: {0}")]
    Program(#[from] ProgramError),
}

/// Looks through the connection table, a piece at a time.
pub struct Sweeper {
    program: SchedClassifier,
    endpoints: HashMap<MapData, u32, Endpoint>,
    shares: Array<MapData, Share>,
    /// What is left of this round.
    left: VecDeque<Sweep>,
    began: Option<Instant>,
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper")
            .field("left", &self.left.len())
            .finish_non_exhaustive()
    }
}

// === impl Sweeper ===

impl Sweeper {
    /// Opens what an agent has pinned.
    pub fn open(pins: &Pins) -> Result<Self, SweepError> {
        let map = |name: &'static str| {
            let failed = |source| SweepError::Map { name, source };
            MapData::from_pin(pins.maps().join(name)).map_err(failed)
        };
        let failed = |name| move |source| SweepError::Map { name, source };
        let endpoints = Map::HashMap(map("ENDPOINTS")?);
        let shares = Map::Array(map("SHARES")?);
        Ok(Self {
            program: SchedClassifier::from_pin(pins.sweep())?,
            endpoints: HashMap::try_from(endpoints).map_err(failed("ENDPOINTS"))?,
            shares: Array::try_from(shares).map_err(failed("SHARES"))?,
            left: VecDeque::new(),
            began: None,
        })
    }

    /// Looks at the next piece. To be called every second or so.
    pub fn turn(&mut self) -> Result<(), SweepError> {
        if self.left.is_empty() && self.began.is_none_or(|began| began.elapsed() >= ROUND) {
            self.began = Some(Instant::now());
            for (_, endpoint) in self.endpoints.iter().filter_map(Result::ok) {
                let share = self.shares.get(&endpoint.index.into(), 0);
                let share = share.map_err(|source| SweepError::Map {
                    name: "SHARES",
                    source,
                })?;
                self.left.extend(ring(endpoint.index, share, false));
            }
        }
        let piece = RUNS.min(self.left.len());
        for asked in self.left.drain(..piece) {
            run(&self.program, &asked)?;
        }
        Ok(())
    }
}

/// What to ask to have an endpoint's whole ring looked at.
pub(crate) fn ring(endpoint: u16, share: Share, all: bool) -> impl Iterator<Item = Sweep> {
    let slots = share.length.min(MOST_SLOTS);
    (0..slots.div_ceil(SWEPT)).map(move |piece| Sweep {
        endpoint: endpoint.into(),
        from: piece * SWEPT,
        all: all.into(),
    })
}

/// Has the kernel look at a piece.
pub(crate) fn run(program: &SchedClassifier, asked: &Sweep) -> Result<(), ProgramError> {
    let mut data = [0u8; BEFORE + size_of::<Sweep>()];
    for (place, word) in [asked.endpoint, asked.from, asked.all]
        .into_iter()
        .enumerate()
    {
        let at = BEFORE + place * 4;
        data[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let mut options = TestRunOptions::new();
    options.data_in = Some(&data);
    program.test_run(options).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_of_a_ring_is_looked_at_once() {
        let asked = |length| -> Vec<u32> {
            let share = Share { length, hand: 3 };
            ring(7, share, true).map(|asked| asked.from).collect()
        };
        assert_eq!(asked(0), [0u32; 0]);
        assert_eq!(asked(1), [0]);
        assert_eq!(asked(SWEPT), [0]);
        assert_eq!(asked(SWEPT + 1), [0, SWEPT]);
        assert_eq!(asked(u32::MAX).len(), 256, "slots have 16 bits");
    }
}
