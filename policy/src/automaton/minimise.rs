//! Fewer states that say the same (Moore 1956): states are one until a byte leads them to others
//! that are not.

use std::collections::HashMap;

use super::{ACCEPT, DEAD, Graph, START};

/// The smallest graph that accepts the same.
pub(super) fn minimise(graph: Graph) -> Graph {
    let states = graph.rows().count();
    let mut block: Vec<u32> = (0..states as u32)
        .map(|state| u32::from(state == ACCEPT))
        .collect();
    let mut count = 2;
    loop {
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut next = Vec::with_capacity(states);
        for (own, row) in block.iter().zip(graph.rows()) {
            let mut signature = Vec::with_capacity(row.len() + 1);
            signature.push(*own);
            signature.extend(row.iter().map(|to| at(&block, *to)));
            let fresh = known.len() as u32;
            next.push(*known.entry(signature).or_insert(fresh));
        }
        let now = known.len();
        block = next;
        if now == count {
            break;
        }
        count = now;
    }
    renumber(&graph, &block)
}

/// Blocks as states; where all is dead, there is a start that leads nowhere.
fn renumber(graph: &Graph, block: &[u32]) -> Graph {
    let width = graph.examples.len();
    let mut numbers = HashMap::from([(at(block, DEAD), DEAD), (at(block, ACCEPT), ACCEPT)]);
    let mut order = vec![DEAD, ACCEPT, START];
    // The start may be one with the dead state; it has a row of its own all the same.
    numbers.entry(at(block, START)).or_insert(START);
    let mut rows = vec![DEAD; 2 * width];
    let mut next = START as usize;
    while let Some(state) = order.get(next).copied() {
        next += 1;
        for to in graph.row(state) {
            let fresh = order.len() as u32;
            let number = *numbers.entry(at(block, *to)).or_insert_with(|| {
                order.push(*to);
                fresh
            });
            rows.push(number);
        }
    }
    Graph {
        class_of: graph.class_of,
        examples: graph.examples.clone(),
        rows,
    }
}

fn at(block: &[u32], state: u32) -> u32 {
    block.get(state as usize).copied().unwrap_or_default()
}
