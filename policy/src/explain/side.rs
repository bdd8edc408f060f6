//! One end's rules, one by one.

use super::{
    NearestMiss, RuleAt, RuleResult, SelectingPolicy, SideExplanation, http,
    misses::{self, Miss, MissKind, View},
};
use crate::{
    compile::{CompiledRule, Decision, DirectionSet, Slot, Verdict, subject},
    model::{Action, Direction, L7, Labels, ObjectRef, Pod, Protocol, Rule, Tier, World},
    verdict::{self, End, Flow, Outcome, SideVerdict, Simulator},
};

/// A rule that selects the endpoint, as the model has it and as it was compiled.
struct Pair<'a> {
    object: &'a ObjectRef,
    rule: &'a Rule,
    /// Which of the policy's rules for the direction it is, counted from 1.
    number: usize,
    /// Its policy is in audit mode.
    audit: bool,
    /// When it is asked.
    tier: Tier,
    misses: Vec<Miss>,
}

pub(super) fn explain<'a>(
    world: &'a World,
    simulator: &mut Simulator<'a>,
    flow: &Flow,
    direction: Direction,
    own: End<'a>,
    peer: End<'a>,
    side: SideVerdict,
) -> SideExplanation {
    let nothing = |side| SideExplanation {
        side,
        selected_by: Vec::new(),
        decided_by: Vec::new(),
        nearest_miss: None,
    };
    let Some(pod) = own.pod.filter(|pod| !pod.host_network) else {
        return nothing(side);
    };
    let slot = verdict::slot(flow.protocol, peer.address);
    let view = View {
        world,
        direction,
        own: pod,
        peer: peer.pod.filter(|pod| !pod.host_network),
        address: peer.address,
        destination: match direction {
            Direction::Ingress => own.address,
            Direction::Egress => peer.address,
        },
        protocol: match slot {
            Slot::Icmpv6 => Protocol::Icmpv6,
            _ => flow.protocol,
        },
        port: verdict::kind(flow, peer.address, flow.port.unwrap_or(0)),
    };
    let snapshot = simulator.snapshot(&pod.node);
    let set = snapshot
        .endpoint(&pod.namespace, &pod.name)
        .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
    let atoms = snapshot
        .address(peer.address)
        .and_then(|entry| snapshot.classes.get(&entry.class));
    let (Some(set), Some(atoms)) = (set, atoms) else {
        return nothing(side);
    };
    let compiled: &DirectionSet = match direction {
        Direction::Ingress => &set.ingress,
        Direction::Egress => &set.egress,
    };
    let fits = |rule: &CompiledRule| rule.matches(atoms, slot, view.port);
    let (selected_by, pairs) = walk(&view, pod, compiled, fits);
    let decision = compiled.decide(atoms, slot, view.port);
    let decided_by = decided(&side, &decision, &pairs, flow);
    let nearest_miss = nearest(&side, &decision, &pairs, flow);
    SideExplanation {
        side,
        selected_by,
        decided_by,
        nearest_miss,
    }
}

/// Every policy that selects the endpoint, and its rules in the order of the compiled ones.
fn walk<'a>(
    view: &View<'a>,
    pod: &Pod,
    compiled: &DirectionSet,
    fits: impl Fn(&CompiledRule) -> bool,
) -> (Vec<SelectingPolicy>, Vec<Pair<'a>>) {
    let no_labels = Labels::new();
    let subject = subject(view.world, pod, &no_labels);
    let mut selecting = Vec::new();
    let mut pairs = Vec::new();
    for policy in &view.world.policies {
        let mut selected = SelectingPolicy {
            policy: policy.object.to_string(),
            isolates: false,
            audit: policy.audit,
            rules: Vec::new(),
        };
        let mut selects = false;
        for spec in &policy.specs {
            let section = spec.section(view.direction);
            if !spec.subject.matches(subject) {
                continue;
            }
            selects |= section.isolates || !section.rules.is_empty();
            selected.isolates |= section.isolates;
            for rule in &section.rules {
                let mut misses = misses::of_rule(view, &policy.object, rule);
                // What matches is the engine's word, whatever can be said of why.
                let matches = match compiled.rules.get(pairs.len()) {
                    Some(compiled) => fits(compiled),
                    None => misses.is_empty(),
                };
                if matches {
                    misses.clear();
                } else if misses.is_empty() {
                    let text = "its peers or ports do not include this flow";
                    misses.push(Miss::new(MissKind::Other, text));
                }
                selected.rules.push(RuleResult {
                    field: rule.place.clone(),
                    action: rule.action,
                    matches,
                    misses: misses.clone(),
                });
                pairs.push(Pair {
                    object: &policy.object,
                    rule,
                    number: selected.rules.len(),
                    audit: policy.audit,
                    tier: spec.tier,
                    misses,
                });
            }
        }
        if selects {
            selecting.push(selected);
        }
    }
    (selecting, pairs)
}

/// The rules behind the verdict; of HTTP rules the entry that matched the request.
fn decided(
    side: &SideVerdict,
    decision: &Decision,
    pairs: &[Pair<'_>],
    flow: &Flow,
) -> Vec<RuleAt> {
    let at = |pair: &Pair<'_>, field: &str| RuleAt {
        policy: pair.object.to_string(),
        field: field.to_owned(),
    };
    let rules = decision.rules.iter().filter_map(|index| pairs.get(*index));
    let by_request = matches!(decision.verdict, Verdict::Http | Verdict::HttpAudit);
    let requests = by_request && flow.http.is_some();
    if !requests {
        return rules.map(|pair| at(pair, &pair.rule.place)).collect();
    }
    if side.verdict != Outcome::Allow || side.audit {
        return Vec::new();
    }
    rules
        .flat_map(|pair| {
            pair.rule
                .http()
                .into_iter()
                .flatten()
                .map(move |http| (pair, http))
        })
        .find(|(_, entry)| http::misses(flow, entry).is_empty())
        .map(|(pair, entry)| at(pair, &entry.place))
        .into_iter()
        .collect()
}

/// The allow rule that lacks the least, where the default denied (or would, but for audit mode).
fn nearest(
    side: &SideVerdict,
    decision: &Decision,
    pairs: &[Pair<'_>],
    flow: &Flow,
) -> Option<NearestMiss> {
    let denies = matches!(decision.verdict, Verdict::Deny | Verdict::Audit);
    let explicit = denies && !decision.rules.is_empty();
    if (side.verdict == Outcome::Allow && !side.audit) || explicit {
        return None;
    }
    let mut candidates: Vec<(&Pair<'_>, &str, Vec<Miss>)> = Vec::new();
    for pair in pairs
        .iter()
        .filter(|p| p.rule.action == Action::Allow && p.tier == Tier::Normal)
    {
        let mut lacking = pair.misses.clone();
        if pair.audit && !side.audit {
            let text = "its policy is in audit mode, so what it allows is not in force";
            lacking.push(Miss::new(MissKind::Other, text));
        }
        match &pair.rule.l7 {
            None => candidates.push((pair, &pair.rule.place, lacking.clone())),
            Some(l7) if !l7.speaks(flow.protocol) => {
                let mut misses = lacking.clone();
                if misses.is_empty() {
                    let text = match l7 {
                        L7::Http(_) => "HTTP rules allow TCP only",
                        L7::Tls(_) => "server names are about TCP only",
                        L7::Dns(_) => "DNS rules are about UDP and TCP only",
                    };
                    misses.push(Miss::new(MissKind::Protocol, text));
                }
                candidates.push((pair, &pair.rule.place, misses));
            }
            Some(L7::Tls(_) | L7::Dns(_)) => {
                let mut misses = lacking.clone();
                if flow.http.is_some() {
                    let text = "it is about names, not about HTTP requests";
                    misses.push(Miss::new(MissKind::Other, text));
                }
                candidates.push((pair, &pair.rule.place, misses));
            }
            Some(L7::Http(entries)) if entries.is_empty() => {
                let mut misses = lacking.clone();
                let text = "all of its HTTP rules were refused, so it allows no request";
                misses.push(Miss::new(MissKind::Other, text));
                candidates.push((pair, &pair.rule.place, misses));
            }
            Some(L7::Http(entries)) => candidates.extend(entries.iter().map(|entry| {
                let mut misses = lacking.clone();
                misses.extend(http::misses(flow, entry));
                (pair, entry.place.as_str(), misses)
            })),
        }
    }
    let (pair, field, misses) = candidates
        .into_iter()
        .filter(|(_, _, misses)| !misses.is_empty())
        .min_by_key(|(_, _, misses)| misses::distance(misses))?;
    let text = format!(
        "rule {} of {} ({field}) would match but for {}",
        pair.number,
        pair.object,
        misses::phrase(&misses)
    );
    Some(NearestMiss {
        policy: pair.object.to_string(),
        field: field.to_owned(),
        number: pair.number,
        misses,
        text,
    })
}
