//! Who is isolated: host-network pods are not, and deny rules isolate like any others.

use super::*;

#[test]
fn host_network_pods_are_told_as_such_and_not_as_missing() {
    let selected = network_policy(
        "p",
        json!({"podSelector": {"matchLabels": {"app": "agent"}}}),
    );
    let field = |text: &str| text.to_owned();
    assert_eq!(
        found(workshop(), &selected),
        [("W021", field("spec.podSelector"))]
    );
    let both = json!([{"podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["agent", "sleep"]}]}}]);
    assert_eq!(found(workshop(), &ingress(both)), []);
}

#[test]
fn deny_rules_isolate_nothing_where_another_policy_allows() {
    let all = cilium_policy(
        "all",
        json!({"endpointSelector": {}, "egress": [{"toEntities": ["all"]}]}),
    );
    assert_eq!(found(Sample::workshop().policy(&all), &deny(json!({}))), []);
    let [finding] = &findings(Sample::workshop(), &deny(json!({})))[..] else {
        panic!("one finding");
    };
    assert!(
        finding
            .why
            .contains("no rule allows egress of default/sleep-0"),
        "{finding:?}"
    );
    assert!(
        finding.fix.contains("enableDefaultDeny: {egress: false}"),
        "{finding:?}"
    );
}

#[test]
fn what_is_not_denied_by_default_is_not_called_denied() {
    let mut value = headers_policy(json!([{"method": "GET", "path": "/headers"}]));
    assert_eq!(found(Sample::workshop(), &value).len(), 2);
    value["spec"]["enableDefaultDeny"] = json!({"ingress": false});
    let ids = |sample: Sample| -> Vec<_> {
        let found = found(sample, &value);
        found.into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids(Sample::workshop()), ["W013"]);
    let mut seen = value.clone();
    seen["spec"]["ingress"][0]["toPorts"][0]["rules"]["http"] = json!([{}]);
    assert_eq!(found(Sample::workshop(), &seen), []);
    // Another policy denies by default.
    let deny = network_policy("deny", json!({"podSelector": {}}));
    assert_eq!(ids(Sample::workshop().policy(&deny)), ["W015", "W016"]);
}
