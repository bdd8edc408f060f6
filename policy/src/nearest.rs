//! The rule that comes nearest to allowing what is denied by default, and what the flow lacks for
//! it. Which rules match is told by the compiled snapshot; what one lacks is read off the model, so
//! that it can be said in the words of the object.
//!
//! A connection that is denied is held against every rule of the policies that select the endpoint. A
//! request on a connection that passes is held against the rules that decide on it
//! ([`crate::l7`]), which are all that the proxy has.

mod miss;
mod peers;
mod ports;

use serde::{Deserialize, Serialize};

pub use miss::{Miss, MissKind};

use crate::{
    compile::{AtomId, DirectionSet, subject},
    model::{Action, L7, Labels, Policy, Rule, Tier},
    reason::RuleRef,
    verdict::{Flow, Lists, judge_request},
};

pub(crate) use miss::View;
use miss::{distance, phrase};

/// A rule that would have allowed the flow, but for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearestMiss {
    /// The rule; of HTTP rules the entry.
    #[serde(flatten)]
    pub rule: RuleRef,
    /// What does not fit; never empty.
    pub misses: Vec<Miss>,
    /// All of it as one phrase.
    pub text: String,
}

/// A policy that selects the endpoint of a view.
#[derive(Debug)]
pub(crate) struct Selecting<'a> {
    pub policy: &'a Policy,
    /// Whether it makes the direction deny by default.
    pub isolates: bool,
    /// Its rules for the direction.
    pub rules: Vec<Weighed<'a>>,
}

/// A rule and what the flow lacks for its peers and ports.
#[derive(Debug)]
pub(crate) struct Weighed<'a> {
    pub rule: &'a Rule,
    pub tier: Tier,
    /// Empty where it matches.
    pub misses: Vec<Miss>,
}

// === impl NearestMiss ===

impl NearestMiss {
    pub(crate) fn new(rule: RuleRef, misses: Vec<Miss>) -> Self {
        let (field, policy) = (&rule.field, &rule.policy);
        let text = format!(
            "{field} of {policy} would match but for {}",
            phrase(&misses)
        );
        Self { rule, misses, text }
    }

    /// With the same word on what to do about each miss.
    pub(crate) fn hinted(mut self, hint: &str) -> Self {
        for miss in &mut self.misses {
            miss.hint = Some(hint.to_owned());
        }
        Self::new(self.rule, self.misses)
    }
}

/// Every policy that selects the endpoint, with its rules in the order of the compiled ones.
pub(crate) fn weigh<'a>(
    view: &View<'a>,
    compiled: &DirectionSet,
    atoms: &[AtomId],
) -> Vec<Selecting<'a>> {
    let no_labels = Labels::new();
    let subject = subject(view.world, view.own, &no_labels);
    let mut compiled = compiled.rules.iter();
    let mut all = Vec::new();
    for policy in &view.world.policies {
        let mut selecting = Selecting {
            policy,
            isolates: false,
            rules: Vec::new(),
        };
        for spec in policy.specs.iter().filter(|s| s.subject.matches(subject)) {
            let section = spec.section(view.direction);
            selecting.isolates |= section.isolates;
            for rule in &section.rules {
                let mut misses = miss::of_rule(view, &policy.object, rule);
                // What matches is the engine's word, whatever can be said of why.
                let matches = match compiled.next() {
                    Some(compiled) => compiled.matches(atoms, view.slot, view.port),
                    None => misses.is_empty(),
                };
                if matches {
                    misses.clear();
                } else if misses.is_empty() {
                    let text = "its peers or ports do not include this flow";
                    misses.push(Miss::new(MissKind::Other, text));
                }
                selecting.rules.push(Weighed {
                    rule,
                    tier: spec.tier,
                    misses,
                });
            }
        }
        if selecting.isolates || !selecting.rules.is_empty() {
            all.push(selecting);
        }
    }
    all
}

/// The allow rule that lacks the least. `audit`: the default that denies is that of policies in
/// audit mode, so what such policies allow counts.
pub(crate) fn nearest(
    all: &[Selecting<'_>],
    audit: bool,
    flow: &Flow,
    lists: &mut Lists,
) -> Option<NearestMiss> {
    let mut candidates: Vec<(&Policy, String, Vec<Miss>)> = Vec::new();
    for Selecting { policy, rules, .. } in all {
        let allowing = rules
            .iter()
            .filter(|one| one.rule.action == Action::Allow && one.tier == Tier::Normal);
        for Weighed { rule, misses, .. } in allowing {
            let mut lacking = misses.clone();
            if policy.audit && !audit {
                let text = "its policy is in audit mode, so what it allows is not in force";
                lacking.push(Miss::new(MissKind::Other, text));
            }
            let (field, misses) = of_rule(rule, flow, lacking, lists);
            candidates.push((*policy, field, misses));
        }
    }
    let (policy, field, misses) = candidates
        .into_iter()
        .filter(|(_, _, misses)| !misses.is_empty())
        .min_by_key(|(_, _, misses)| distance(misses))?;
    let rule = RuleRef::new(policy.object.to_string(), field);
    Some(NearestMiss::new(rule, misses))
}

/// A rule, or the nearest of its HTTP rules, with what the flow lacks for it.
fn of_rule(
    rule: &Rule,
    flow: &Flow,
    mut lacking: Vec<Miss>,
    lists: &mut Lists,
) -> (String, Vec<Miss>) {
    let mut place = rule.place.clone();
    let more = match (&rule.l7, &flow.http) {
        (None, _) => None,
        (Some(l7), _) if !l7.speaks(flow.protocol) => lacking.is_empty().then(|| {
            let text = match l7 {
                L7::Http(_) => "HTTP rules allow TCP only",
                L7::Tls(_) => "server names are about TCP only",
                L7::Dns(_) => "DNS rules are about UDP and TCP only",
            };
            Miss::new(MissKind::Protocol, text)
        }),
        (Some(L7::Tls(_) | L7::Dns(_)), None) => None,
        (Some(L7::Tls(_) | L7::Dns(_)), Some(_)) => Some(Miss::new(MissKind::Other, NOT_HTTP)),
        (Some(L7::Http(entries)), _) if entries.is_empty() => {
            Some(Miss::new(MissKind::Other, NO_ENTRY))
        }
        (Some(L7::Http(entries)), None) => {
            let first = entries.first().map(|entry| entry.place.clone());
            place = first.unwrap_or(place);
            None
        }
        (Some(L7::Http(entries)), Some(request)) => match &*lists.of_rule(rule, entries) {
            Ok(list) => {
                let verdict = judge_request(list, |verdict| verdict, flow, request);
                if let Some(nearest) = verdict.nearest {
                    place = nearest.rule.field;
                    lacking.extend(nearest.misses);
                } else if let Some(fits) = verdict.rule {
                    place = fits.field;
                }
                None
            }
            Err(error) => Some(Miss::new(MissKind::Other, error.to_string())),
        },
    };
    lacking.extend(more);
    (place, lacking)
}

/// What every request lacks for a rule about names.
pub(crate) const NOT_HTTP: &str = "it is about names, not about HTTP requests";
/// What every request lacks for a rule without any HTTP rule that could be read.
pub(crate) const NO_ENTRY: &str = "all of its HTTP rules were refused, so it allows no request";
