//! One policy as it is written and as it is understood.

use std::cell::OnceCell;

use serde_json::Value;

use super::Input;
use crate::{
    compile::{Compiler, Local, Snapshot, subject},
    model::{
        Direction, Labels, NamespaceScope, Peer, Peers, Pod, PodSelector, Policy, PolicyKind,
        PolicySpec, Rule, World,
    },
};

/// What a lint looks at.
pub(super) struct Context<'a> {
    pub input: &'a Input<'a>,
    pub value: &'a Value,
    pub policy: &'a Policy,
    /// The world, compiled when a lint first asks for it.
    pub compiled: &'a OnceCell<Snapshot>,
}

/// A rule with its surroundings.
#[derive(Clone, Copy)]
pub(super) struct RuleIn<'a> {
    pub spec: &'a PolicySpec,
    pub direction: Direction,
    pub rule: &'a Rule,
}

// === impl Context ===

impl<'a> Context<'a> {
    pub fn world(&self) -> &'a World {
        &self.input.world
    }

    pub fn snapshot(&self) -> &'a Snapshot {
        let everywhere = Local::Everywhere { node: "" };
        self.compiled
            .get_or_init(|| Compiler::new().compile(self.world(), everywhere))
    }

    pub fn is_network_policy(&self) -> bool {
        self.policy.object.kind == PolicyKind::NetworkPolicy
    }

    pub fn rules(&self) -> impl Iterator<Item = RuleIn<'a>> {
        self.policy.specs.iter().flat_map(|spec| {
            Direction::BOTH.into_iter().flat_map(move |direction| {
                let rules = spec.section(direction).rules.iter();
                rules.map(move |rule| RuleIn {
                    spec,
                    direction,
                    rule,
                })
            })
        })
    }

    /// The value at a field path.
    pub fn at(&self, path: &str) -> Option<&'a Value> {
        at(self.value, path)
    }

    /// The field that names a rule's peers, and the items of it; a rule's place may be that of
    /// one of its `toPorts`.
    pub fn peers(&self, rule: &Rule) -> Option<(String, &'a Vec<Value>)> {
        let entry = rule.place.split(".toPorts").next().unwrap_or(&rule.place);
        let object = self.at(entry)?.as_object()?;
        let names = [
            "from",
            "to",
            "fromEndpoints",
            "toEndpoints",
            "fromCIDR",
            "toCIDR",
            "fromCIDRSet",
            "toCIDRSet",
            "fromEntities",
            "toEntities",
            "toServices",
            "toFQDNs",
            "fromNodes",
            "toNodes",
        ];
        names.into_iter().find_map(|name| {
            let items = object.get(name)?.as_array()?;
            Some((format!("{entry}.{name}"), items))
        })
    }

    /// The rule's peers that are understood, each with its field.
    pub fn each_peer(&self, rule: &'a Rule) -> Vec<(String, &'a Peer)> {
        let Peers::OneOf(peers) = &rule.peers else {
            return Vec::new();
        };
        let written = self.peers(rule);
        // An entry that names nothing (an entity of a part that is not there) moves the others.
        let exact = written
            .as_ref()
            .is_some_and(|(_, items)| items.len() == peers.len());
        let field = written.map_or_else(|| rule.place.clone(), |(field, _)| field);
        peers
            .iter()
            .enumerate()
            .map(|(index, peer)| match exact {
                true => (format!("{field}[{index}]"), peer),
                false => (field.clone(), peer),
            })
            .collect()
    }

    /// The parts of all policies: this one's and those of its neighbours.
    pub fn specs(&self) -> impl Iterator<Item = &'a PolicySpec> {
        let policies = self.world().policies.iter().chain([self.policy]);
        policies.flat_map(|policy| &policy.specs)
    }

    /// Whether something denies by default in a direction, for pods that a part selects.
    pub fn denies_by_default(&self, spec: &PolicySpec, direction: Direction) -> bool {
        let pods = self.subjects(spec);
        let selects = |other: &PolicySpec| {
            let mut pods = pods.iter();
            pods.any(|pod| selects(self.world(), other, pod))
        };
        let isolates = |spec: &PolicySpec| spec.section(direction).isolates;
        isolates(spec) || self.specs().any(|other| isolates(other) && selects(other))
    }

    /// Pods that policies can select.
    pub fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.world().pods.iter().filter(|pod| !pod.host_network)
    }

    /// The pods that a part is about.
    pub fn subjects(&self, spec: &PolicySpec) -> Vec<&'a Pod> {
        self.pods()
            .filter(|pod| selects(self.world(), spec, pod))
            .collect()
    }

    pub fn selected(&self, selector: &PodSelector) -> Vec<&'a Pod> {
        self.pods()
            .filter(|pod| matches(self.world(), selector, pod))
            .collect()
    }

    /// Whether the manifests tell enough of the namespaces that a selector reaches to say that
    /// it matches nothing in them.
    pub fn knows(&self, selector: &PodSelector) -> bool {
        let reached = PodSelector {
            namespaces: selector.namespaces.clone(),
            pods: Default::default(),
        };
        match &selector.namespaces {
            NamespaceScope::All => self.pods().next().is_some(),
            _ => !self.selected(&reached).is_empty(),
        }
    }
}

/// Whether a selector matches a pod.
pub(super) fn matches(world: &World, selector: &PodSelector, pod: &Pod) -> bool {
    let no_labels = Labels::new();
    selector.matches(subject(world, pod, &no_labels))
}

/// Whether a part is about a pod.
pub(super) fn selects(world: &World, spec: &PolicySpec, pod: &Pod) -> bool {
    let no_labels = Labels::new();
    spec.subject.matches(subject(world, pod, &no_labels))
}

/// The value at a path like `spec.ingress[0].from`.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    steps
        .into_iter()
        .try_fold(value, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            other => other.get(step),
        })
}

/// How many, in words.
pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
