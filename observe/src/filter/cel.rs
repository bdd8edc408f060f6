//! Filters in CEL, as Hubble takes them: `_flow` is the flow, its enums are named as in
//! `_flow.verdict == Verdict.DROPPED`. Fields that are not set have their defaults, as in protobuf.
//!
//! Strangers' expressions are bounded: in length, in depth, and by no loop inside a loop. An expression
//! that fails on a flow does not match it.

mod message;
mod shape;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cel::{Context, ExecutionError, IdedExpr, Value, extractors::This, parser::PrattParser};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use regex::{Regex, RegexBuilder};

use super::{FilterError, Tests, wrong};
use crate::{
    api::flow::{Flow, FlowFilter},
    json,
};

use message::Message;

/// The variable that is the flow.
const FLOW: &str = "_flow";
/// The longest expression, in bytes.
const LONGEST: usize = 2048;
/// The deepest nesting of brackets, signs and conditions.
const DEEPEST: u16 = 32;
/// The largest program of a pattern in `matches`, in bytes.
const PATTERN: usize = 64 << 10;
/// Patterns that are kept; an expression may make them of what is in flows.
const PATTERNS: usize = 16;

pub fn compile(filter: &FlowFilter, tests: &mut Tests<'_>) -> Result<(), FilterError> {
    let wrong = |reason: String| wrong("experimental.cel_expression", reason);
    let texts = filter
        .experimental
        .iter()
        .flat_map(|more| &more.cel_expression);
    let mut expressions = Vec::new();
    for text in texts {
        tests.budget.expression().map_err(wrong)?;
        expressions.push(Arc::new(Expression::new(text).map_err(wrong)?));
    }
    // One of them must hold, as of the values of every other field.
    tests.any(&expressions, |expression, flow| expression.holds(flow));
    Ok(())
}

/// An expression that is a condition on flows.
struct Expression {
    tree: IdedExpr,
    /// All that does not depend on the flow.
    names: Context<'static, 'static>,
}

// === impl Expression ===

impl Expression {
    fn new(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("{} bytes, more than {LONGEST}", text.len()));
        }
        let flow = json::descriptor(<Flow as json::Json>::NAME)?;
        // The crate's other parser takes the stack before it counts how deep it is.
        let parser = PrattParser::new().max_recursion_depth(DEEPEST);
        let parsed = parser.error_reporting_limit(1).parse(text);
        let mut tree = parsed.map_err(|errors| format!("{text:?}: {errors}"))?;
        shape::check(&mut tree, &flow).map_err(|reason| format!("{text:?}: {reason}"))?;
        let names = names(&tree)?;
        let expression = Self { tree, names };
        // What is no condition on a flow without anything is none on any.
        match expression.on(&Flow::default())? {
            Ok(Value::Bool(_)) | Err(ExecutionError::IndexOutOfBounds(_)) => Ok(expression),
            Ok(other) => Err(format!("{text:?} is no condition but {}", other.type_of())),
            Err(error) => Err(format!("{text:?}: {error}")),
        }
    }

    fn holds(&self, flow: &Flow) -> bool {
        matches!(self.on(flow), Ok(Ok(Value::Bool(true))))
    }

    fn on(&self, flow: &Flow) -> Result<Result<Value, ExecutionError>, String> {
        let descriptor = json::descriptor(<Flow as json::Json>::NAME)?;
        let bytes = flow.encode_to_vec();
        let flow = DynamicMessage::decode(descriptor, bytes.as_slice());
        let flow = flow.map_err(|error| error.to_string())?;
        let mut context = self.names.new_inner_scope();
        context.add_variable_as_val(FLOW, Box::new(Message::new(flow)));
        Ok(Value::resolve(&self.tree, &context))
    }
}

/// The enums that an expression names, and `matches`, whose patterns are bounded.
fn names(tree: &IdedExpr) -> Result<Context<'static, 'static>, String> {
    let mut context = Context::default();
    for name in tree.references().variables() {
        if let Some(values) = shape::enums().get(name) {
            context.add_variable_from_value(name, values.clone());
        }
    }
    let patterns = Patterns::default();
    let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
        patterns.matches(&pattern, &text)
    };
    let added = context.add_function("matches", matches);
    added.map_err(|error| error.to_string())?;
    Ok(context)
}

/// Patterns of `matches`, compiled once.
#[derive(Debug, Default)]
struct Patterns(Mutex<HashMap<String, Option<Regex>>>);

impl Patterns {
    fn matches(&self, pattern: &str, text: &str) -> Result<bool, ExecutionError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PATTERNS && !known.contains_key(pattern) {
            known.clear();
        }
        let regex = known.entry(pattern.to_owned()).or_insert_with(|| {
            let mut builder = RegexBuilder::new(pattern);
            builder.size_limit(PATTERN).dfa_size_limit(PATTERN);
            builder.build().ok()
        });
        let regex = regex.as_ref().map(|regex| regex.is_match(text));
        regex.ok_or_else(|| ExecutionError::function_error("matches", "no pattern, or too large"))
    }
}

#[cfg(test)]
mod tests;
