//! `cilium.io` CiliumCIDRGroup: prefixes that policies name by an object (`pkg/k8s/apis/cilium.io/v2`).

use serde_json::Value;
use weir_policy::model::{CidrGroup, Labels, Problem, address::parse_prefix};

use super::{Converted, Kind, Object, key, named};

/// The versions in which Cilium serves it, alike in what they say.
pub(super) const VERSIONS: [&str; 2] = ["cilium.io/v2", "cilium.io/v2alpha1"];

/// Reads a group. A prefix that is none is left out and told, and with it the group may mean more than
/// is known: rules that deny it deny all that it may mean.
pub(super) fn convert(value: &Value) -> Converted {
    let key = key(Kind::CidrGroup, value);
    let problem = |field: String, reason: String| Problem {
        object: key.to_string(),
        field,
        reason,
    };
    if let Err(reason) = named(&key) {
        let problems = vec![problem("metadata.name".to_owned(), reason)];
        return Converted::Bad {
            key,
            stand_in: None,
            problems,
        };
    }
    let (mut problems, mut cidrs) = (Vec::new(), Vec::new());
    let list = value.pointer("/spec/externalCIDRs");
    match list.and_then(Value::as_array) {
        Some(items) => {
            for (index, item) in items.iter().enumerate() {
                let field = || format!("spec.externalCIDRs[{index}]");
                match item.as_str().map(parse_prefix) {
                    Some(Ok(cidr)) => cidrs.push(cidr),
                    Some(Err(error)) => problems.push(problem(field(), error.to_string())),
                    None => {
                        problems.push(problem(field(), "must be a prefix in quotes".to_owned()))
                    }
                }
            }
        }
        None => problems.push(problem(
            "spec.externalCIDRs".to_owned(),
            "must be a list of prefixes".to_owned(),
        )),
    }
    cidrs.sort_unstable();
    cidrs.dedup();
    let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
    let labels: Labels = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Converted::Good {
        key,
        object: Object::CidrGroup(CidrGroup {
            labels,
            cidrs,
            partial: !problems.is_empty(),
        }),
        problems,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_prefixes_count_beside_bad_ones_and_the_group_is_known_in_part() {
        let group = |cidrs: Value| {
            super::super::convert(
                &json!({"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
                "metadata": {"name": "vpn", "labels": {"role": "vpn"}},
                "spec": {"externalCIDRs": cidrs}}),
            )
        };
        let Converted::Good {
            key,
            object,
            problems,
        } = group(json!(["192.0.2.0/24", "x"]))
        else {
            panic!("a group");
        };
        let Object::CidrGroup(group) = object else {
            panic!("a group");
        };
        assert_eq!(key.to_string(), "CiliumCIDRGroup/vpn");
        assert_eq!((group.cidrs.len(), group.partial), (1, true));
        assert_eq!(group.labels["role"], "vpn");
        assert_eq!(problems[0].field, "spec.externalCIDRs[1]");
    }
}
