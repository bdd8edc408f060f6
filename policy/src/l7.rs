//! The part of a snapshot that the proxy needs: who may send which request to whom.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    compile::{ClassId, DirectionSet, SetId, Slot, Snapshot, Verdict},
    http::{Judge, Request, RequestFlow, RequestVerdict, matcher::Matcher},
    model::{Direction, HttpRule},
};

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
    #[serde(skip)]
    prefix_lengths: [Vec<u8>; 2],
    #[serde(skip)]
    ports: HashMap<(SetId, Direction, ClassId), Vec<usize>>,
    #[serde(skip)]
    matchers: Vec<Matcher>,
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
    /// Verdicts on TCP ports that are not denied.
    ports: Vec<PortVerdict>,
    /// Rule lists that [`PortVerdict::rules`] points to.
    rules: Vec<Vec<OwnedRule>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndpointSet {
    index: u16,
    name: String,
    set: SetId,
    /// Directions in which some policy speaks; the others are open.
    enforced: Vec<Direction>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PortVerdict {
    set: SetId,
    direction: Direction,
    class: ClassId,
    first: u16,
    last: u16,
    verdict: Verdict,
    /// For `Http`: place in [`Data::rules`].
    rules: usize,
    /// Policies that decided.
    policies: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct OwnedRule {
    policy: String,
    rule: HttpRule,
}

// === impl L7Table ===

impl L7Table {
    /// The table of a snapshot. `index` gives the index of an endpoint (`namespace`, `name`) in
    /// the kernel's maps; endpoints without one are left out.
    pub fn new(snapshot: &Snapshot, index: impl Fn(&str, &str) -> Option<u16>) -> Self {
        let mut data = Data {
            revision: snapshot.revision,
            ..Data::default()
        };
        let mut lists: HashMap<Vec<OwnedRule>, usize> = HashMap::new();
        let mut done: HashSet<SetId> = HashSet::new();
        for endpoint in &snapshot.endpoints {
            let Some(set) = snapshot.sets.get(&endpoint.set) else {
                continue;
            };
            let Some(index) = index(&endpoint.namespace, &endpoint.name) else {
                continue;
            };
            let sides = [
                (Direction::Ingress, &set.ingress),
                (Direction::Egress, &set.egress),
            ];
            let sides = sides.into_iter().filter(|(_, side)| side.enforced());
            data.endpoints.push(EndpointSet {
                index,
                name: format!("{}/{}", endpoint.namespace, endpoint.name),
                set: endpoint.set,
                enforced: sides.clone().map(|(direction, _)| direction).collect(),
            });
            if !done.insert(endpoint.set) {
                continue;
            }
            for (direction, side) in sides {
                for (class, atoms) in &snapshot.classes {
                    for segment in side.segments(atoms) {
                        let verdict = segment.decision.verdict;
                        if segment.slot != Slot::Tcp || verdict == Verdict::Deny {
                            continue;
                        }
                        let (rules, policies) = owned(side, &segment.decision.rules);
                        let next = lists.len();
                        data.ports.push(PortVerdict {
                            set: endpoint.set,
                            direction,
                            class: *class,
                            first: segment.first,
                            last: segment.last,
                            verdict,
                            rules: *lists.entry(rules).or_insert(next),
                            policies,
                        });
                    }
                }
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

    /// Name of an endpoint, `NAMESPACE/NAME`.
    pub fn endpoint_name(&self, index: u16) -> Option<&str> {
        let place = self.endpoints.get(&index)?;
        Some(&self.data.endpoints.get(*place)?.name)
    }

    fn class(&self, address: IpAddr) -> Option<ClassId> {
        let lengths = &self.prefix_lengths[usize::from(address.is_ipv6())];
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
            .find(|port| (port.first..=port.last).contains(&flow.port))
    }
}

impl Judge for L7Table {
    fn audits(&self, flow: RequestFlow) -> bool {
        self.endpoints
            .get(&flow.endpoint)
            .and_then(|place| self.data.endpoints.get(*place))
            .and_then(|endpoint| self.port(endpoint.set, flow))
            .is_some_and(|port| port.verdict == Verdict::HttpAudit)
    }

    fn judge(&self, flow: RequestFlow, request: &Request<'_>) -> RequestVerdict {
        let verdict = |allowed, policies, reason: &str| RequestVerdict {
            allowed,
            audit: false,
            policies,
            reason: reason.into(),
        };
        let endpoint = self
            .endpoints
            .get(&flow.endpoint)
            .and_then(|place| self.data.endpoints.get(*place));
        let Some(endpoint) = endpoint else {
            return verdict(false, Vec::new(), "the endpoint is not known");
        };
        if !endpoint.enforced.contains(&flow.direction) {
            return verdict(true, Vec::new(), "no policy selects the endpoint any more");
        }
        let Some(port) = self.port(endpoint.set, flow) else {
            return verdict(false, Vec::new(), "the connection is not allowed");
        };
        match port.verdict {
            Verdict::Allow | Verdict::Audit => verdict(
                true,
                port.policies.clone(),
                "a rule without HTTP rules allows the connection",
            ),
            Verdict::Deny => verdict(
                false,
                port.policies.clone(),
                "the connection is not allowed",
            ),
            Verdict::Http => self.judge_http(port, request),
            Verdict::HttpAudit => {
                let verdict = self.judge_http(port, request);
                RequestVerdict {
                    allowed: true,
                    audit: !verdict.allowed,
                    ..verdict
                }
            }
        }
    }
}

impl L7Table {
    fn judge_http(&self, port: &PortVerdict, request: &Request<'_>) -> RequestVerdict {
        let (matcher, owners) = match (
            self.matchers.get(port.rules),
            self.data.rules.get(port.rules),
        ) {
            (Some(matcher), Some(owners)) => (matcher, owners),
            _ => {
                return RequestVerdict {
                    allowed: false,
                    audit: false,
                    policies: port.policies.clone(),
                    reason: "its HTTP rules are missing".into(),
                };
            }
        };
        decide(
            matcher,
            |index| owners.get(index).map(|owned| owned.policy.clone()),
            request,
        )
        .unwrap_or_else(|reason| RequestVerdict {
            allowed: false,
            audit: false,
            policies: port.policies.clone(),
            reason,
        })
    }
}

/// The verdict of a rule list; `Err` is a denial's reason.
pub(crate) fn decide(
    matcher: &Matcher,
    owner: impl Fn(usize) -> Option<String>,
    request: &Request<'_>,
) -> Result<RequestVerdict, String> {
    if let Some(index) = matcher.first_match(request) {
        let policy = owner(index).unwrap_or_default();
        let place = matcher.rule(index).map_or("", |rule| rule.place.as_str());
        return Ok(RequestVerdict {
            allowed: true,
            audit: false,
            reason: format!("allowed by {policy} ({place})"),
            policies: vec![policy],
        });
    }
    Err(match matcher.nearest_miss(request) {
        Some(miss) => {
            let policy = owner(miss.rule).unwrap_or_default();
            let place = matcher
                .rule(miss.rule)
                .map_or("", |rule| rule.place.as_str());
            format!(
                "no HTTP rule matches; the nearest, {place} of {policy}, would but for {}",
                miss.failed.join(" and ")
            )
        }
        None => "no HTTP rule is in force for this port: all of them were refused".into(),
    })
}

impl TryFrom<Data> for L7Table {
    type Error = crate::http::matcher::PatternError;

    fn try_from(data: Data) -> Result<Self, Self::Error> {
        let mut lengths: [BTreeMap<u8, ()>; 2] = Default::default();
        for (prefix, _) in &data.addresses {
            let family = usize::from(matches!(prefix, IpNet::V6(_)));
            lengths[family].insert(prefix.prefix_len(), ());
        }
        let mut ports: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, port) in data.ports.iter().enumerate() {
            ports
                .entry((port.set, port.direction, port.class))
                .or_default()
                .push(place);
        }
        let matchers = data
            .rules
            .iter()
            .map(|rules| Matcher::new(rules.iter().map(|owned| owned.rule.clone())))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            endpoints: data
                .endpoints
                .iter()
                .enumerate()
                .map(|(place, endpoint)| (endpoint.index, place))
                .collect(),
            addresses: data.addresses.iter().copied().collect(),
            prefix_lengths: lengths.map(|lengths| lengths.into_keys().rev().collect()),
            ports,
            matchers,
            data,
        })
    }
}

/// The HTTP rules of some rules of a direction, with their policies.
fn owned(side: &DirectionSet, rules: &[usize]) -> (Vec<OwnedRule>, Vec<String>) {
    let (mut list, mut policies) = (Vec::new(), Vec::new());
    let selected = rules.iter().filter_map(|index| side.rules.get(*index));
    for rule in selected {
        let policy = rule.object.to_string();
        for http in rule.http.iter().flat_map(|http| http.iter()) {
            list.push(OwnedRule {
                policy: policy.clone(),
                rule: http.clone(),
            });
        }
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    (list, policies)
}
