//! How full the maps are.

use crate::{
    programs::{Programs, ProgramsError},
    shares::Tracked,
};

/// Maps whose fill is told, the connection table last.
const FILLED: [&str; 6] = [
    "ENDPOINTS",
    "ADDRESSES",
    "POLICY",
    "SERVICES",
    "BACKENDS",
    "CONNTRACK",
];

/// How full a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Its name.
    pub map: &'static str,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it can hold.
    pub room: u64,
}

/// Entries that maps can hold, in the order of [`FILLED`].
#[derive(Debug, Clone, Copy)]
pub struct Rooms([u32; FILLED.len()]);

// === impl Rooms ===

impl Rooms {
    /// What the loaded maps can hold.
    pub fn of(programs: &Programs) -> Result<Self, ProgramsError> {
        let mut rooms = [0; FILLED.len()];
        for (room, map) in rooms.iter_mut().zip(FILLED) {
            *room = programs.room(map)?;
        }
        Ok(Self(rooms))
    }

    /// What the connection table can hold.
    pub fn conntrack(&self) -> u32 {
        let [.., conntrack] = self.0;
        conntrack
    }

    /// With the entries that policy made, in the same order, and with what is tracked.
    pub fn fill(&self, made: [usize; FILLED.len() - 1], tracked: Tracked) -> Vec<Fill> {
        let made = made.into_iter().map(|entries| entries as u64);
        let entries = made.chain([tracked.entries]);
        let maps = FILLED.into_iter().zip(entries).zip(self.0);
        maps.map(|((map, entries), room)| Fill {
            map,
            entries,
            room: room.into(),
        })
        .collect()
    }
}
