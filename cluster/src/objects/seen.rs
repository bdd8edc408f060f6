//! What a pod or a namespace wants to be seen of its traffic.

use serde_json::Value;
use weir_policy::model::{Problem, VISIBILITY, Visibility};

use super::{Converted, Object};

/// Adds what the annotation asks for. A word that is not understood shows nothing and is told; the
/// object counts all the same, because nothing depends on the annotation but what is seen.
pub(super) fn with_visibility(value: &Value, converted: Converted) -> Converted {
    let annotations = value.pointer("/metadata/annotations");
    let given = annotations.and_then(|all| all.get(VISIBILITY));
    let Converted::Good {
        key,
        mut object,
        mut problems,
    } = converted
    else {
        return converted;
    };
    if let Some(text) = given.and_then(Value::as_str) {
        let (asked, unknown) = Visibility::read(text);
        match &mut object {
            Object::Namespace(namespace) => namespace.visibility = asked,
            Object::Pod(pod) => pod.pod.visibility = Some(asked),
            _ => {}
        }
        problems.extend(unknown.map(|unknown| Problem {
            object: key.to_string(),
            field: format!("metadata.annotations[{VISIBILITY}]"),
            reason: unknown.to_string(),
        }));
    }
    Converted::Good {
        key,
        object,
        problems,
    }
}
