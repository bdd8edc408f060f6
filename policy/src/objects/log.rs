//! What a policy wants to be written beside the flows that it decides on (`log.value`).

use serde_json::Value;

use super::PolicyKind;

/// Longer values are refused, as Cilium does.
pub(super) const MAX_CHARS: usize = 32;

/// What one part of a policy wants to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLog {
    /// The part: `spec`, `specs[0]`.
    pub part: String,
    /// The words.
    pub value: String,
}

/// The words of every part of a policy that has some. They decide nothing, so they are no part of the
/// [`Policy`](crate::model::Policy): what is in force stays when they change.
pub fn logs(kind: PolicyKind, value: &Value) -> Vec<PolicyLog> {
    let cilium = [
        PolicyKind::CiliumNetworkPolicy,
        PolicyKind::CiliumClusterwideNetworkPolicy,
    ];
    if !cilium.contains(&kind) {
        return Vec::new();
    }
    let one = value.get("spec").map(|spec| ("spec".to_owned(), spec));
    let list = value.get("specs").and_then(Value::as_array);
    let more = list.into_iter().flatten().enumerate();
    let more = more.map(|(index, spec)| (format!("specs[{index}]"), spec));
    let parts = one.into_iter().chain(more);
    parts
        .filter_map(|(part, spec)| {
            let words = spec.pointer("/log/value")?.as_str()?;
            let fits = !words.is_empty() && words.chars().count() <= MAX_CHARS;
            fits.then(|| PolicyLog {
                part,
                value: words.to_owned(),
            })
        })
        .collect()
}

/// The words that belong to a rule of a policy: those of its part, and where the rule is not known
/// those of all parts.
pub fn of_rule<'a>(logs: &'a [PolicyLog], rule: &'a str) -> impl Iterator<Item = &'a str> {
    let belongs = move |log: &&PolicyLog| {
        let rest = rule.strip_prefix(log.part.as_str());
        rule.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    logs.iter().filter(belongs).map(|log| log.value.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_belong_to_their_part() {
        let kind = PolicyKind::CiliumNetworkPolicy;
        let value = json!({"spec": {"log": {"value": "a"}}, "specs": [
            {"log": {"value": "b"}}, {"log": {}}, {"log": {"value": "x".repeat(33)}}]});
        let logs = logs(kind, &value);
        let of = |rule| of_rule(&logs, rule).collect::<Vec<_>>();
        assert_eq!(of("spec.ingress[0]"), ["a"]);
        assert_eq!(of("specs[0].egress[1].toPorts[0]"), ["b"]);
        assert_eq!(of("specs[1].egress[1]"), [""; 0]);
        assert_eq!(of(""), ["a", "b"]);
        assert_eq!(super::logs(PolicyKind::NetworkPolicy, &value), []);
    }
}
