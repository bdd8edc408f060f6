//! What an expression may look like, and which names it may use.

use std::{collections::HashMap, sync::OnceLock};

use cel::{
    IdedExpr, Value,
    common::ast::{EntryExpr, Expr},
};
use prost_reflect::{Kind, MessageDescriptor};

use super::FLOW;

/// Stands before a field's name where not its value is asked for but whether it is set.
pub const PRESENT: &str = "has ";
/// The deepest expression: deeper ones would take the stack.
const DEEPEST: usize = 64;

/// The enums of the API by their names, each with its values' numbers; `flow` has all of them.
pub fn enums() -> &'static HashMap<String, Value> {
    static ENUMS: OnceLock<HashMap<String, Value>> = OnceLock::new();
    ENUMS.get_or_init(|| {
        let flow = crate::json::descriptor(<crate::api::flow::Flow as crate::json::Json>::NAME);
        let pool = flow.map(|flow| flow.parent_pool().clone());
        let mut found: HashMap<String, Value> = HashMap::new();
        for of in pool.iter().flat_map(|pool| pool.all_enums()) {
            if of.package_name() == "flow" && of.parent_message().is_none() {
                let values = of.values();
                let values: HashMap<String, i64> = values
                    .map(|value| (value.name().to_owned(), i64::from(value.number())))
                    .collect();
                found.insert(of.name().to_owned(), values.into());
            }
        }
        let all: HashMap<String, Value> = found.clone();
        found.insert("flow".to_owned(), all.into());
        found
    })
}

/// Refuses what is too deep, a loop inside a loop, and names that there are not; makes `has(x.y)` ask
/// for presence.
pub fn check(tree: &mut IdedExpr, flow: &MessageDescriptor) -> Result<(), String> {
    let mut scope = Scope {
        flow,
        depth: 0,
        looping: false,
        locals: Vec::new(),
    };
    scope.walk(tree)
}

struct Scope<'f> {
    flow: &'f MessageDescriptor,
    depth: usize,
    looping: bool,
    locals: Vec<String>,
}

// === impl Scope ===

impl Scope<'_> {
    fn walk(&mut self, tree: &mut IdedExpr) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST}"));
        }
        self.inside(&mut tree.expr)?;
        self.depth -= 1;
        Ok(())
    }

    fn inside(&mut self, expr: &mut Expr) -> Result<(), String> {
        match expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.walk(&mut select.operand)?;
                if let Some(message) = self.message(&select.operand.expr) {
                    let Some(field) = message.get_field_by_name(&select.field) else {
                        return Err(format!(
                            "{} has no field {:?}",
                            message.name(),
                            select.field
                        ));
                    };
                    if select.test {
                        (select.test, select.field) = (false, format!("{PRESENT}{}", field.name()));
                    }
                }
                Ok(())
            }
            Expr::Call(call) => {
                let parts = call.target.iter_mut().map(|target| &mut **target);
                parts
                    .chain(&mut call.args)
                    .try_for_each(|part| self.walk(part))
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|one| self.walk(one)),
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|one| match &mut one.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.walk(&mut entry.key)?;
                        self.walk(&mut entry.value)
                    }
                    EntryExpr::StructField(field) => self.walk(&mut field.value),
                }),
            Expr::Struct(_) => Err("messages cannot be made".to_owned()),
            Expr::Comprehension(each) => {
                self.walk(&mut each.iter_range)?;
                if self.looping {
                    return Err("a loop (all, exists, map, filter) inside another one".to_owned());
                }
                self.looping = true;
                let before = self.locals.len();
                let names = [
                    Some(&each.iter_var),
                    each.iter_var2.as_ref(),
                    Some(&each.accu_var),
                ];
                self.locals.extend(names.into_iter().flatten().cloned());
                for part in [
                    &mut each.accu_init,
                    &mut each.loop_cond,
                    &mut each.loop_step,
                    &mut each.result,
                ] {
                    self.walk(part)?;
                }
                self.locals.truncate(before);
                self.looping = false;
                Ok(())
            }
        }
    }

    fn name(&self, name: &str) -> Result<(), String> {
        let local = self.locals.iter().any(|local| local == name);
        match local || name == FLOW || enums().contains_key(name) {
            true => Ok(()),
            false => Err(format!("there is no {name:?}; the flow is {FLOW}")),
        }
    }

    /// The message that a path from the flow leads to.
    fn message(&self, expr: &Expr) -> Option<MessageDescriptor> {
        match expr {
            Expr::Ident(name) if name == FLOW => Some(self.flow.clone()),
            Expr::Select(select) => {
                let field = self.message(&select.operand.expr)?;
                let field = field.get_field_by_name(&select.field)?;
                let Kind::Message(message) = field.kind() else {
                    return None;
                };
                let wrapper = message.full_name().starts_with("google.protobuf.");
                (!field.is_list() && !field.is_map() && !wrapper).then_some(message)
            }
            _ => None,
        }
    }
}
