//! Numbers by content.

use std::{collections::HashMap, hash::Hash};

/// Gives equal values the same number. A number is never given twice; a value that two rounds in
/// a row did not use is forgotten.
#[derive(Debug)]
pub(super) struct Interner<T> {
    ids: HashMap<T, Entry>,
    values: HashMap<u32, T>,
    last: u32,
    round: u64,
}

#[derive(Debug)]
struct Entry {
    id: u32,
    used: u64,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            values: HashMap::new(),
            last: 0,
            round: 0,
        }
    }
}

impl<T: Eq + Hash + Clone> Interner<T> {
    /// An interner whose numbers begin above `last`.
    pub(super) fn after(last: u32) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    /// The number of a value; never 0.
    pub(super) fn id(&mut self, value: &T) -> u32 {
        let round = self.round;
        if let Some(entry) = self.ids.get_mut(value) {
            entry.used = round;
            return entry.id;
        }
        // Wrapping after four thousand million values could meet a live one: step over it.
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.values.contains_key(&self.last) {
                break;
            }
        }
        let id = self.last;
        self.ids.insert(value.clone(), Entry { id, used: round });
        self.values.insert(id, value.clone());
        id
    }

    /// The value of a number.
    pub(super) fn get(&self, id: u32) -> Option<T> {
        self.values.get(&id).cloned()
    }

    /// Ends a round.
    pub(super) fn forget(&mut self) {
        let oldest = self.round.saturating_sub(1);
        self.ids.retain(|_, entry| entry.used >= oldest);
        let ids = &self.ids;
        self.values.retain(|_, value| ids.contains_key(value));
        self.round += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lives_one_round_longer_than_its_value_and_never_comes_back() {
        let mut interner = Interner::default();
        let first = interner.id(&"a");
        assert_eq!(interner.id(&"a"), first);
        interner.forget();
        interner.forget();
        assert_eq!(interner.get(first), Some("a"), "unused for one round");
        interner.forget();
        assert_eq!(interner.get(first), None, "unused for two rounds");
        assert_ne!(interner.id(&"a"), first);
    }
}
