//! A graph as the words that the kernel walks.
//!
//! | words | what |
//! |---|---|
//! | 0 to 63 | class of each byte |
//! | 64 | where the walk begins |
//! | 65 | how many words it has |
//! | from 66 | rows and runs |
//!
//! Where a walk stands is 0 (dead), 1 (accepted) or the place of a row or, with [`RUN`], of a run,
//! counted from the first word of the map that tables stand in. A row has a word for each class:
//! where it leads. A run, four words, stands for up to eight states that have one way on each: how
//! many bytes, where they lead, the bytes. Most of a large policy is runs, and a run is one comparison.

use std::collections::HashMap;

use super::{ACCEPT, DEAD, Graph, START};

/// Set in the place of a run.
const RUN: u32 = 1 << 31;
/// Words of the classes.
const CLASS_WORDS: usize = 64;
/// Where the number of words stands.
pub const LENGTH_WORD: usize = CLASS_WORDS + 1;
/// Where rows and runs begin.
const FIRST: usize = LENGTH_WORD + 1;
const RUN_WORDS: usize = 4;
const RUN_BYTES: usize = 8;

/// A table; its places count from its own first word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    words: Vec<u32>,
    /// Which words are places.
    places: Vec<usize>,
}

/// A state as it will stand in the table.
struct Piece<'g> {
    at: usize,
    row: &'g [u32],
    run: Vec<u8>,
    to: u32,
}

// === impl Table ===

impl Table {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut classes = vec![0u32; CLASS_WORDS];
        for (word, four) in classes.iter_mut().zip(graph.class_of.chunks_exact(4)) {
            *word = four
                .iter()
                .rev()
                .fold(0, |word, class| word << 8 | u32::from(*class));
        }
        let (place, pieces, end) = layout(graph);
        let mut table = Self {
            words: classes,
            places: vec![CLASS_WORDS],
        };
        let of = |state: u32| place.get(&state).copied().unwrap_or(DEAD);
        table.words.resize(end, 0);
        table.put(CLASS_WORDS, of(START));
        table.put(LENGTH_WORD, end as u32);
        for piece in &pieces {
            if piece.run.is_empty() {
                for (at, to) in (piece.at..).zip(piece.row) {
                    table.put(at, of(*to));
                    table.places.push(at);
                }
                continue;
            }
            let bytes = piece.run.iter().rev();
            let text = bytes.fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            table.put(piece.at, piece.run.len() as u32);
            table.put(piece.at + 1, of(piece.to));
            table.places.push(piece.at + 1);
            table.put(piece.at + 2, text as u32);
            table.put(piece.at + 3, (text >> 32) as u32);
        }
        table
    }

    fn put(&mut self, at: usize, word: u32) {
        if let Some(place) = self.words.get_mut(at) {
            *place = word;
        }
    }

    /// How many words it has.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// It never is: a table has its classes at least.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words as they stand where the table begins at `base`, in words.
    pub fn at(&self, base: u32) -> Vec<u32> {
        let mut words = self.words.clone();
        for place in &self.places {
            if let Some(word) = words.get_mut(*place)
                && *word > ACCEPT
            {
                *word += base;
            }
        }
        words
    }

    /// Whether a text that begins with `METHOD SP path SP` is accepted, and how long that is. As the
    /// kernel walks it.
    pub fn accepts(&self, text: &[u8]) -> Option<usize> {
        let word = |at: usize| self.words.get(at).copied().unwrap_or(DEAD);
        let mut place = word(CLASS_WORDS);
        let mut at = 0;
        while place > ACCEPT {
            if place & RUN != 0 {
                let run = (place & !RUN) as usize;
                let bytes = u64::from(word(run + 2)) | u64::from(word(run + 3)) << 32;
                let length = word(run) as usize;
                let wanted = bytes.to_le_bytes();
                let same = text.get(at..at + length) == wanted.get(..length);
                place = if same { word(run + 1) } else { DEAD };
                at += length;
            } else {
                let byte = *text.get(at)?;
                let class = word(usize::from(byte) / 4) >> (u32::from(byte) % 4 * 8) & 0xff;
                place = word(place as usize + class as usize);
                at += 1;
            }
        }
        (place == ACCEPT).then_some(at)
    }
}

/// Where each state stands, what stands there, and where the last one ends.
fn layout(graph: &Graph) -> (HashMap<u32, u32>, Vec<Piece<'_>>, usize) {
    let mut members = vec![0u32; graph.examples.len()];
    for class in graph.class_of {
        if let Some(members) = members.get_mut(usize::from(class)) {
            *members += 1;
        }
    }
    // The only byte that leads on from a state, and where to.
    let only = |state: u32| -> Option<(u8, u32)> {
        let mut live = (0..).zip(graph.row(state)).filter(|(_, to)| **to != DEAD);
        let (class, to): (usize, &u32) = live.next()?;
        let alone = live.next().is_none() && members.get(class) == Some(&1);
        alone.then_some((*graph.examples.get(class)?, *to))
    };
    let mut place = HashMap::from([(DEAD, DEAD), (ACCEPT, ACCEPT)]);
    let (mut open, mut at, mut pieces) = (vec![START], FIRST, Vec::new());
    while let Some(state) = open.pop() {
        if place.contains_key(&state) {
            continue;
        }
        let (mut run, mut to) = (Vec::new(), state);
        while let Some((byte, next)) = only(to).filter(|_| run.len() < RUN_BYTES && to > ACCEPT) {
            run.push(byte);
            to = next;
        }
        let row = graph.row(state);
        let is_run = !run.is_empty();
        place.insert(state, at as u32 | if is_run { RUN } else { 0 });
        pieces.push(Piece { at, row, run, to });
        if is_run {
            open.push(to);
            at += RUN_WORDS;
        } else {
            open.extend(row);
            at += row.len();
        }
    }
    (place, pieces, at)
}
