//! Lints that a policy does not want to hear of.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Report,
    registry::{self, UNKNOWN_LINT},
};

/// The annotation: ids or names, with commas between them.
pub const ANNOTATION: &str = "weir.dev/lint-ignore";

/// The ids that a policy's annotation names.
pub(super) fn read(value: &Value, report: &mut Report) -> BTreeSet<&'static str> {
    let annotations = value.pointer("/metadata/annotations");
    let text = annotations.and_then(|annotations| annotations.get(ANNOTATION)?.as_str());
    let mut ignored = BTreeSet::new();
    let names = text.unwrap_or("").split([',', ' ']);
    for name in names.filter(|name| !name.is_empty()) {
        match registry::find(name) {
            Some(lint) => drop(ignored.insert(lint.id)),
            None => report.add(
                &UNKNOWN_LINT,
                format!("metadata.annotations[{ANNOTATION}]"),
                format!("there is no lint {name:?}"),
                "name lints as `weir lint --list` does",
            ),
        }
    }
    ignored
}
