//! Whose names are whose: an answer counts for the group of the pod that asked.
//!
//! A group is the pods that the same parts of policies select. They have the same DNS rules, so
//! what one of them may be told, the others may be told as well; a pod with other rules, and
//! perhaps a server of its own, teaches them nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    model::{PodName, Service, World, address},
    names::Name,
};

use super::{
    Atom, AtomId, GroupId,
    intern::Interner,
    sets::{Builder, Parts},
};

/// Addresses with the name atoms that hold for them.
pub(super) type Named = HashSet<(IpNet, AtomId)>;

/// Numbers of groups, and which pods that have asked were in which.
#[derive(Debug, Default)]
pub(super) struct Groups {
    ids: Interner<Parts>,
    /// Groups of the last snapshot.
    previous: HashMap<PodName, GroupId>,
}

impl Groups {
    /// Groups with numbers above `last`.
    pub(super) fn after(last: u32) -> Self {
        Self {
            ids: Interner::after(last),
            previous: HashMap::new(),
        }
    }

    /// The number of a group.
    pub(super) fn of(&mut self, parts: &Parts) -> GroupId {
        self.ids.id(parts)
    }

    /// What the name atoms hold for; pods and nodes are placed over it later. Atoms of the snapshot
    /// before hold for what the pods of their groups had got: old policy sets still judge by them while a change is under way.
    pub(super) fn named(
        &mut self,
        world: &World,
        sets: &Builder<'_>,
        atoms: &BTreeMap<AtomId, Atom>,
    ) -> Named {
        let mut groups = HashMap::new();
        for pod in world.pods.iter().filter(|pod| !pod.host_network) {
            let name = pod.id();
            if world.names.contains_key(&name) {
                let group = self.of(sets.key(world, pod).parts());
                groups.insert(name, group);
            }
        }
        let mut of_group: HashMap<GroupId, Vec<(AtomId, &crate::names::NamePattern)>> =
            HashMap::new();
        for (id, atom) in atoms {
            if let Atom::Name(pattern, group) = atom {
                of_group.entry(*group).or_default().push((*id, pattern));
            }
        }
        let fronts: HashSet<IpAddr> = world.services.iter().flat_map(Service::fronts).collect();
        let mut named = Named::new();
        for (pod, answers) in &world.names {
            let now = groups.get(pod);
            let before = self.previous.get(pod).filter(|before| now != Some(*before));
            let patterns: Vec<_> = now
                .into_iter()
                .chain(before)
                .filter_map(|group| of_group.get(group))
                .flatten()
                .collect();
            for (name, addresses) in answers {
                let Some(name) = Name::parse(name) else {
                    continue;
                };
                for (id, _) in patterns.iter().filter(|(_, p)| p.matches(&name)) {
                    let outside = addresses.iter().filter_map(|a| address::learnable(*a).ok());
                    let outside = outside.filter(|address| !fronts.contains(address));
                    named.extend(outside.map(|address| (IpNet::from(address), *id)));
                }
            }
        }
        self.previous = groups;
        named
    }

    /// Ends a round.
    pub(super) fn forget(&mut self) {
        self.ids.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::{
        compile::{Compiler, Local, Slot, Snapshot, Verdict},
        l7::{L7Table, RequestFlow},
        model::{
            Action, Direction, L7, NamespaceScope, ObjectRef, Peer, Peers, Pod, PodName,
            PodSelector, Policy, PolicyKind, PolicySpec, Port, PortMatch, Protocol, Requirement,
            Rule, Section, Selector, Subjects, Tier, World, selector::Key, selector::Operator,
        },
        names::NamePattern,
    };

    fn pod(name: &str, app: &str, last: u8) -> Pod {
        Pod {
            namespace: "x".into(),
            name: name.into(),
            labels: [("app".to_owned(), app.to_owned())].into(),
            addresses: vec![[10, 244, 0, last].into()],
            ..Pod::default()
        }
    }

    /// Pods of this app may reach what `a.test` resolves to.
    fn policy(app: &str) -> Policy {
        let app = Requirement {
            key: Key::Label("app".into()),
            operator: Operator::In,
            values: [app.to_owned()].into(),
        };
        let rule = Rule {
            place: "rule".into(),
            action: Action::Allow,
            peers: Peers::OneOf(vec![Peer::Name(NamePattern::new("a.test").unwrap())]),
            ports: Vec::new(),
            l7: None,
        };
        Policy {
            object: ObjectRef {
                kind: PolicyKind::CiliumNetworkPolicy,
                namespace: "x".into(),
                name: format!("{app:?}"),
            },
            audit: false,
            specs: vec![PolicySpec {
                tier: Tier::Normal,
                subject: Subjects::Pods(PodSelector {
                    namespaces: NamespaceScope::All,
                    pods: Selector::new([app]),
                }),
                ingress: Section::default(),
                egress: Section {
                    isolates: true,
                    rules: vec![rule],
                },
            }],
        }
    }

    fn reaches(snapshot: &Snapshot, pod: &str, address: &str) -> bool {
        let endpoint = snapshot.endpoint(&PodName::new("x", pod)).unwrap();
        let entry = snapshot.address(address.parse().unwrap()).unwrap();
        let atoms = &snapshot.classes[&entry.class];
        let set = &snapshot.sets[&endpoint.set];
        set.egress.decide(atoms, Slot::Tcp, 80).verdict == Verdict::Allow
    }

    #[test]
    fn only_servers_that_a_dns_rule_names_teach() {
        let mut rules = policy("a");
        let dns = Rule {
            place: "dns".into(),
            action: Action::Allow,
            peers: Peers::OneOf(vec![Peer::Cidr {
                cidr: "192.0.2.53/32".parse().unwrap(),
                except: Vec::new(),
                cluster_too: false,
            }]),
            ports: vec![PortMatch {
                protocol: Protocol::Udp,
                port: Port::Range(53, 53),
            }],
            l7: Some(L7::Dns(vec![NamePattern::new("*.test").unwrap()])),
        };
        rules.specs[0].egress.rules.push(dns);
        let mut world = World {
            pods: vec![pod("client", "a", 1)],
            policies: vec![rules],
            ..World::default()
        };
        let compiled =
            |world: &World| Compiler::new().compile(world, Local::Everywhere { node: "n" });
        let table = |world: &World| L7Table::new(&compiled(world), |_| Some(1));
        let passes = |world: &World| {
            let (snapshot, server) = (compiled(world), "192.0.2.53".parse().unwrap());
            let client = snapshot.endpoint(&PodName::new("x", "client")).unwrap();
            snapshot.passes_unread(client, server, Protocol::Udp, 53)
        };
        let flow = |server: &str, port, direction| RequestFlow {
            endpoint: 1,
            direction,
            peer: server.parse().unwrap(),
            protocol: Protocol::Udp,
            port,
        };
        let good = flow("192.0.2.53", 53, Direction::Egress);
        let now = table(&world);
        assert!(now.teaches(good, "a.test"));
        assert!(!passes(&world), "it is looked into");
        for (other, name) in [
            (flow("192.0.2.54", 53, Direction::Egress), "a.test"),
            (flow("192.0.2.53", 54, Direction::Egress), "a.test"),
            (flow("192.0.2.53", 53, Direction::Ingress), "a.test"),
            (
                RequestFlow {
                    endpoint: 2,
                    ..good
                },
                "a.test",
            ),
            (good, "a.other"),
            (good, r"a\046b.test"),
        ] {
            assert!(!now.teaches(other, name), "{other:?} {name}");
        }
        // A rule that opens the server whole: nothing is learnt there any more.
        world.policies[0].specs[0].egress.rules[1].l7 = None;
        assert!(!table(&world).teaches(good, "a.test") && passes(&world));
        world.policies[0].specs[0].egress.rules.pop();
        assert!(!table(&world).teaches(good, "a.test") && !passes(&world));
    }

    #[test]
    fn one_pod_teaches_those_that_the_same_policies_select_and_nobody_else() {
        let mut world = World {
            pods: vec![
                pod("victim", "a", 1),
                pod("twin", "a", 2),
                pod("evil", "b", 3),
                pod("owner", "c", 7),
            ],
            policies: vec![policy("a"), policy("b")],
            ..World::default()
        };
        let mut answers = |pod: &str, addresses: &[&str]| {
            let addresses: BTreeSet<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            let of_name = [("a.test".to_owned(), addresses)].into();
            world.names.insert(PodName::new("x", pod), of_name);
        };
        answers("twin", &["192.0.2.1"]);
        let hostile = [
            "192.0.2.66",
            "::ffff:10.244.0.7",
            "10.244.0.7",
            "169.254.169.254",
        ];
        answers("evil", &hostile);
        let everywhere = Local::Everywhere { node: "n" };
        let mut compiler = Compiler::new();
        let snapshot = compiler.compile(&world, everywhere);
        assert!(reaches(&snapshot, "victim", "192.0.2.1"));
        assert!(reaches(&snapshot, "twin", "192.0.2.1"));
        assert!(!reaches(&snapshot, "evil", "192.0.2.1"));
        assert!(reaches(&snapshot, "evil", "192.0.2.66"));
        assert!(!reaches(&snapshot, "victim", "192.0.2.66"));
        for address in &hostile[1..] {
            assert!(!reaches(&snapshot, "evil", address), "{address}");
        }
        // Another form of an address never has an entry of its own.
        assert!(
            !snapshot
                .addresses
                .contains_key(&"::ffff:10.244.0.7/128".parse().unwrap())
        );

        // A policy more for the twin, and it is none any more: what it asks is its own.
        let mut more = policy("a");
        more.object.name = "more".into();
        more.specs[0].subject = policy("twin").specs.remove(0).subject;
        world.policies.push(more);
        world.pods[1].labels = [("app".to_owned(), "twin".to_owned())].into();
        compiler.compile(&world, everywhere);
        let snapshot = compiler.compile(&world, everywhere);
        assert!(!reaches(&snapshot, "victim", "192.0.2.1"));
        assert!(reaches(&snapshot, "twin", "192.0.2.1"));
    }
}
