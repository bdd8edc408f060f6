//! Many patterns matched in one pass over a text.

use std::{fmt, ops::RangeInclusive, sync::OnceLock};

use regex_automata::{
    Anchored, Input, MatchKind, PatternID,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson,
    util::pool::Pool,
};

use super::compiled::Lazy;
use crate::objects::pattern;

/// The most bytes of an automaton's program; more patterns than that make another automaton.
const PROGRAM_BYTES: usize = 64 << 20;
/// States are made as texts need them and kept in at most so many bytes for each pattern, within
/// these bounds, in each thread.
const CACHE_BYTES_OF_ONE: usize = 2 << 10;
const CACHE_BYTES: RangeInclusive<usize> = 256 << 10..=16 << 20;
/// A cache that was emptied so often, with fewer bytes read for each state made, helps no more.
const EMPTIED: usize = 2;
const BYTES_FOR_STATE: usize = 8;

/// Patterns that are matched together.
#[derive(Debug)]
pub(super) struct Many {
    patterns: Vec<Lazy>,
    /// Made when the first text comes: many lists never see one.
    automata: OnceLock<Vec<Automaton>>,
}

/// Some of the patterns, from the first on.
struct Automaton {
    first: usize,
    last: usize,
    /// `None` where it cannot be made: then pattern after pattern is tried.
    made: Option<Made>,
}

struct Made {
    dfa: DFA,
    caches: Pool<Cache, Fresh>,
}

type Fresh = Box<dyn Fn() -> Cache + Send + Sync>;

/// The cache does not help with this text.
struct GaveUp;

// === impl Many ===

impl Many {
    /// Patterns that are RE2's.
    pub fn new(patterns: Vec<Lazy>) -> Self {
        Self {
            patterns,
            automata: OnceLock::new(),
        }
    }

    /// Makes what the first text would make.
    pub fn prepare(&self) {
        self.automata();
    }

    fn automata(&self) -> &[Automaton] {
        self.automata.get_or_init(|| {
            let mut automata = Vec::new();
            self.make(0, self.patterns.len(), &mut automata);
            automata
        })
    }

    fn make(&self, first: usize, last: usize, automata: &mut Vec<Automaton>) {
        let Some(patterns) = self.patterns.get(first..last).filter(|of| !of.is_empty()) else {
            return;
        };
        let made = Made::new(patterns);
        if made.is_none() && patterns.len() > 1 {
            let middle = first + patterns.len() / 2;
            self.make(first, middle, automata);
            self.make(middle, last, automata);
            return;
        }
        automata.push(Automaton { first, last, made });
    }

    /// Calls back with every pattern that matches the whole text, by its place, in no order.
    pub fn matching(&self, text: &str, mut found: impl FnMut(usize)) {
        if self.patterns.is_empty() {
            return;
        }
        for automaton in self.automata() {
            if let Some(made) = &automaton.made
                && made
                    .matching(text, |id| found(automaton.first + id.as_usize()))
                    .is_ok()
            {
                continue;
            }
            let range = automaton.first..automaton.last;
            let patterns = self.patterns.get(range.clone()).unwrap_or_default();
            for (place, _) in range.zip(patterns).filter(|(_, one)| one.matches(text)) {
                found(place);
            }
        }
    }
}

// === impl Made ===

impl Made {
    fn new(patterns: &[Lazy]) -> Option<Self> {
        let sources: Vec<String> = patterns
            .iter()
            .map(|lazy| pattern::anchored(&lazy.source).ok())
            .collect::<Option<_>>()?;
        let cache =
            (patterns.len() * CACHE_BYTES_OF_ONE).clamp(*CACHE_BYTES.start(), *CACHE_BYTES.end());
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(cache)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(EMPTIED))
            .minimum_bytes_per_state(Some(BYTES_FOR_STATE));
        let dfa = DFA::builder()
            .configure(config)
            .thompson(thompson::Config::new().nfa_size_limit(Some(PROGRAM_BYTES)))
            .build_many(&sources)
            .ok()?;
        let template = dfa.clone();
        let fresh: Fresh = Box::new(move || template.create_cache());
        Some(Self {
            dfa,
            caches: Pool::new(fresh),
        })
    }

    /// Nothing was called back where it gave up.
    fn matching(&self, text: &str, mut found: impl FnMut(PatternID)) -> Result<(), GaveUp> {
        let mut cache = self.caches.get();
        let walked = self.walk(&mut cache, text);
        if walked.is_err() {
            // The next text may be another kind of text.
            cache.reset(&self.dfa);
        }
        let state = walked?;
        if state.is_match() {
            for index in 0..self.dfa.match_len(&cache, state) {
                found(self.dfa.match_pattern(&cache, state, index));
            }
        }
        Ok(())
    }

    /// The state after the whole text: patterns are anchored, so that nothing matches before.
    fn walk(&self, cache: &mut Cache, text: &str) -> Result<LazyStateID, GaveUp> {
        let gave_up = |_| GaveUp;
        let input = Input::new(text).anchored(Anchored::Yes);
        let start = self.dfa.start_state_forward(cache, &input);
        let mut state = start.map_err(|_| GaveUp)?;
        for byte in text.bytes() {
            state = self.dfa.next_state(cache, state, byte).map_err(gave_up)?;
            if state.is_dead() {
                return Ok(state);
            }
            if state.is_quit() {
                return Err(GaveUp);
            }
        }
        self.dfa.next_eoi_state(cache, state).map_err(gave_up)
    }
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}
