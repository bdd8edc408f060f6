//! The part of a snapshot that the proxy needs: who may send which request to whom.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    compile::{ClassId, DirectionSet, SetId, Snapshot, Verdict, Watches},
    http::{Asked, Request, matcher::PatternError},
    model::{Direction, HttpRule, L7, PodName, Protocol},
    names::NamePattern,
    reason::Reason,
};

mod judge;
mod list;
mod verdict;

pub use judge::{Judge, NameUse, Speaks};
pub(crate) use list::RuleList;
pub use verdict::{RequestFlow, RequestVerdict};

/// Everything the proxy decides from, at one revision.
///
/// Travels as [`Data`]; patterns are compiled on arrival.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Data")]
pub struct L7Table {
    #[serde(flatten)]
    data: Data,
    #[serde(skip)]
    endpoints: HashMap<u16, usize>,
    #[serde(skip)]
    addresses: HashMap<IpNet, ClassId>,
    /// Of IPv4 and of IPv6, the longest first.
    #[serde(skip)]
    prefix_lengths: [Vec<u8>; 2],
    #[serde(skip)]
    ports: HashMap<(SetId, Direction, ClassId), Vec<usize>>,
    #[serde(skip)]
    lists: Vec<Arc<RuleList>>,
}

/// An [`L7Table`] on its way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Data {
    /// The snapshot's revision.
    pub revision: u64,
    /// All endpoints: a connection that went through the proxy stays there when its HTTP rules go.
    endpoints: Vec<EndpointSet>,
    /// Class of each address prefix.
    addresses: Vec<(IpNet, ClassId)>,
    /// Verdicts on TCP ports that are not denied, and on UDP ports that the proxy decides on.
    ports: Vec<PortVerdict>,
    /// Rule lists that [`PortVerdict::rules`] points to.
    rules: Vec<Vec<OwnedRule>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndpointSet {
    index: u16,
    pod: PodName,
    set: SetId,
    /// Directions in which some policy speaks; the others are open.
    enforced: Vec<Direction>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PortVerdict {
    set: SetId,
    direction: Direction,
    class: ClassId,
    protocol: Protocol,
    first: u16,
    last: u16,
    verdict: Verdict,
    /// For `L7` and `L7Audit`: place in [`Data::rules`].
    rules: usize,
    /// Policies that decided.
    policies: Vec<String>,
    /// Of `L7Audit`: the rules only look.
    #[serde(default)]
    watched: bool,
}

/// The rules of one policy for a flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct OwnedRule {
    /// `Kind/NS/NAME`.
    pub policy: String,
    /// Where in the object the rule stands.
    pub place: String,
    /// What it lets pass.
    pub l7: Allowed,
}

/// An [`L7`] on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Allowed {
    Http(Vec<HttpRule>),
    Tls(Vec<NamePattern>),
    Dns(Vec<NamePattern>),
}

/// Rules of a set in one direction, by their places.
type RuleChoice = (SetId, Direction, Vec<usize>);

// === impl L7Table ===

impl L7Table {
    /// The table of a snapshot. `index` gives the index of an endpoint in the kernel's maps;
    /// endpoints without one are left out.
    pub fn new(snapshot: &Snapshot, index: impl Fn(&PodName) -> Option<u16>) -> Self {
        let mut data = Data {
            revision: snapshot.revision,
            ..Data::default()
        };
        let mut lists: HashMap<Vec<OwnedRule>, usize> = HashMap::new();
        // Many classes share the rules of a set: those are copied and compared once.
        let mut list_of: HashMap<RuleChoice, (usize, Vec<String>)> = HashMap::new();
        // Nothing looks into what the node says.
        for endpoint in snapshot.endpoints.iter().filter(|of| !of.is_host()) {
            let Some(set) = snapshot.sets.get(&endpoint.set) else {
                continue;
            };
            let Some(index) = index(&endpoint.pod) else {
                continue;
            };
            data.endpoints.push(EndpointSet {
                index,
                pod: endpoint.pod.clone(),
                set: endpoint.set,
                enforced: set.enforced().map(|(direction, _)| direction).collect(),
            });
        }
        for on in snapshot.verdicts(data.endpoints.iter().map(|endpoint| endpoint.set)) {
            for segment in on.segments.iter() {
                let verdict = segment.decision.verdict;
                let proxied = matches!(verdict, Verdict::L7 | Verdict::L7Audit);
                let protocol = match segment.slot.protocol() {
                    Some(Protocol::Tcp) if verdict != Verdict::Deny => Protocol::Tcp,
                    Some(Protocol::Udp) if proxied => Protocol::Udp,
                    _ => continue,
                };
                let decided = segment.decision.rules.clone();
                let (rules, policies) = list_of
                    .entry((on.set, on.direction, decided))
                    .or_insert_with_key(|(_, _, decided)| {
                        let (rules, policies) = owned(on.side, decided);
                        let next = lists.len();
                        (*lists.entry(rules).or_insert(next), policies)
                    })
                    .clone();
                data.ports.push(PortVerdict {
                    set: on.set,
                    direction: on.direction,
                    class: on.class,
                    protocol,
                    first: segment.first,
                    last: segment.last,
                    verdict,
                    rules,
                    policies,
                    watched: segment.decision.watched,
                });
            }
        }
        if !data.endpoints.is_empty() {
            data.addresses = snapshot
                .addresses
                .iter()
                .map(|(prefix, entry)| (*prefix, entry.class))
                .collect();
        }
        let mut ordered: Vec<_> = lists.into_iter().collect();
        ordered.sort_by_key(|(_, place)| *place);
        data.rules = ordered.into_iter().map(|(rules, _)| rules).collect();
        // INVARIANT: patterns of a parsed policy compile. Should one not, the empty table that
        // takes its place denies everything.
        let revision = data.revision;
        Self::try_from(data).unwrap_or_else(|_| Self {
            data: Data {
                revision,
                ..Data::default()
            },
            ..Self::default()
        })
    }

    /// The snapshot's revision.
    pub fn revision(&self) -> u64 {
        self.data.revision
    }

    /// Makes ready what the first requests would wait for. What was made ready for the same rules in
    /// the table before is taken over.
    pub fn prepare(&mut self, before: Option<&Self>) {
        let known: HashMap<&[OwnedRule], &Arc<RuleList>> = before
            .into_iter()
            .flat_map(|before| {
                before
                    .data
                    .rules
                    .iter()
                    .map(Vec::as_slice)
                    .zip(&before.lists)
            })
            .collect();
        for (rules, list) in self.data.rules.iter().zip(&mut self.lists) {
            match known.get(rules.as_slice()) {
                Some(same) => *list = Arc::clone(same),
                None => list.prepare(),
            }
        }
    }

    /// The pod that is an endpoint.
    pub fn pod(&self, index: u16) -> Option<&PodName> {
        let place = self.endpoints.get(&index)?;
        Some(&self.data.endpoints.get(*place)?.pod)
    }

    /// Whether an answer to this query may teach the endpoint what the name resolves to: a DNS rule
    /// of its own lets it ask this server for it.
    pub fn teaches(&self, flow: RequestFlow, name: &str) -> bool {
        flow.direction == Direction::Egress
            && self.before(flow).is_ok_and(|(_, list)| {
                let verdict = list.judge_name(NameUse::Dns, Some(name));
                // What an annotation shows is no rule of a policy: it opens no address.
                let rule = verdict.rule.filter(|rule| !rule.policy.is_empty());
                verdict.allowed && rule.is_some()
            })
    }

    fn class(&self, address: IpAddr) -> Option<ClassId> {
        let [v4, v6] = &self.prefix_lengths;
        let lengths = if address.is_ipv6() { v6 } else { v4 };
        lengths.iter().find_map(|length| {
            let prefix = IpNet::new(address, *length).ok()?.trunc();
            self.addresses.get(&prefix).copied()
        })
    }

    fn port(&self, set: SetId, flow: RequestFlow) -> Option<&PortVerdict> {
        let class = self.class(flow.peer)?;
        self.ports
            .get(&(set, flow.direction, class))?
            .iter()
            .filter_map(|place| self.data.ports.get(*place))
            .find(|port| {
                port.protocol == flow.protocol && (port.first..=port.last).contains(&flow.port)
            })
    }

    /// The verdict of what stands before any rule list, or the list that decides.
    fn before(&self, flow: RequestFlow) -> Result<(&PortVerdict, &RuleList), Box<RequestVerdict>> {
        let endpoint = self
            .endpoints
            .get(&flow.endpoint)
            .and_then(|place| self.data.endpoints.get(*place));
        let answer = |allowed, reason| Err(Box::new(RequestVerdict::because(allowed, reason)));
        let Some(endpoint) = endpoint else {
            return answer(false, Reason::Unknown("the endpoint".to_owned()));
        };
        if !endpoint.enforced.contains(&flow.direction) {
            return answer(true, Reason::Unselected(flow.direction));
        }
        let Some(port) = self.port(endpoint.set, flow) else {
            return answer(false, Reason::NoConnection);
        };
        let answer = |allowed, reason| {
            Err(Box::new(RequestVerdict {
                policies: port.policies.clone(),
                ..RequestVerdict::because(allowed, reason)
            }))
        };
        match port.verdict {
            Verdict::Allow | Verdict::Audit => answer(true, Reason::Plain),
            Verdict::Deny => answer(false, Reason::NoConnection),
            Verdict::L7 | Verdict::L7Audit => match self.lists.get(port.rules) {
                Some(list) => Ok((port, list)),
                None => answer(false, Reason::NoList),
            },
        }
    }

    fn decide(
        &self,
        flow: RequestFlow,
        decide: impl Fn(&RuleList) -> RequestVerdict,
    ) -> RequestVerdict {
        let (port, list) = match self.before(flow) {
            Ok(found) => found,
            Err(verdict) => return *verdict,
        };
        let mut verdict = match port.watched {
            true => decide(list).watched(),
            false => decide(list),
        };
        if verdict.policies.is_empty() {
            verdict.policies.clone_from(&port.policies);
        }
        match port.verdict {
            Verdict::L7Audit if port.watched => verdict,
            Verdict::L7Audit => verdict.audited(),
            _ => verdict,
        }
    }
}

impl Judge for L7Table {
    fn speaks(&self, flow: RequestFlow) -> Speaks {
        match self.before(flow) {
            Ok((port, list)) => Speaks {
                anything: port.verdict == Verdict::L7Audit,
                watched: port.watched,
                ..list.speaks()
            },
            Err(verdict) => Speaks {
                http: true,
                anything: verdict.allowed,
                watched: verdict.allowed,
                ..Speaks::default()
            },
        }
    }

    fn asked(&self, flow: RequestFlow) -> Arc<Asked> {
        match self.before(flow) {
            Ok((port, list)) if port.verdict == Verdict::L7 => Arc::clone(list.asked()),
            _ => Arc::default(),
        }
    }

    fn judge(&self, flow: RequestFlow, request: &Request<'_>) -> RequestVerdict {
        self.decide(flow, |list| list.judge(request))
    }

    fn judge_name(&self, flow: RequestFlow, usage: NameUse, name: Option<&str>) -> RequestVerdict {
        self.decide(flow, |list| list.judge_name(usage, name))
    }
}

impl TryFrom<Data> for L7Table {
    type Error = PatternError;

    fn try_from(data: Data) -> Result<Self, Self::Error> {
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        for (prefix, _) in &data.addresses {
            let lengths = match prefix {
                IpNet::V4(_) => &mut v4,
                IpNet::V6(_) => &mut v6,
            };
            lengths.insert(prefix.prefix_len());
        }
        let mut ports: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, port) in data.ports.iter().enumerate() {
            ports
                .entry((port.set, port.direction, port.class))
                .or_default()
                .push(place);
        }
        let lists = data
            .rules
            .iter()
            .map(|rules| RuleList::new(rules).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            endpoints: data
                .endpoints
                .iter()
                .enumerate()
                .map(|(place, endpoint)| (endpoint.index, place))
                .collect(),
            addresses: data.addresses.iter().copied().collect(),
            prefix_lengths: [v4, v6].map(|lengths| lengths.into_iter().rev().collect()),
            ports,
            lists,
            data,
        })
    }
}

/// What the proxy decides by of some rules of a direction, with their policies.
pub(crate) fn owned(side: &DirectionSet, rules: &[usize]) -> (Vec<OwnedRule>, Vec<String>) {
    let (mut list, mut policies) = (Vec::new(), Vec::new());
    let selected = rules.iter().filter_map(|index| side.rules.get(*index));
    for rule in selected {
        let policy = rule.object.to_string();
        if let Some(l7) = rule.l7.as_deref() {
            list.push(OwnedRule {
                policy: policy.clone(),
                place: rule.place.clone(),
                l7: match l7 {
                    L7::Http(rules) => Allowed::Http(rules.clone()),
                    L7::Tls(names) => Allowed::Tls(names.clone()),
                    L7::Dns(names) => Allowed::Dns(names.clone()),
                },
            });
        }
        if rule.watches != Watches::Only && !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    (list, policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> L7Table {
        let rules = paths.iter().map(|path| {
            vec![OwnedRule {
                policy: "NetworkPolicy/a/p".into(),
                place: "spec".into(),
                l7: Allowed::Http(vec![HttpRule {
                    path: Some((*path).into()),
                    ..HttpRule::default()
                }]),
            }]
        });
        let rules = rules.collect();
        L7Table::try_from(Data {
            rules,
            ..Data::default()
        })
        .expect("patterns")
    }

    #[test]
    fn what_was_ready_for_the_same_rules_is_taken_over() {
        let mut before = table(&["/a/.?", "/b/.?"]);
        before.prepare(None);
        let mut after = table(&["/c/.?", "/b/.?"]);
        after.prepare(Some(&before));
        assert!(Arc::ptr_eq(&after.lists[1], &before.lists[1]));
        let old = before.lists.iter();
        assert!(
            !old.into_iter()
                .any(|list| Arc::ptr_eq(list, &after.lists[0]))
        );
    }
}
