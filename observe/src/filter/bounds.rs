//! What the filters of one request may cost: whoever reaches an observer or a relay may send any.
//!
//! Bounds are in number, in length and in what is compiled, and each is named where it refuses. A pattern
//! of a few bytes may be megabytes of automaton, so that its length alone says nothing.

use prost::Message as _;
use regex::{Regex, RegexBuilder};

use super::{FilterError, wrong};
use crate::api::{flow::FlowFilter, observer::GetFlowsRequest};

/// Filters in both lists.
const FILTERS: usize = 256;
/// Bytes of both lists, as they are sent.
const BYTES: usize = 64 << 10;
/// Values in both lists: each is compared with each flow.
const VALUES: usize = 1024;
/// Patterns in both lists.
const PATTERNS: usize = 32;
/// The longest pattern, in bytes.
const PATTERN: usize = 1024;
/// The largest program of a pattern, in bytes: of `\w`, which is of every script, some 50 KiB.
const COMPILED: usize = 256 << 10;
/// What a pattern may keep while it searches, in bytes.
const SEARCHING: usize = 128 << 10;
/// Expressions in CEL in both lists.
const EXPRESSIONS: usize = 16;
/// Patterns that an expression is counted as: it may make some of its own.
const EACH_EXPRESSION: usize = 4;

/// What is left to the filters of one request.
#[derive(Debug)]
pub struct Budget {
    /// So many there were.
    values: usize,
    patterns: usize,
    expressions: usize,
}

/// How many patterns a request has, an expression counted as some: what it costs in memory.
pub fn patterns(request: &GetFlowsRequest) -> usize {
    let filters = request.whitelist.iter().chain(&request.blacklist);
    filters.map(of_filter).sum()
}

fn of_filter(filter: &FlowFilter) -> usize {
    let fields = [
        &filter.source_fqdn,
        &filter.destination_fqdn,
        &filter.http_path,
        &filter.http_url,
        &filter.dns_query,
        &filter.node_name,
    ];
    let plain: usize = fields.into_iter().map(Vec::len).sum();
    let more = filter.experimental.as_ref();
    plain + more.map_or(0, |more| more.cel_expression.len() * EACH_EXPRESSION)
}

// === impl Budget ===

impl Budget {
    /// For these lists, where they are not too long already.
    pub fn of(allow: &[FlowFilter], deny: &[FlowFilter]) -> Result<Self, FilterError> {
        let number = allow.len() + deny.len();
        let field = if allow.len() > deny.len() {
            "whitelist"
        } else {
            "blacklist"
        };
        if number > FILTERS {
            return Err(wrong(
                field,
                format!("{number} filters, more than {FILTERS}"),
            ));
        }
        let bytes: usize = allow.iter().chain(deny).map(FlowFilter::encoded_len).sum();
        if bytes > BYTES {
            return Err(wrong(field, format!("{bytes} bytes, more than {BYTES}")));
        }
        Ok(Self {
            values: 0,
            patterns: PATTERNS,
            expressions: EXPRESSIONS,
        })
    }

    /// Takes values of a field.
    pub fn values(&mut self, number: usize) {
        self.values += number;
    }

    /// Whether there were too many values.
    pub fn overdrawn(&self) -> Result<(), String> {
        match self.values > VALUES {
            true => Err(format!("more than {VALUES} values in all")),
            false => Ok(()),
        }
    }

    /// Compiles a pattern.
    pub fn pattern(&mut self, text: &str) -> Result<Regex, String> {
        let left = self.patterns.checked_sub(1);
        self.patterns = left.ok_or_else(|| format!("more than {PATTERNS} patterns in all"))?;
        if text.len() > PATTERN {
            let bytes = text.len();
            return Err(format!("a pattern of {bytes} bytes, more than {PATTERN}"));
        }
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(COMPILED).dfa_size_limit(SEARCHING);
        builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("{text:?} is more than {COMPILED} bytes when it is compiled")
            }
            other => other.to_string(),
        })
    }

    /// Takes an expression in CEL.
    pub fn expression(&mut self) -> Result<(), String> {
        let left = self.expressions.checked_sub(1);
        self.expressions =
            left.ok_or_else(|| format!("more than {EXPRESSIONS} expressions in all"))?;
        Ok(())
    }
}
