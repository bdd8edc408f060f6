//! One document's text as a value, within bounds.
//!
//! Whoever writes a manifest chooses its shape. So depth is bounded while it is read; aliases may copy
//! only so much that a file's values stay in proportion to its text ("billion laughs"); and a key that
//! stands twice is refused, because a map would keep one and forget the other. Scalars are those of
//! YAML 1.2's core schema, with `0b` numbers beside it; merge keys (`<<`) are YAML 1.1's, as `kubectl`
//! has them.

use std::{cell::Cell, rc::Rc};

use serde::de::DeserializeOwned;
use serde_saphyr::{
    Error, Options,
    budget::BudgetBreach,
    options::{AliasLimits, NonFiniteFloatPolicy},
};

/// Maps and lists in one another. Objects of Kubernetes have some twenty.
pub const DEEPEST: usize = 64;
/// Values that aliases may copy in any file, beside as many values as its text has bytes.
const COPIES: usize = 20_000;
/// Bytes that they may copy in any file.
const BYTES: usize = 1 << 20;
/// And for each byte of its text.
const BYTES_PER_BYTE: usize = 8;
/// The longest reason that is told, in characters: a text chooses what stands in it.
const LONGEST: usize = 400;

/// What the values of a file may still come to.
#[derive(Debug)]
pub struct Left {
    values: usize,
    bytes: usize,
}

impl Left {
    /// For a file of this text.
    pub fn of(text: &str) -> Self {
        Self {
            values: COPIES + text.len(),
            bytes: BYTES + BYTES_PER_BYTE * text.len(),
        }
    }
}

/// What is wrong with a text.
#[derive(Debug)]
pub struct Fault {
    /// Line of the text, counted from 1.
    pub line: usize,
    /// What it is.
    pub reason: String,
}

/// The value of a text that holds one document.
///
/// # Errors
/// It is not YAML, holds more than one document, is nested too deeply, or its aliases copy too much.
pub fn read<T: DeserializeOwned>(text: &str, left: &mut Left) -> Result<T, Fault> {
    let used = Rc::new(Cell::new((0, 0)));
    let report = Rc::clone(&used);
    let options =
        options(left).with_budget_report(move |of| report.set((of.nodes, of.total_scalar_bytes)));
    let value = serde_saphyr::from_str_with_options(text, options);
    let (values, bytes) = used.get();
    left.values = left.values.saturating_sub(values);
    left.bytes = left.bytes.saturating_sub(bytes);
    value.map_err(|error| fault(&error))
}

fn options(&Left { values, bytes }: &Left) -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEEPEST,
        max_nodes: values,
        max_events: 3 * values,
        max_aliases: values,
        max_anchors: values,
        max_merge_keys: values,
        max_recorded_anchor_events: 3 * values,
        max_recorded_anchor_bytes: bytes,
        max_total_scalar_bytes: bytes,
        enforce_alias_anchor_ratio: false,
    };
    let mut options = Options::default();
    options.budget = budget;
    options.alias_limits = AliasLimits::default();
    options.alias_limits.max_total_replayed_events = values;
    options.alias_limits.max_alias_expansions_per_anchor = values;
    options.strict_booleans = true;
    // Readers differ on what number they would be.
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options
}

fn fault(error: &Error) -> Fault {
    let line = error.location().map_or(1, |place| place.line());
    let mut original = error;
    while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = original {
        original = error;
    }
    let reason = match original {
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        }
        | Error::AliasReplayStackDepthExceeded { .. } => too_deep(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            "its aliases (`*name`) copy more than the file is worth: write the values out"
                .to_owned()
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key: String = key.iter().flat_map(|key| key.chars()).take(80).collect();
            format!("duplicate entry with key \"{}\"", key.escape_debug())
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands inside what it names".to_owned()
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "`<<` merges a map (`<<: *name`) or a list of maps (`<<: [*a, *b]`)".to_owned()
        }
        other => told(&other.to_string()),
    };
    Fault {
        line: usize::try_from(line).unwrap_or(1),
        reason,
    }
}

/// Without the place, which is of the document and not of the file.
fn told(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("recursion limit") {
        return too_deep();
    }
    text.chars().take(LONGEST).collect()
}

/// Why a value of more than [`DEEPEST`] is refused.
fn too_deep() -> String {
    format!("is nested too deeply: at most {DEEPEST} maps and lists in one another")
}
