//! What a selector that is not understood may mean at most.
//!
//! Where a policy closes something and its selector is wrong, what is closed must hold everything
//! that the selector may have meant, and should hold nothing that it cannot: requirements are ANDed,
//! so those that are understood hold, and of the others as much as can be told.

use std::collections::BTreeSet;

use super::{
    field::{Field, Object},
    labels,
};
use crate::model::{Key, Operator, Requirement, Selector};

/// The parts of a selector that are understood.
#[derive(Debug, Default)]
pub(super) struct AtMost {
    /// Requirements that hold whatever the rest means.
    pub known: Vec<Requirement>,
    /// Something is left out of them.
    pub loose: bool,
    /// Among that is a label that is asked for and that nobody can have.
    pub impossible: bool,
}

/// Reads as much of a selector as can be told; `key` as in [`labels::selector`].
pub(super) fn selector(field: &Field<'_>, key: fn(&str) -> Result<Key, String>) -> AtMost {
    let mut found = AtMost::default();
    let Ok(object) = field.object() else {
        found.loose = true;
        return found;
    };
    found.loose = object
        .only(&["matchLabels", "matchExpressions"], &[])
        .is_err();
    match object.get("matchLabels").map(|labels| labels.object()) {
        None => {}
        Some(Ok(labels)) => {
            for (name, entry) in labels.entries() {
                let values = labels::value(&entry).map(|value| BTreeSet::from([value.to_owned()]));
                found.take(key(name).ok(), Operator::In, values.ok());
            }
        }
        Some(Err(_)) => found.loose = true,
    }
    match object.items("matchExpressions") {
        Ok(expressions) => {
            for expression in &expressions {
                match expression.object() {
                    Ok(expression) => found.expression(&expression, key),
                    Err(_) => found.loose = true,
                }
            }
        }
        Err(_) => found.loose = true,
    }
    found
}

// === impl AtMost ===

impl AtMost {
    /// Who may be meant; `None`: nobody, because no part is understood but one that nobody fits.
    pub(super) fn selector(self) -> Option<Selector> {
        let nobody = self.known.is_empty() && self.impossible;
        (!nobody).then(|| Selector::new(self.known))
    }

    fn expression(&mut self, object: &Object<'_>, key: fn(&str) -> Result<Key, String>) {
        let operator = object.field("operator").text().ok();
        let operator = operator.and_then(labels::operator);
        let (Ok(name), Some(operator)) = (object.field("key").text(), operator) else {
            self.loose = true;
            return;
        };
        if object.only(&["key", "operator", "values"], &[]).is_err() {
            // A field that is not known may be the misspelt `values`, or more of them.
            self.loose = true;
            self.take(key(name).ok(), operator, None);
            return;
        }
        let values = object.items("values").map(|items| {
            let values = items.iter().map(labels::value);
            values.map(|value| value.map(str::to_owned)).collect()
        });
        self.take(key(name).ok(), operator, values.and_then(|all| all).ok());
    }

    /// Takes one requirement in; what is not understood of it is `None`.
    fn take(&mut self, key: Option<Key>, operator: Operator, values: Option<BTreeSet<String>>) {
        let presence = matches!(operator, Operator::In | Operator::Exists);
        let Some(key) = key else {
            // Nobody has such a label: without it everybody fits, with it nobody.
            self.loose = true;
            self.impossible |= presence;
            return;
        };
        if matches!(key, Key::Reserved(_)) && !presence {
            // Every pod fits: it tells nothing of whom is meant.
            self.loose = true;
            return;
        }
        let values = values.filter(|values| !values.is_empty());
        let (operator, values) = match (operator, values) {
            (Operator::In | Operator::NotIn, Some(values)) => (operator, values),
            // Which value is meant is not known; that there is one, is.
            (Operator::In, None) => {
                self.loose = true;
                (Operator::Exists, BTreeSet::new())
            }
            (Operator::NotIn, None) => {
                self.loose = true;
                return;
            }
            (Operator::Exists | Operator::DoesNotExist, _) => (operator, BTreeSet::new()),
        };
        self.known.push(Requirement {
            key,
            operator,
            values,
        });
    }
}
