//! What names resolve to, as endpoints have learnt it through the proxy: which server said it to whom
//! and for how long, kept in a file so that a restarted agent still knows.

pub mod counts;
mod file;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use weir_policy::{
    l7::RequestFlow,
    model::{Answers, Direction, PodName, Protocol, address},
    names::Name,
};

/// An address is kept at least this long: clients use an answer a moment after its time, too.
const SHORTEST: Duration = Duration::from_secs(10);
/// And at most this long, whatever a server or a file says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The most addresses of one name from one server; those that end first go.
const OF_NAME: usize = 512;
/// The share of one pod, in addresses of all its names; those that end first go.
const OF_POD: usize = 4096;

/// Lines that are logged of one pod's answers in a minute; the metric counts all.
const LINES: u32 = 10;

/// A question, and the server that answered it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// As [`Name`] writes it.
    pub name: String,
    pub server: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// Seconds since the Unix epoch until which an address is a name's.
type Until = BTreeMap<IpAddr, u64>;
/// The answers that a pod has got.
type OfPod = BTreeMap<Question, Until>;

/// Names and their addresses.
#[derive(Debug, Default)]
pub struct Learnt {
    file: PathBuf,
    known: BTreeMap<PodName, OfPod>,
    /// The file is older than what is known.
    changed: bool,
    refused: HashMap<&'static str, u64>,
    /// Lines logged of each pod, and since when.
    logged: HashMap<PodName, (SystemTime, u32)>,
}

/// Why an answer, or an address in it, is not learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No DNS rule of the endpoint's lets it ask this server for the name.
    Unasked,
    /// The address is no host's elsewhere, or belongs to something in the cluster.
    Address,
}

// === impl Learnt ===

impl Learnt {
    /// What an earlier agent knew; nothing where the file is missing or unreadable.
    pub fn load(file: &Path, now: SystemTime) -> Self {
        let read = file::read(file);
        let stored = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "names that were learnt are forgotten");
            BTreeMap::new()
        });
        let mut names = Self {
            file: file.to_owned(),
            ..Self::default()
        };
        // The file is a door like any other.
        let latest = seconds_of(now) + LONGEST.as_secs();
        for (pod, answers) in stored {
            for (question, addresses) in answers {
                if Name::parse(&question.name).is_none() {
                    continue;
                }
                let good = addresses.into_iter().filter_map(|(address, until)| {
                    Some((address::learnable(address).ok()?, until.min(latest)))
                });
                let good: Vec<_> = good.collect();
                names.keep(&pod, &question, &good);
            }
        }
        names.changed = false;
        names
    }

    /// Learns what a pod was told; tells whether an address came that was not known. `taken` says
    /// which addresses belong to something in the cluster.
    pub fn learn(
        &mut self,
        pod: &PodName,
        question: &Question,
        addresses: &[(IpAddr, u32)],
        now: SystemTime,
        taken: impl Fn(IpAddr) -> bool,
    ) -> bool {
        let mut good = Vec::new();
        for (address, seconds) in addresses {
            match address::learnable(*address) {
                Ok(address) if !taken(address) => {
                    let life = Duration::from_secs(u64::from(*seconds));
                    let life = life.clamp(SHORTEST, LONGEST);
                    good.push((address, seconds_of(now) + life.as_secs()));
                }
                wrong => {
                    let why = wrong.err().map(|error| error.to_string());
                    let why = why.unwrap_or_else(|| format!("{address} is the cluster's"));
                    if self.may_log(pod, now) {
                        tracing::warn!(
                            %pod, name = question.name, server = %question.server, why,
                            "an address of a DNS answer is not learnt"
                        );
                    }
                    self.refuse(Refused::Address);
                }
            }
        }
        self.keep(pod, question, &good)
    }

    /// Servers choose what they answer: it shall not fill the log.
    fn may_log(&mut self, pod: &PodName, now: SystemTime) -> bool {
        let logged = self.logged.entry(pod.clone()).or_insert((now, 0));
        if now.duration_since(logged.0).unwrap_or_default() > Duration::from_secs(60) {
            *logged = (now, 0);
        }
        logged.1 += 1;
        logged.1 <= LINES
    }

    /// Counts something that is not learnt.
    pub fn refuse(&mut self, why: Refused) {
        *self.refused.entry(why.word()).or_default() += 1;
    }

    /// How much was not learnt, by reason.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let count = |why: Refused| self.refused.get(why.word()).copied().unwrap_or(0);
        [Refused::Unasked, Refused::Address]
            .map(|why| (why.word(), count(why)))
            .to_vec()
    }

    fn keep(&mut self, pod: &PodName, question: &Question, addresses: &[(IpAddr, u64)]) -> bool {
        if addresses.is_empty() {
            return false;
        }
        let of_pod = self.known.entry(pod.clone()).or_default();
        let known = of_pod.entry(question.clone()).or_default();
        let mut new = false;
        for (address, until) in addresses {
            let entry = known.entry(*address).or_insert_with(|| {
                new = true;
                *until
            });
            *entry = (*until).max(*entry);
        }
        while known.len() > OF_NAME {
            let first = known.iter().min_by_key(|(_, until)| **until);
            let first = first.map(|(address, _)| *address);
            first.and_then(|address| known.remove(&address));
        }
        while of_pod.values().map(Until::len).sum::<usize>() > OF_POD {
            let all = of_pod.iter().flat_map(|(question, addresses)| {
                let until = addresses.values().min();
                until.map(|until| (*until, question.clone()))
            });
            let Some((until, question)) = all.min() else {
                break;
            };
            if let Some(addresses) = of_pod.get_mut(&question) {
                addresses.retain(|_, other| *other != until);
            }
            of_pod.retain(|_, addresses| !addresses.is_empty());
        }
        self.changed = true;
        new
    }

    /// Whether some address is past its time.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        let now = seconds_of(now);
        let mut all = self.known.values().flat_map(BTreeMap::values).flatten();
        all.any(|(_, until)| *until < now)
    }

    /// Forgets addresses past their time that no connection of their pod uses; tells whether any
    /// went.
    pub fn expire(&mut self, now: SystemTime, in_use: impl Fn(&PodName, IpAddr) -> bool) -> bool {
        let now = seconds_of(now);
        let mut gone = false;
        for (pod, answers) in &mut self.known {
            for addresses in answers.values_mut() {
                addresses.retain(|address, until| {
                    let keep = *until >= now || in_use(pod, *address);
                    gone |= !keep;
                    keep
                });
            }
            answers.retain(|_, addresses| !addresses.is_empty());
        }
        self.known.retain(|_, answers| !answers.is_empty());
        self.logged.retain(|pod, _| self.known.contains_key(pod));
        self.changed |= gone;
        gone
    }

    /// Forgets answers that a pod would no longer be let ask for; tells whether any went.
    pub fn judge(&mut self, stays: impl Fn(&PodName, &Question) -> bool) -> bool {
        let mut gone = false;
        for (pod, answers) in &mut self.known {
            answers.retain(|question, _| {
                let keep = stays(pod, question);
                gone |= !keep;
                keep
            });
        }
        self.known.retain(|_, answers| !answers.is_empty());
        self.changed |= gone;
        gone
    }

    /// As policy sees it.
    pub fn world(&self) -> Answers {
        let mut world = Answers::new();
        for (pod, answers) in &self.known {
            let of_pod = world.entry(pod.clone()).or_default();
            for (question, addresses) in answers {
                let of_name = of_pod.entry(question.name.clone()).or_default();
                of_name.extend(addresses.keys());
            }
        }
        world
    }

    /// Whether the file is older than what is known.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Writes the file anew.
    pub fn store(&mut self) {
        self.changed = false;
        if let Err(error) = file::write(&self.file, &self.known) {
            tracing::warn!(%error, file = %self.file.display(), "learnt names are not stored");
        }
    }
}

// === impl Question ===

impl Question {
    /// The question of a flow.
    pub fn of(name: &str, flow: &RequestFlow) -> Self {
        Self {
            name: name.to_owned(),
            server: flow.peer,
            port: flow.port,
            protocol: flow.protocol,
        }
    }

    /// Its flow, for an endpoint of this index.
    pub fn flow(&self, endpoint: u16) -> RequestFlow {
        RequestFlow {
            endpoint,
            direction: Direction::Egress,
            peer: self.server,
            protocol: self.protocol,
            port: self.port,
        }
    }
}

// === impl Refused ===

impl Refused {
    fn word(self) -> &'static str {
        match self {
            Self::Unasked => "not allowed to ask",
            Self::Address => "address",
        }
    }
}

fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
