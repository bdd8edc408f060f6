//! What names resolve to, as endpoints have learnt it through the proxy: for how long, and kept
//! in a file so that a restarted agent still knows.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use weir_policy::{
    model::{Direction, Peer, Peers, Policy},
    names::NamePattern,
};

/// An address is kept at least this long: clients use an answer a moment after its time, too.
const SHORTEST: Duration = Duration::from_secs(10);
/// The most addresses of a name; the oldest go first.
const ADDRESSES: usize = 512;
/// The most names; what a further one resolves to stays denied until older ones have expired.
const NAMES: usize = 16_384;

/// Names and their addresses.
#[derive(Debug, Default)]
pub struct Names {
    file: PathBuf,
    known: Known,
}

/// Seconds since the Unix epoch until which an address is a name's.
type Known = BTreeMap<String, BTreeMap<IpAddr, u64>>;

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    names: Known,
}

impl Names {
    /// What an earlier agent knew; nothing where the file is missing or unreadable.
    pub fn load(file: &Path) -> Self {
        let stored = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice::<Stored>(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stored::default()),
            Err(error) => Err(error),
        };
        let stored = stored.unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "names that were learnt are forgotten");
            Stored::default()
        });
        Self {
            file: file.to_owned(),
            known: stored.names,
        }
    }

    /// Learns; tells whether an address came that was not known.
    pub fn learn(&mut self, name: &str, addresses: &[(IpAddr, u32)], now: SystemTime) -> bool {
        if addresses.is_empty() {
            return false;
        }
        if self.known.len() >= NAMES && !self.known.contains_key(name) {
            tracing::warn!(
                name,
                names = NAMES,
                "too many names are known: this one is not learnt"
            );
            return false;
        }
        let known = self.known.entry(name.to_owned()).or_default();
        let mut new = false;
        for (address, seconds) in addresses {
            let life = Duration::from_secs(u64::from(*seconds)).max(SHORTEST);
            let until = seconds_of(now) + life.as_secs();
            let entry = known.entry(*address).or_insert_with(|| {
                new = true;
                until
            });
            *entry = until.max(*entry);
        }
        while known.len() > ADDRESSES {
            let oldest = known.iter().min_by_key(|(_, until)| **until);
            let Some(oldest) = oldest.map(|(address, _)| *address) else {
                break;
            };
            known.remove(&oldest);
        }
        new
    }

    /// Whether some address is past its time.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        let now = seconds_of(now);
        self.known.values().flatten().any(|(_, until)| *until < now)
    }

    /// Forgets addresses past their time that no connection uses; tells whether any went.
    pub fn expire(&mut self, now: SystemTime, in_use: &HashSet<IpAddr>) -> bool {
        let now = seconds_of(now);
        let mut gone = false;
        for addresses in self.known.values_mut() {
            addresses.retain(|address, until| {
                let keep = *until >= now || in_use.contains(address);
                gone |= !keep;
                keep
            });
        }
        self.known.retain(|_, addresses| !addresses.is_empty());
        gone
    }

    /// As policy sees it.
    pub fn world(&self) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let names = self.known.iter();
        names
            .map(|(name, addresses)| (name.clone(), addresses.keys().copied().collect()))
            .collect()
    }

    /// Writes the file anew.
    pub fn store(&self) {
        let stored = Stored {
            names: self.known.clone(),
        };
        let partial = self.file.with_extension("partial");
        let written = serde_json::to_vec(&stored)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&partial, bytes))
            .and_then(|()| fs::rename(&partial, &self.file));
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "learnt names are not stored");
        }
    }
}

/// The names that policies are about.
pub fn patterns(policies: &[Policy]) -> Vec<NamePattern> {
    let specs = policies.iter().flat_map(|policy| &policy.specs);
    let rules = specs.flat_map(|spec| &spec.section(Direction::Egress).rules);
    let peers = rules.filter_map(|rule| match &rule.peers {
        Peers::OneOf(peers) => Some(peers),
        Peers::Any => None,
    });
    let names = peers.flatten().filter_map(|peer| match peer {
        Peer::Name(name) => Some(name.clone()),
        _ => None,
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_live_as_long_as_they_are_told_or_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.json");
        let mut names = Names::load(&file);
        let start = SystemTime::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let [one, two]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|a| a.parse().unwrap());
        assert!(names.learn("a.example", &[(one, 30), (two, 300)], start));
        assert!(!names.learn("a.example", &[(one, 60)], start));
        names.store();
        let mut names = Names::load(&file);
        assert_eq!(names.world()["a.example"], BTreeSet::from([one, two]));
        assert!(!names.has_expired(at(59)));
        assert!(names.has_expired(at(62)));
        assert!(!names.expire(at(62), &HashSet::from([one])), "in use");
        assert!(names.expire(at(62), &HashSet::new()));
        assert_eq!(names.world()["a.example"], BTreeSet::from([two]));
        assert!(names.expire(at(400), &HashSet::new()));
        assert!(names.world().is_empty());
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Names::load(&folder.path().join("names.json"));
        let now = SystemTime::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(!names.learn("empty.example", &[], now));
        assert!(names.world().is_empty());
        for number in 0..NAMES {
            assert!(names.learn(&format!("n{number}.example"), &[(address, 30)], now));
        }
        assert!(!names.learn("one-more.example", &[(address, 30)], now));
        assert_eq!(names.world().len(), NAMES);
        names.expire(now + Duration::from_secs(60), &HashSet::new());
        assert!(names.learn("one-more.example", &[(address, 30)], now));
    }

    #[test]
    fn a_broken_file_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("names.json");
        fs::write(&file, "{").unwrap();
        assert!(Names::load(&file).world().is_empty());
    }
}
