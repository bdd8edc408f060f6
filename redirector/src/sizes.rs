//! How many entries the kernel maps have room for. They bound the kernel memory of a node, and what
//! has no room is refused, never opened.

use std::{collections::BTreeMap, fmt::Write as _, str::FromStr};

/// A map whose room can be chosen.
#[derive(Debug)]
struct Sizable {
    /// As users write it.
    name: &'static str,
    /// The kernel maps that have this room.
    maps: &'static [&'static str],
    least: u32,
    most: u32,
}

/// Addresses and verdicts of a small cluster fit into the least; the most keeps one map below a few
/// gigabytes. Endpoints are numbered in 16 bits of the packet's mark.
static SIZABLE: [Sizable; 6] = [
    sizable("endpoints", &["ENDPOINTS", "INTERFACES"], 16, 65_535),
    sizable("addresses", &["ADDRESSES"], 64, 1 << 24),
    sizable("policy", &["POLICY"], 64, 1 << 24),
    sizable("services", &["SERVICES"], 64, 1 << 24),
    sizable("backends", &["BACKENDS"], 64, 1 << 24),
    sizable("conntrack", &["CONNTRACK", "SLOTS"], 1024, 1 << 24),
];

/// Rooms of maps that are other than the defaults (`ebpf/src/maps.rs`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapSizes {
    chosen: BTreeMap<&'static str, MapSize>,
}

/// The room of one map, as `NAME=ENTRIES`.
#[derive(Debug, Clone, Copy)]
pub struct MapSize {
    of: &'static Sizable,
    entries: u32,
}

const fn sizable(
    name: &'static str,
    maps: &'static [&'static str],
    least: u32,
    most: u32,
) -> Sizable {
    Sizable {
        name,
        maps,
        least,
        most,
    }
}

// === impl MapSize ===

impl PartialEq for MapSize {
    fn eq(&self, other: &Self) -> bool {
        (self.of.name, self.entries) == (other.of.name, other.entries)
    }
}

impl Eq for MapSize {}

impl FromStr for MapSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, entries) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not NAME=ENTRIES"))?;
        let of = SIZABLE.iter().find(|of| of.name == name).ok_or_else(|| {
            let names: Vec<&str> = SIZABLE.iter().map(|of| of.name).collect();
            format!("`{name}` is none of {}", names.join(", "))
        })?;
        let entries = entries
            .parse()
            .ok()
            .filter(|entries| (of.least..=of.most).contains(entries))
            .ok_or_else(|| format!("{name}: a number from {} to {}", of.least, of.most))?;
        Ok(Self { of, entries })
    }
}

// === impl MapSizes ===

impl MapSizes {
    /// Kernel maps with the entries that they shall have.
    pub fn maps(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let each = self.chosen.values();
        each.flat_map(|size| size.of.maps.iter().map(|map| (*map, size.entries)))
    }

    /// What tells pins of these sizes from others; empty for the defaults. A pinned map keeps its
    /// size, so other sizes are other maps.
    pub fn suffix(&self) -> String {
        self.chosen
            .iter()
            .fold(String::new(), |mut text, (name, size)| {
                write!(text, "-{name}{}", size.entries).expect("writing to a string");
                text
            })
    }
}

impl FromIterator<MapSize> for MapSizes {
    fn from_iter<I: IntoIterator<Item = MapSize>>(sizes: I) -> Self {
        let chosen = sizes.into_iter().map(|size| (size.of.name, size));
        Self {
            chosen: chosen.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &[&str]) -> MapSizes {
        text.iter()
            .map(|size| size.parse::<MapSize>().unwrap())
            .collect()
    }

    #[test]
    fn other_sizes_are_other_pins() {
        assert_eq!(sizes(&[]).suffix(), "");
        let chosen = sizes(&["policy=1024", "endpoints=256", "policy=2048"]);
        assert_eq!(chosen.suffix(), "-endpoints256-policy2048");
        assert_eq!(chosen, sizes(&["endpoints=256", "policy=2048"]));
        let maps: Vec<_> = chosen.maps().collect();
        assert_eq!(
            maps,
            [("ENDPOINTS", 256), ("INTERFACES", 256), ("POLICY", 2048)]
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, reason) in [
            ("policy", "not NAME=ENTRIES"),
            ("verdicts=5", "none of endpoints, addresses"),
            ("policy=1", "a number from 64 to 16777216"),
            ("policy=-1", "a number from"),
            ("policy=many", "a number from"),
            ("endpoints=65536", "16 to 65535"),
        ] {
            let said = text.parse::<MapSize>().unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }
}
