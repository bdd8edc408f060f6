//! Each endpoint's share of the connection table: how large it is, and what becomes of it when the
//! endpoint goes. See `weir_abi::conntrack`.

use aya::maps::{HashMap, Map, MapData, MapError};
use weir_abi::conntrack::{Connection, ConnectionKey, Share, SlotKey};

use crate::{
    maps::Maps,
    pins::Pins,
    redirector::monotonic,
    sweep::SweepError,
    sync::{SyncError, failed, gone},
};

/// Endpoints for which there is always room: few get no more than this makes possible, so that
/// shares do not shrink with each new pod.
const FEWEST: usize = 16;
/// Slots are numbered in 16 bits; CPUs that take one at the same moment may go a little beyond.
const MOST: u32 = 60_000;
/// Even the smallest share lets a pod work.
const LEAST: u32 = 64;

/// What the connection table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Entries of every kind, also of flows that have ended.
    pub entries: u64,
    /// Flows that live.
    pub flows: u64,
}

/// How many entries each of so many endpoints may have in a table of `room` entries. In powers of
/// two, so that it rarely changes.
pub fn share(room: u32, endpoints: usize) -> u32 {
    let endpoints = endpoints.max(FEWEST).next_power_of_two();
    let each = room / u32::try_from(endpoints).unwrap_or(u32::MAX);
    each.clamp(LEAST, MOST)
}

/// Counts what the connection table holds, beside whoever changes it: that takes a second for a
/// million entries.
pub struct Tally(HashMap<MapData, ConnectionKey, Connection>);

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").finish_non_exhaustive()
    }
}

// === impl Tally ===

impl Tally {
    /// Opens what an agent has pinned.
    ///
    /// # Errors
    /// [`SweepError::Map`] where there is no such table.
    pub fn open(pins: &Pins) -> Result<Self, SweepError> {
        let failed = |source| SweepError::Map {
            name: "CONNTRACK",
            source,
        };
        let pinned = MapData::from_pin(pins.maps().join("CONNTRACK")).map_err(failed)?;
        let table = HashMap::try_from(Map::HashMap(pinned)).map_err(failed)?;
        Ok(Self(table))
    }

    /// Counts what is tracked now.
    pub fn count(&self) -> Tracked {
        count(&self.0, monotonic())
    }
}

/// Counts what a table holds. `now`: monotonic, in ns.
fn count(table: &HashMap<MapData, ConnectionKey, Connection>, now: u64) -> Tracked {
    let mut tracked = Tracked::default();
    for (key, entry) in table.iter().filter_map(Result::ok) {
        tracked.entries += 1;
        let idle = now.saturating_sub(entry.last_seen);
        tracked.flows += u64::from(key.is_flow() && idle <= key.lifetime(&entry));
    }
    tracked
}

// === impl Maps ===

impl Maps {
    #[cfg(feature = "testing")]
    /// Counts what is tracked. `now`: monotonic, in ns.
    pub fn tracked(&self, now: u64) -> Tracked {
        count(&self.conntrack, now)
    }

    /// Takes from an endpoint what it has beyond `keep` slots; all of it where it is gone.
    pub(crate) fn cut_share(&mut self, endpoint: u16, keep: u32) -> Result<(), SyncError> {
        let index = u32::from(endpoint);
        let share = self.shares.get(&index, 0);
        let length = share.map_err(failed("SHARES", "look"))?.length;
        if length <= keep {
            return Ok(());
        }
        let shorter = Share {
            length: keep,
            hand: 0,
        };
        // First, so that no new entry takes one of the slots that go.
        self.shares
            .set(index, shorter, 0)
            .map_err(failed("SHARES", "cut"))?;
        for slot in keep..length.min(u32::from(u16::MAX) + 1) {
            let slot = SlotKey {
                endpoint,
                slot: slot as u16,
            };
            match self.slots.get(&slot, 0) {
                Ok(key) => {
                    gone(self.streams.remove(&key)).map_err(failed("STREAMS", "removal"))?;
                    gone(self.conntrack.remove(&key)).map_err(failed("CONNTRACK", "removal"))?;
                    gone(self.slots.remove(&slot)).map_err(failed("SLOTS", "removal"))?;
                }
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed("SLOTS", "look")(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_fit_into_the_table() {
        for room in [1024, 4096, 65_536, 1_048_576, 1 << 24] {
            for endpoints in [0, 1, 15, 16, 17, 100, 110, 250, 1000] {
                let each = share(room, endpoints);
                assert!((LEAST..=MOST).contains(&each), "{room} {endpoints}: {each}");
                let all = u64::from(each) * endpoints as u64;
                assert!(
                    all <= u64::from(room) || each == LEAST,
                    "{room} {endpoints}"
                );
            }
        }
    }

    #[test]
    fn a_new_pod_rarely_changes_the_others_shares() {
        let changes = (1..250)
            .filter(|count| share(1 << 20, *count) != share(1 << 20, count + 1))
            .count();
        assert!(changes <= 4, "{changes}");
    }
}
