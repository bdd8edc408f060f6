//! What differs and could not be asked about, because no pod of both worlds is concerned: policies
//! that select none, and rules whose peers are none.

use std::{borrow::Cow, collections::BTreeSet};

use super::ends::End;
use crate::{
    compile::subject,
    model::{Direction, Labels, Peer, Peers, Pod, Policy, Rule, Subjects, World},
};

/// What could not be asked about, each sorted.
#[derive(Debug, Default)]
pub(super) struct Unasked {
    /// `Kind/NAMESPACE/NAME` of policies.
    pub policies: Vec<String>,
    /// `FIELD of Kind/NAMESPACE/NAME` of rules of others.
    pub rules: Vec<String>,
}

/// A world with those of its pods that the other has, too: one of each group.
struct Side<'a> {
    world: &'a World,
    other: &'a World,
    pods: Vec<Cow<'a, Pod>>,
}

pub(super) fn unasked(old: &World, new: &World, ends: &[End]) -> Unasked {
    let groups = ends.iter().filter(|end| !end.outside);
    let (olds, news): (Vec<Cow<'_, Pod>>, Vec<Cow<'_, Pod>>) = groups
        .filter_map(|end| {
            let (before, after) = end.first();
            Some((old.endpoint(before)?, new.endpoint(after)?))
        })
        .unzip();
    let sides = [
        Side {
            world: old,
            other: new,
            pods: olds,
        },
        Side {
            world: new,
            other: old,
            pods: news,
        },
    ];
    let differ = sides.iter().flat_map(Side::differing);
    let objects: BTreeSet<String> = differ.map(|policy| policy.object.to_string()).collect();
    let (asked, policies): (BTreeSet<String>, BTreeSet<String>) = objects
        .into_iter()
        .partition(|object| sides.iter().any(|side| side.asks_about(object)));
    let rules: BTreeSet<String> = sides
        .iter()
        .flat_map(|side| side.rules_without_peers(&asked))
        .collect();
    Unasked {
        policies: policies.into_iter().collect(),
        rules: rules.into_iter().collect(),
    }
}

// === impl Side ===

impl<'a> Side<'a> {
    /// The policies that the other has not, or not as they are.
    fn differing(&self) -> impl Iterator<Item = &'a Policy> {
        let policies = self.world.policies.iter();
        let other = self.other;
        policies.filter(|policy| !other.policies.contains(policy))
    }

    fn has(&self, subjects: &Subjects) -> bool {
        let no_labels = Labels::new();
        let mut pods = self.pods.iter();
        pods.any(|pod| subjects.matches(subject(self.world, pod, &no_labels)))
    }

    fn asks_about(&self, object: &str) -> bool {
        let mut policies = self.world.policies.iter();
        policies.any(|policy| {
            let mut specs = policy.specs.iter();
            policy.object.to_string() == *object && specs.any(|spec| self.has(&spec.subject))
        })
    }

    /// Rules of these policies that the other has not, and whose peers are pods that are not there.
    fn rules_without_peers(&self, asked: &BTreeSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        for policy in self.differing() {
            let object = policy.object.to_string();
            let mut others = self.other.policies.iter();
            let other = others.find(|other| other.object == policy.object);
            let there: Vec<Rule> = other.into_iter().flat_map(rules).map(placeless).collect();
            let new = rules(policy).filter(|rule| !there.contains(&placeless(rule)));
            let lone = new.filter(|rule| match &rule.peers {
                Peers::Any => false,
                Peers::OneOf(peers) => peers.iter().any(|peer| match peer {
                    Peer::Pods(pods) => !self.has(&Subjects::Pods(pods.clone())),
                    _ => false,
                }),
            });
            if asked.contains(&object) {
                found.extend(lone.map(|rule| format!("{} of {object}", rule.place)));
            }
        }
        found
    }
}

fn rules(policy: &Policy) -> impl Iterator<Item = &Rule> {
    let sections = policy.specs.iter();
    sections
        .flat_map(|spec| Direction::BOTH.map(|direction| &spec.section(direction).rules))
        .flatten()
}

/// A rule wherever it stands.
fn placeless(rule: &Rule) -> Rule {
    Rule {
        place: String::new(),
        ..rule.clone()
    }
}
