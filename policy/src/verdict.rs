//! The verdict on a whole flow, both ends, with its reasons: what `weir simulate` and
//! `weir explain` print. It is given by the same compiled snapshot that the kernel and the proxy
//! decide from.

mod host;
mod lists;
mod side;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub(crate) use lists::Lists;
pub(crate) use side::{judge_request, judged_port, slot};

use crate::{
    compile::{Compiler, Local, Snapshot},
    model::{Direction, Pod, PodName, Protocol, World, address},
    nearest::{NearestMiss, View},
    reason::{Reason, RuleRef, sentence},
};

/// A flow to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Who opens it: `NAMESPACE/POD` or an address.
    pub from: String,
    /// To whom: `NAMESPACE/POD` or an address, which may be a service's.
    pub to: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Destination port: the endpoint's, or the service's where `to` is a service's address.
    /// Not for ICMP.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its name in its place: a container's port, or the service's; for an explanation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,
    /// A request on it; TCP only.
    #[serde(default)]
    pub http: Option<HttpRequest>,
}

/// A request on a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// Method; `GET` where missing.
    #[serde(default = "get")]
    pub method: String,
    /// Path with its query string; `/` where missing.
    #[serde(default = "root")]
    pub path: String,
    /// Host; the destination as written where missing.
    #[serde(default)]
    pub host: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What happens to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passes.
    Allow,
    /// The connection passes, the request is answered with 403.
    HttpDeny,
    /// Its packets are dropped.
    Deny,
}

/// The verdict on a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct FlowVerdict {
    /// What the client sees.
    pub verdict: Outcome,
    /// What the rules of the client say.
    pub egress: SideVerdict,
    /// What the rules of the server say.
    pub ingress: SideVerdict,
}

/// The verdict of one end's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideVerdict {
    /// The verdict.
    pub verdict: Outcome,
    /// It passes only because the policies that would deny it are in audit mode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// The policies that decided; for a denial by default those that select the endpoint.
    pub policies: Vec<String>,
    /// The rules that decided, of HTTP rules the entry; empty where a default did.
    pub decided_by: Vec<RuleRef>,
    /// One sentence.
    pub reason: String,
    /// For what a default denied: the rule that would allow it if the least were different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<NearestMiss>,
}

/// A flow that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// Not JSON, or not a flow.
    #[error("not a flow: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// No such pod.
    #[error("`{field}`: no pod `{name}`; give NAMESPACE/POD or an address")]
    UnknownPod {
        /// `from` or `to`.
        field: &'static str,
        /// As written.
        name: String,
    },
    /// A pod without an address.
    #[error("`{field}`: pod `{name}` has no address that fits the other end")]
    NoAddress {
        /// `from` or `to`.
        field: &'static str,
        /// The pod.
        name: String,
    },
    /// No port.
    #[error("`port` is missing: {protocol} needs one, 1 to 65535")]
    NoPort {
        /// The flow's protocol.
        protocol: Protocol,
    },
    /// A request on something that is not TCP.
    #[error("`http` needs protocol TCP, not {protocol}")]
    HttpWithoutTcp {
        /// The flow's protocol.
        protocol: Protocol,
    },
    /// One address is IPv4, the other IPv6.
    #[error("`{from}` and `{to}` are not of one address family")]
    Families {
        /// The client.
        from: IpAddr,
        /// The server.
        to: IpAddr,
    },
    /// The backends of a service get different verdicts.
    #[error("the backends of `{service}` get different verdicts: {verdicts}")]
    BackendsDiffer {
        /// The service's address.
        service: IpAddr,
        /// Each backend's.
        verdicts: String,
    },
}

/// Judges flows of one world.
#[derive(Debug)]
pub struct Simulator<'a> {
    world: &'a World,
    pods: HashMap<PodName, usize>,
    owners: HashMap<IpAddr, usize>,
    /// Nodes as endpoints, by name.
    hosts: HashMap<String, Arc<Pod>>,
    /// One snapshot for each node that counts as an endpoint's own.
    snapshots: HashMap<String, OfNode>,
    /// Whether connections that a default denies are told their nearest miss.
    nearest: bool,
}

/// What the pods of a node are judged by.
#[derive(Debug)]
struct OfNode {
    snapshot: Snapshot,
    lists: Lists,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub pod: Option<&'a Pod>,
    pub address: IpAddr,
}

fn get() -> String {
    "GET".into()
}

fn root() -> String {
    "/".into()
}

// === impl Simulator ===

impl<'a> Simulator<'a> {
    /// Judges flows of this world.
    pub fn new(world: &'a World) -> Self {
        let mut owners = HashMap::new();
        let mut pods = HashMap::new();
        for (index, pod) in world.pods.iter().enumerate() {
            pods.insert(pod.id(), index);
            for address in pod.addresses.iter().filter(|_| !pod.host_network) {
                owners.insert(*address, index);
            }
        }
        let hosts = world.nodes.iter().filter_map(|node| {
            let host = world.host(&node.name)?;
            Some((node.name.clone(), Arc::new(host)))
        });
        Self {
            world,
            pods,
            owners,
            hosts: hosts.collect(),
            snapshots: HashMap::new(),
            nearest: true,
        }
    }

    /// The same without the nearest misses of connections, each of which takes a walk over all
    /// policies: for many flows of which only the outcome counts.
    pub fn brief(world: &'a World) -> Self {
        Self {
            nearest: false,
            ..Self::new(world)
        }
    }

    /// Judges a flow given as one line of JSON.
    pub fn judge_line(&mut self, line: &str) -> Result<FlowVerdict, FlowError> {
        let flow: Flow = serde_json::from_str(line).map_err(|error| FlowError::Malformed {
            reason: error.to_string(),
        })?;
        self.judge(&flow)
    }

    /// Judges a flow.
    pub fn judge(&mut self, flow: &Flow) -> Result<FlowVerdict, FlowError> {
        let port = match (flow.protocol, flow.port) {
            (Protocol::Icmp | Protocol::Icmpv6, _) => 0,
            (_, Some(port)) if port > 0 => port,
            (protocol, _) => return Err(FlowError::NoPort { protocol }),
        };
        if flow.http.is_some() && flow.protocol != Protocol::Tcp {
            return Err(FlowError::HttpWithoutTcp {
                protocol: flow.protocol,
            });
        }
        let service = address::parse(&flow.to).ok().and_then(|address| {
            let backends = self.backends(address, flow.protocol, port)?;
            Some((address, backends))
        });
        let Some((service, backends)) = service else {
            return self.judge_ends(flow, &flow.to, port);
        };
        let mut verdicts = Vec::new();
        for (address, port) in backends {
            verdicts.push((address, self.judge_ends(flow, &address.to_string(), port)?));
        }
        let mut distinct = verdicts.iter().map(|(_, verdict)| verdict.verdict);
        let first = distinct.next();
        if distinct.any(|verdict| Some(verdict) != first) {
            return Err(FlowError::BackendsDiffer {
                service,
                verdicts: verdicts
                    .iter()
                    .map(|(address, verdict)| format!("{address}: {}", verdict.verdict))
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        match verdicts.into_iter().next() {
            Some((_, verdict)) => Ok(verdict),
            None => self.judge_ends(flow, &flow.to, port),
        }
    }

    /// Where a service's address or node port leads; `None` for any other address, and for a
    /// service without ready backends.
    fn backends(
        &self,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<Vec<(IpAddr, u16)>> {
        let (_, found) = self.world.service_at(address, protocol, port)?;
        Some(found.backends_of(address.is_ipv6()).collect())
    }

    fn judge_ends(&mut self, flow: &Flow, to: &str, port: u16) -> Result<FlowVerdict, FlowError> {
        let (from, to) = self.ends(&flow.from, to)?;
        let itself = match (from.pod, to.pod) {
            (Some(from), Some(to)) => std::ptr::eq(from, to),
            _ => false,
        };
        let nodes = [from, to].map(|end| self.node_of(end));
        let one_node = nodes[0].is_some_and(|node| !node.is_empty()) && nodes[0] == nodes[1];
        if itself || one_node {
            let reason = match itself {
                true => Reason::Itself,
                false => Reason::SameNode,
            };
            let own = SideVerdict::new(Outcome::Allow, &reason);
            return Ok(FlowVerdict {
                verdict: Outcome::Allow,
                egress: own.clone(),
                ingress: own,
            });
        }
        let egress = self.side(flow, Direction::Egress, from, to, port);
        let ingress = self.side(flow, Direction::Ingress, to, from, port);
        // The client's proxy answers before the server's side sees anything of a request.
        let verdict = match (egress.verdict, ingress.verdict) {
            (Outcome::Allow, other) => other,
            (denied, _) => denied,
        };
        Ok(FlowVerdict {
            verdict,
            egress,
            ingress,
        })
    }

    /// The verdict of the rules of `own`.
    fn side(
        &mut self,
        flow: &Flow,
        direction: Direction,
        own: End<'a>,
        peer: End<'a>,
        port: u16,
    ) -> SideVerdict {
        let open = |reason| SideVerdict::new(Outcome::Allow, &reason);
        if let Some(node) = self.node_of(own) {
            return self.host_side(flow, direction, own, peer, port, node);
        }
        let Some(pod) = own.pod else {
            return open(Reason::NoEndpoint);
        };
        let world = self.world;
        if direction == Direction::Ingress && is_own_node(world, pod, peer.address) {
            return open(Reason::OwnNode);
        }
        let view = View::new(world, flow, direction, (pod, own.address), peer, port);
        self.by_rules(flow, &pod.node, &view)
    }

    /// The verdict of a view by what a node's snapshot says.
    fn by_rules(&mut self, flow: &Flow, node: &str, view: &View<'_>) -> SideVerdict {
        let nearest = self.nearest;
        let OfNode { snapshot, lists } = self.of_node(node);
        side::judge(snapshot, lists, flow, view, nearest)
    }

    pub(crate) fn snapshot(&mut self, node: &str) -> &Snapshot {
        &self.of_node(node).snapshot
    }

    fn of_node(&mut self, node: &str) -> &mut OfNode {
        let world = self.world;
        let made = self.snapshots.entry(node.to_owned());
        made.or_insert_with(|| OfNode {
            snapshot: Compiler::new().compile(world, Local::Everywhere { node }),
            lists: Lists::default(),
        })
    }

    /// Both ends, with addresses of one family.
    pub(crate) fn ends(&self, from: &str, to: &str) -> Result<(End<'a>, End<'a>), FlowError> {
        let from_end = self.find("from", from)?;
        let to_end = self.find("to", to)?;
        let pick = |field, found: &Found<'a>, v6: Option<bool>| match found {
            Found::Address(end) => Ok(*end),
            Found::Pod(pod) => pod
                .addresses
                .iter()
                .find(|address| v6.is_none_or(|v6| address.is_ipv6() == v6))
                .map(|address| End {
                    pod: Some(pod),
                    address: *address,
                })
                .ok_or_else(|| FlowError::NoAddress {
                    field,
                    name: pod.id().to_string(),
                }),
        };
        let wanted = |found: &Found<'_>| match found {
            Found::Address(end) => Some(end.address.is_ipv6()),
            Found::Pod(_) => None,
        };
        let from_pick = pick("from", &from_end, wanted(&to_end))?;
        let to_pick = pick("to", &to_end, Some(from_pick.address.is_ipv6()))?;
        if from_pick.address.is_ipv6() != to_pick.address.is_ipv6() {
            return Err(FlowError::Families {
                from: from_pick.address,
                to: to_pick.address,
            });
        }
        Ok((from_pick, to_pick))
    }

    fn find(&self, field: &'static str, name: &str) -> Result<Found<'a>, FlowError> {
        if let Ok(address) = address::parse(name) {
            let pod = self
                .owners
                .get(&address)
                .and_then(|index| self.world.pods.get(*index));
            return Ok(Found::Address(End { pod, address }));
        }
        let pod = name
            .parse()
            .ok()
            .and_then(|name: PodName| self.pods.get(&name));
        pod.and_then(|index| self.world.pods.get(*index))
            .map(Found::Pod)
            .ok_or_else(|| FlowError::UnknownPod {
                field,
                name: name.into(),
            })
    }
}

enum Found<'a> {
    Pod(&'a Pod),
    Address(End<'a>),
}

/// Whether an address is of the node that a pod runs on, whose probes pass. Offline nothing but the
/// address tells; the kernel asks for a socket of the node's own as well (`is_from_node` in
/// `ebpf/src/pod/fresh.rs`).
fn is_own_node(world: &World, pod: &Pod, address: IpAddr) -> bool {
    pod.host_addresses.contains(&address) || world.is_own_of(address, &pod.node)
}

// === impl SideVerdict ===

impl SideVerdict {
    fn new(verdict: Outcome, reason: &Reason) -> Self {
        Self {
            verdict,
            audit: false,
            policies: reason.policies(),
            decided_by: reason.rules().to_vec(),
            reason: reason.to_string(),
            nearest_miss: None,
        }
    }

    /// The reason and the nearest miss in one sentence.
    pub fn told(&self) -> String {
        sentence(&self.reason, self.nearest_miss.as_ref())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::HttpDeny => "http-deny",
            Self::Deny => "deny",
        })
    }
}
