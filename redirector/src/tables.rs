//! The tables that the kernel judges request lines by: where each stands, and when its place is free
//! again. See `weir_policy::automaton`.

mod memory;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use aya::maps::{Map, MapError};
use weir_abi::{http::TABLES, policy::PolicyValue};
use weir_policy::{
    automaton::{self, LENGTH_WORD},
    compile::DirectionSet,
};

use memory::Memory;

use crate::programs::{Programs, ProgramsError};

/// Tables begin at multiples of so many words; 0 is none's.
const UNIT: usize = 64;
const UNITS: usize = TABLES / 4 / UNIT;
/// After this no program still walks a table that no entry leads to.
const GRACE: Duration = Duration::from_millis(100);

/// Method and path patterns of a list.
type Lines = Vec<(Option<String>, Option<String>)>;

/// Which tables there are.
#[derive(Debug)]
pub struct Tables {
    memory: Memory,
    /// Units that a table begins with, and how many it has.
    taken: BTreeMap<usize, usize>,
    /// Since when no entry leads to a table.
    left: HashMap<usize, Instant>,
    /// Where the table of a list stands; `None`: it has none.
    of: HashMap<Lines, Option<usize>>,
}

// === impl Tables ===

impl Tables {
    /// Maps the tables' memory. What an earlier agent's entries lead to stays.
    ///
    /// # Errors
    /// The kernel does not give the memory.
    pub fn open<'e>(
        programs: &mut Programs,
        entries: impl IntoIterator<Item = &'e PolicyValue>,
    ) -> Result<Self, ProgramsError> {
        let name = || "TABLES".to_owned();
        let memory = match programs.take_map("TABLES")? {
            Map::Array(map) => Memory::map(&map),
            _ => return Err(ProgramsError::Missing { name: name() }),
        };
        let memory = memory.map_err(|error| ProgramsError::Map {
            name: name(),
            source: MapError::IoError(error),
        })?;
        let mut taken = BTreeMap::new();
        for entry in entries {
            let unit = entry.table as usize;
            if unit != 0 {
                let words = memory.word(unit * UNIT + LENGTH_WORD) as usize;
                taken.insert(unit, words.div_ceil(UNIT).max(1));
            }
        }
        Ok(Self {
            memory,
            taken,
            left: HashMap::new(),
            of: HashMap::new(),
        })
    }

    /// Where the table of a decision by some rules of a set stands, in units of 64 words; 0 where it
    /// has none: rules look at more than method and path, they are too many, or there is no room.
    pub fn place(&mut self, side: &DirectionSet, decided: &[usize]) -> u32 {
        let Some(rules) = automaton::rules_of(side, decided) else {
            return 0;
        };
        let lines: Lines = rules
            .iter()
            .map(|rule| (rule.method.clone(), rule.path.clone()))
            .collect();
        let known = self.of.get(&lines).copied();
        let unit = known.unwrap_or_else(|| {
            let table = automaton::table(rules);
            let unit = table.ok().and_then(|table| self.put(&table));
            self.of.insert(lines, unit);
            unit
        });
        unit.map_or(0, |unit| unit as u32)
    }

    /// Writes a table where there is room.
    fn put(&mut self, table: &automaton::Table) -> Option<usize> {
        let wanted = table.len().div_ceil(UNIT);
        let mut from = 1;
        for (unit, units) in &self.taken {
            if from + wanted <= *unit {
                break;
            }
            from = from.max(unit + units);
        }
        if from + wanted > UNITS {
            return None;
        }
        self.memory
            .write(from * UNIT, &table.at((from * UNIT) as u32));
        self.taken.insert(from, wanted);
        Some(from)
    }

    /// Frees what no entry has led to for a while.
    pub fn keep<'e>(&mut self, entries: impl IntoIterator<Item = &'e PolicyValue>, now: Instant) {
        let used: BTreeSet<usize> = entries
            .into_iter()
            .map(|entry| entry.table as usize)
            .collect();
        let left = &mut self.left;
        let before = self.taken.len();
        self.taken.retain(|unit, _| {
            if used.contains(unit) {
                left.remove(unit);
                return true;
            }
            now.saturating_duration_since(*left.entry(*unit).or_insert(now)) < GRACE
        });
        if self.taken.len() != before {
            let taken = &self.taken;
            left.retain(|unit, _| taken.contains_key(unit));
            // What had no room may find some.
            self.of
                .retain(|_, unit| unit.is_some_and(|unit| taken.contains_key(&unit)));
        }
    }
}
