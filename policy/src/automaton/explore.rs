//! The product of the patterns' automata and the line's machine.
//!
//! Methods are walked first. Where one ends, the rules whose method it matches are known, and the
//! paths of exactly these go on as one automaton.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};

use super::{
    ACCEPT, DEAD, Graph, MOST_BYTES, MOST_STATES, NoAutomaton, START,
    line::{REGIONS, Region, Step},
};
use crate::objects::pattern;

type Dfa = dense::DFA<Vec<u32>>;
/// Method and path pattern of a rule; none: any.
type Line<'r> = (Option<&'r str>, Option<&'r str>);

/// What is named by its number among the method patterns: no path goes with it.
const CONNECT: &str = "CONNECT";

/// Where in the product a walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Method(Region, StateID),
    /// With the paths that go on.
    Path(Region, usize, StateID),
}

/// The automata.
struct Parts<'r> {
    lines: &'r [Line<'r>],
    /// Method patterns, each once; the first is [`CONNECT`].
    methods: Vec<&'r str>,
    method: Dfa,
    /// By the method patterns that match.
    sets: BTreeMap<Vec<usize>, usize>,
    /// Of each set; none: every path goes.
    paths: Vec<Option<Dfa>>,
}

/// The graph of some lines.
pub(super) fn graph(lines: &[Line<'_>]) -> Result<Graph, NoAutomaton> {
    let mut parts = Parts::new(lines)?;
    parts.find_sets()?;
    let (class_of, examples) = parts.classes();
    let first = Place::Method(Region::Method(0), begin(&parts.method)?);
    let mut numbers = HashMap::from([(first, START)]);
    let mut order = vec![first];
    let mut rows = vec![DEAD; 2 * examples.len()];
    let mut next = 0;
    while let Some(place) = order.get(next).copied() {
        next += 1;
        for byte in &examples {
            let to = match parts.step(place, *byte) {
                To::Dead => DEAD,
                To::Accept => ACCEPT,
                To::Place(place) => {
                    let fresh = START + order.len() as u32;
                    *numbers.entry(place).or_insert_with(|| {
                        order.push(place);
                        fresh
                    })
                }
            };
            rows.push(to);
        }
        if order.len() > MOST_STATES {
            return Err(NoAutomaton::TooComplex);
        }
    }
    Ok(Graph {
        class_of,
        examples,
        rows,
    })
}

/// Where a byte leads in the product.
enum To {
    Dead,
    Accept,
    Place(Place),
}

// === impl Parts ===

impl<'r> Parts<'r> {
    fn new(lines: &'r [Line<'r>]) -> Result<Self, NoAutomaton> {
        let mut methods = vec![CONNECT];
        for (method, _) in lines {
            if let Some(method) = method
                && !methods.contains(method)
            {
                methods.push(method);
            }
        }
        let method = build(&methods)?;
        Ok(Self {
            lines,
            methods,
            method,
            sets: BTreeMap::new(),
            paths: Vec::new(),
        })
    }

    /// Walks all methods, and makes the paths' automaton of each set of rules that one leads to.
    fn find_sets(&mut self) -> Result<(), NoAutomaton> {
        let first = begin(&self.method)?;
        let mut seen = BTreeSet::from([first]);
        let mut open = vec![first];
        while let Some(state) = open.pop() {
            let matched = self.matched(state);
            if !self.sets.contains_key(&matched) {
                let paths = self.paths_of(&matched)?;
                self.sets.insert(matched, self.paths.len());
                self.paths.push(paths);
            }
            for letter in b'A'..=b'Z' {
                let to = self.method.next_state(state, letter);
                if seen.insert(to) {
                    open.push(to);
                }
            }
            if seen.len() > MOST_STATES {
                return Err(NoAutomaton::TooComplex);
            }
        }
        Ok(())
    }

    /// Which method patterns match where a method ends.
    fn matched(&self, state: StateID) -> Vec<usize> {
        let end = self.method.next_eoi_state(state);
        if !self.method.is_match_state(end) {
            return Vec::new();
        }
        let all = 0..self.method.match_len(end);
        let mut matched: Vec<usize> = all
            .map(|index| self.method.match_pattern(end, index).as_usize())
            .collect();
        matched.sort_unstable();
        matched
    }

    /// The automaton of the paths that go with these methods.
    fn paths_of(&self, matched: &[usize]) -> Result<Option<Dfa>, NoAutomaton> {
        let goes = |method: Option<&str>| match method {
            None => true,
            Some(method) => matched
                .iter()
                .any(|at| self.methods.get(*at) == Some(&method)),
        };
        // The pattern that matches nothing.
        let nothing = || build(&["[^\\x00-\\xff]"]).map(Some);
        if matched.first() == Some(&0) {
            return nothing();
        }
        let mut paths = BTreeSet::new();
        for (_, path) in self.lines.iter().filter(|(method, _)| goes(*method)) {
            match path {
                None => return Ok(None),
                Some(path) => {
                    paths.insert(*path);
                }
            }
        }
        if paths.is_empty() {
            return nothing();
        }
        let mut any = String::new();
        for path in paths {
            let one = pattern::anchored(path).map_err(|_| NoAutomaton::TooComplex)?;
            if !any.is_empty() {
                any.push('|');
            }
            any.push_str(&format!("(?:{one})"));
        }
        build_raw(&[any]).map(Some)
    }

    /// Bytes that no part tells apart are one class.
    fn classes(&self) -> ([u8; 256], Vec<u8>) {
        let mut known: HashMap<Vec<u8>, u8> = HashMap::new();
        let mut class_of = [0; 256];
        let mut examples = Vec::new();
        for (byte, class) in (0..=255u8).zip(&mut class_of) {
            let mut signature = vec![self.method.byte_classes().get(byte)];
            let paths = self.paths.iter().flatten();
            signature.extend(paths.map(|dfa| dfa.byte_classes().get(byte)));
            for region in REGIONS {
                signature.push(match region.step(byte) {
                    Step::Dead => 0,
                    Step::EndOfMethod => 1,
                    Step::EndOfPath => 2,
                    Step::To(Region::Method(_)) => 3,
                    Step::To(Region::First) => 4,
                    Step::To(Region::Slash) => 5,
                    Step::To(Region::Path) => 6,
                    Step::To(Region::Query) => 7,
                });
            }
            // INVARIANT: 256 bytes have no more than 256 classes.
            let next = known.len() as u8;
            *class = *known.entry(signature).or_insert_with(|| {
                examples.push(byte);
                next
            });
        }
        (class_of, examples)
    }

    fn step(&self, place: Place, byte: u8) -> To {
        match place {
            Place::Method(region, state) => match region.step(byte) {
                Step::To(region) => {
                    let state = self.method.next_state(state, byte);
                    To::Place(Place::Method(region, state))
                }
                Step::EndOfMethod => {
                    let Some(set) = self.sets.get(&self.matched(state)) else {
                        return To::Dead;
                    };
                    match self.paths.get(*set) {
                        Some(Some(dfa)) => begin(dfa).map_or(To::Dead, |state| {
                            To::Place(Place::Path(Region::First, *set, state))
                        }),
                        Some(None) => {
                            To::Place(Place::Path(Region::First, *set, StateID::default()))
                        }
                        None => To::Dead,
                    }
                }
                Step::Dead | Step::EndOfPath => To::Dead,
            },
            Place::Path(region, set, state) => {
                let dfa = self.paths.get(set).and_then(Option::as_ref);
                match (region.step(byte), dfa) {
                    (Step::To(region), None) => To::Place(Place::Path(region, set, state)),
                    (Step::To(region), Some(dfa)) => {
                        let state = dfa.next_state(state, byte);
                        if dfa.is_dead_state(state) {
                            return To::Dead;
                        }
                        To::Place(Place::Path(region, set, state))
                    }
                    (Step::EndOfPath, None) => To::Accept,
                    (Step::EndOfPath, Some(dfa))
                        if dfa.is_match_state(dfa.next_eoi_state(state)) =>
                    {
                        To::Accept
                    }
                    _ => To::Dead,
                }
            }
        }
    }
}

/// The automaton of patterns as policies have them, each of which must match a whole text.
fn build(patterns: &[&str]) -> Result<Dfa, NoAutomaton> {
    let anchored = patterns.iter().map(|one| pattern::anchored(one));
    let anchored: Vec<String> = anchored
        .collect::<Result<_, _>>()
        .map_err(|_| NoAutomaton::TooComplex)?;
    build_raw(&anchored)
}

/// Bytes over 127 never come: the patterns may be read as ones over bytes.
fn build_raw(patterns: &[String]) -> Result<Dfa, NoAutomaton> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(MOST_BYTES))
        .determinize_size_limit(Some(MOST_BYTES));
    let thompson = thompson::Config::new()
        .nfa_size_limit(Some(MOST_BYTES))
        .utf8(false);
    dense::Builder::new()
        .configure(config)
        .thompson(thompson)
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(patterns)
        .map_err(|_| NoAutomaton::TooComplex)
}

fn begin(dfa: &Dfa) -> Result<StateID, NoAutomaton> {
    dfa.start_state(&start::Config::new().anchored(Anchored::Yes))
        .map_err(|_| NoAutomaton::TooComplex)
}
