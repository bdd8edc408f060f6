//! Policy sets: what selects an endpoint, ready to judge.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::model::{
    Action, ContainerPort, Direction, Entity, HostPolicies, L7, Peer, Peers, Pod, Policy, Port,
    Protocol, Rule, Tier, Visibility, World, selector::Labels,
};

use super::{Atom, AtomId, GroupId, PolicyId, UNKNOWN, intern::Interner, seen, subject};

/// What determines a policy set: the parts of policies that select the endpoint, the numbers
/// behind the named ports that their ingress rules use, and what is to be seen of its traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetKey {
    parts: Parts,
    named: Vec<(String, Protocol, u16)>,
    visibility: Visibility,
    /// Its policies only report, whatever they say themselves.
    audit: bool,
}

/// The parts of policies that select a pod: number of the policy, place of the spec.
pub(super) type Parts = Vec<(PolicyId, usize)>;

impl SetKey {
    /// What selects the endpoint.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// What selects an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySet {
    /// About traffic towards it.
    pub ingress: DirectionSet,
    /// About traffic from it.
    pub egress: DirectionSet,
}

/// One direction of a policy set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectionSet {
    /// Policies that make the direction deny by default.
    pub isolating: Vec<(PolicyId, Arc<str>)>,
    /// Policies in audit mode that would.
    pub auditing: Vec<(PolicyId, Arc<str>)>,
    /// All rules, in order of policy and place.
    pub rules: Vec<CompiledRule>,
}

/// A rule with its peers as atoms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledRule {
    /// Number of its policy.
    pub policy: PolicyId,
    /// `Kind/NS/NAME` of its policy.
    pub object: Arc<str>,
    /// Where in the object it stands.
    pub place: String,
    /// Allow or deny.
    pub action: Action,
    /// When it is asked.
    pub tier: Tier,
    /// Whether its policy only reports.
    pub audit: bool,
    /// Whether its L7 rules look into flows that pass anyway.
    pub watches: Watches,
    /// The other end.
    pub peers: PeerMatch,
    /// Protocols and ports; empty means all.
    pub ports: Vec<CompiledPort>,
    /// What the proxy decides by.
    pub l7: Option<Arc<L7>>,
}

/// Whether L7 rules look into what passes without them, and deny nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watches {
    /// They do not: their policy denies by default, or is in audit mode.
    Never,
    /// They do, and allow as well where another policy isolates the endpoint.
    Too,
    /// They do, and allow nothing at all.
    Only,
}

/// The other end of a flow, by atoms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMatch {
    /// Anyone.
    Any,
    /// Classes with one of these atoms.
    OneOf(Vec<AtomId>),
}

/// Ports of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompiledPort {
    /// First to last.
    Range(Protocol, u16, u16),
    /// The number that the peer's container port of this name has (egress).
    OfPeer(Protocol, Vec<(u16, AtomId)>),
}

impl PolicySet {
    /// Whether a rule names ports that its peers have, which change with the peers.
    pub(super) fn names_ports_of_peers(&self) -> bool {
        let rules = self.ingress.rules.iter().chain(&self.egress.rules);
        rules
            .flat_map(|rule| &rule.ports)
            .any(|port| matches!(port, CompiledPort::OfPeer(..)))
    }
}

/// Builds policy sets of one world.
pub(super) struct Builder<'a> {
    policies: &'a [(PolicyId, Arc<Policy>)],
    /// Each with its `Kind/NS/NAME`.
    by_id: HashMap<PolicyId, (&'a Policy, Arc<str>)>,
    /// (name, protocol) of the named ports that egress rules use, with every number that some
    /// pod gives them.
    egress_ports: std::cell::RefCell<BTreeSet<(String, Protocol, u16)>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(policies: &'a [(PolicyId, Arc<Policy>)]) -> Self {
        Self {
            policies,
            by_id: policies
                .iter()
                .map(|(id, policy)| (*id, (&**policy, policy.object.to_string().into())))
                .collect(),
            egress_ports: Default::default(),
        }
    }

    /// Every atom that the policies use, but for names.
    pub(super) fn atoms(&self, world: &World) -> HashSet<Atom> {
        let mut atoms = HashSet::new();
        let mut names: BTreeSet<(&str, Protocol)> = BTreeSet::new();
        for (_, policy) in self.policies {
            for spec in &policy.specs {
                for direction in Direction::BOTH {
                    for rule in &spec.section(direction).rules {
                        if let Peers::OneOf(peers) = &rule.peers {
                            let peers = peers.iter().filter(|p| !matches!(p, Peer::Name(_)));
                            atoms.extend(peers.cloned().map(Atom::Peer));
                        }
                        if direction == Direction::Egress {
                            names.extend(named(rule));
                        }
                    }
                }
            }
        }
        let mut ports = self.egress_ports.borrow_mut();
        for pod in world.pods.iter().filter(|pod| !pod.host_network) {
            for (name, protocol) in &names {
                if let Some(number) = named_port(&pod.ports, name, *protocol) {
                    ports.insert(((*name).to_owned(), *protocol, number));
                }
            }
        }
        atoms.extend(
            ports
                .iter()
                .map(|(name, protocol, number)| Atom::NamedPort(name.clone(), *protocol, *number)),
        );
        atoms
    }

    /// The names that the rules of these groups are about.
    pub(super) fn names<'k>(
        &self,
        groups: impl Iterator<Item = (&'k SetKey, GroupId)>,
    ) -> HashSet<Atom> {
        let mut atoms = HashSet::new();
        let mut done = HashSet::new();
        for (key, group) in groups.filter(|(_, group)| done.insert(*group)) {
            for (id, index) in &key.parts {
                let policy = self.by_id.get(id);
                let spec = policy.and_then(|(policy, _)| policy.specs.get(*index));
                let sections = spec.map(|spec| [&spec.ingress, &spec.egress]);
                for rule in sections.into_iter().flatten().flat_map(|of| &of.rules) {
                    if let Peers::OneOf(peers) = &rule.peers {
                        atoms.extend(peers.iter().filter_map(|peer| match peer {
                            Peer::Name(pattern) => Some(Atom::Name(pattern.clone(), group)),
                            _ => None,
                        }));
                    }
                }
            }
        }
        atoms
    }

    /// What selects a pod.
    pub(super) fn key(&self, world: &World, pod: &Pod) -> SetKey {
        let no_labels = Labels::new();
        let subject = subject(world, pod, &no_labels);
        let mut parts = Vec::new();
        let mut named_ports = BTreeSet::new();
        for (id, policy) in self.policies {
            for (index, spec) in policy.specs.iter().enumerate() {
                if !spec.subject.matches(subject) {
                    continue;
                }
                parts.push((*id, index));
                for (name, protocol) in spec.ingress.rules.iter().flat_map(named) {
                    if let Some(number) = named_port(&pod.ports, name, protocol) {
                        named_ports.insert((name.to_owned(), protocol, number));
                    }
                }
            }
        }
        SetKey {
            parts,
            named: named_ports.into_iter().collect(),
            visibility: world.visibility(pod),
            audit: false,
        }
    }

    /// What selects a node, as [`World::host`] makes it; `None`: no host policy does.
    pub(super) fn host_key(&self, world: &World, host: &Pod) -> Option<SetKey> {
        if world.host_policies == HostPolicies::Off {
            return None;
        }
        let key = SetKey {
            audit: world.host_policies == HostPolicies::Audit,
            ..self.key(world, host)
        };
        (!key.parts.is_empty()).then_some(key)
    }

    pub(super) fn build(
        &self,
        key: &SetKey,
        group: GroupId,
        atoms: &mut Interner<Atom>,
    ) -> PolicySet {
        let mut set = PolicySet::default();
        for (id, index) in &key.parts {
            let Some((policy, object)) = self.by_id.get(id) else {
                continue;
            };
            let Some(spec) = policy.specs.get(*index) else {
                continue;
            };
            let audit = policy.audit || key.audit;
            for direction in Direction::BOTH {
                let section = spec.section(direction);
                let side = match direction {
                    Direction::Ingress => &mut set.ingress,
                    Direction::Egress => &mut set.egress,
                };
                let isolating = if audit {
                    &mut side.auditing
                } else {
                    &mut side.isolating
                };
                if section.isolates && !isolating.iter().any(|(other, _)| other == id) {
                    isolating.push((*id, object.clone()));
                }
                for rule in &section.rules {
                    side.rules.push(CompiledRule {
                        policy: *id,
                        object: object.clone(),
                        place: rule.place.clone(),
                        action: rule.action,
                        tier: spec.tier,
                        audit,
                        watches: match section.isolates || audit {
                            true => Watches::Never,
                            false => Watches::Too,
                        },
                        peers: peers(rule, group, atoms),
                        ports: self.ports(rule, direction, key, atoms),
                        l7: rule.l7.clone().map(Arc::new),
                    });
                }
            }
        }
        set.ingress
            .rules
            .extend(seen::rules(key.visibility, Direction::Ingress));
        set.egress
            .rules
            .extend(seen::rules(key.visibility, Direction::Egress));
        set
    }

    fn ports(
        &self,
        rule: &Rule,
        direction: Direction,
        key: &SetKey,
        atoms: &mut Interner<Atom>,
    ) -> Vec<CompiledPort> {
        rule.ports
            .iter()
            .map(|port| match (&port.port, direction) {
                (Port::All, _) => CompiledPort::Range(port.protocol, 0, u16::MAX),
                (Port::Range(first, last), _) => CompiledPort::Range(port.protocol, *first, *last),
                (Port::Named(name), Direction::Ingress) => {
                    let number = key
                        .named
                        .iter()
                        .find(|(other, protocol, _)| other == name && *protocol == port.protocol);
                    match number {
                        Some((_, protocol, number)) => {
                            CompiledPort::Range(*protocol, *number, *number)
                        }
                        // A name that the endpoint does not have matches nothing.
                        None => CompiledPort::OfPeer(port.protocol, Vec::new()),
                    }
                }
                (Port::Named(name), Direction::Egress) => {
                    let numbers = self.egress_ports.borrow();
                    let of_name = numbers
                        .iter()
                        .filter(|(other, protocol, _)| other == name && *protocol == port.protocol)
                        .map(|(name, protocol, number)| {
                            let atom = Atom::NamedPort(name.clone(), *protocol, *number);
                            (*number, atoms.id(&atom))
                        });
                    CompiledPort::OfPeer(port.protocol, of_name.collect())
                }
            })
            .collect()
    }
}

/// Who a rule means. One that denies pods denies, too, what may be one of them.
fn peers(rule: &Rule, group: GroupId, atoms: &mut Interner<Atom>) -> PeerMatch {
    let atom = |peer: &Peer| match peer {
        Peer::Name(pattern) => Atom::Name(pattern.clone(), group),
        other => Atom::Peer(other.clone()),
    };
    match &rule.peers {
        Peers::Any => PeerMatch::Any,
        Peers::OneOf(peers) => {
            let pods = |peer: &Peer| matches!(peer, Peer::Pods(_) | Peer::Entity(Entity::Cluster));
            let denies_pods = rule.action == Action::Deny && peers.iter().any(pods);
            let known = peers.iter().map(|peer| atoms.id(&atom(peer)));
            PeerMatch::OneOf(known.chain(denies_pods.then_some(UNKNOWN)).collect())
        }
    }
}

fn named(rule: &Rule) -> impl Iterator<Item = (&str, Protocol)> {
    rule.ports.iter().filter_map(|port| match &port.port {
        Port::Named(name) => Some((name.as_str(), port.protocol)),
        Port::All | Port::Range(..) => None,
    })
}

/// The number of a pod's container port by name and protocol.
pub(super) fn named_port(ports: &[ContainerPort], name: &str, protocol: Protocol) -> Option<u16> {
    ports
        .iter()
        .find(|port| port.name == name && port.protocol == protocol)
        .map(|port| port.port)
}
