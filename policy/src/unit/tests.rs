//! Suites that are read, and suites that are not.

use serde_json::json;

use super::*;
use crate::testing::sample::{Sample, headers_policy};

#[test]
fn tests_pass_and_fail_with_their_reason() {
    let suite = Suite::read(&json!({"tests": [
        {"from": "deploy/sleep", "to": "svc/httpbin", "port": 8000, "http": "GET /headers", "expect": "allow"},
        {"from": "deploy/sleep", "to": "svc/httpbin", "port": 8000, "http": {"method": "POST"}, "expect": 403},
        {"from": "sleep/visitor", "to": "httpbin", "port": 80, "expect": "deny"},
        {"name": "wrong", "from": "deploy/sleep", "to": "httpbin", "port": 80, "http": "/ip", "expect": "allow"},
        {"from": "nobody", "to": "httpbin", "protocol": "ICMP", "expect": "allow"},
    ]}))
    .expect("a suite");
    let sample = Sample::workshop().policy(&headers_policy(
        json!([{"method": "GET", "path": "/headers"}]),
    ));
    let results = suite.run(&sample.world);
    let passed: Vec<bool> = results.iter().map(|result| result.passed).collect();
    assert_eq!(passed, [true, true, true, false, false]);
    assert_eq!(
        results[0].name,
        "deploy/sleep -> svc/httpbin TCP/8000 GET /headers"
    );
    assert_eq!(results[3].name, "wrong");
    assert_eq!(results[3].got, Some(Expected::Forbidden));
    let told = results[3].explanation.as_ref().expect("why");
    assert!(told.ingress.side.nearest_miss.is_some());
    assert!(
        results[4]
            .error
            .as_deref()
            .is_some_and(|e| e.contains("no pod `nobody`"))
    );
}

#[test]
fn what_is_no_suite_says_where() {
    let case = |more: Value| {
        let mut case = json!({"from": "a", "to": "b", "expect": "allow"});
        for (key, value) in more.as_object().expect("a map") {
            case[key] = value.clone();
        }
        Suite::read(&json!({"tests": [case]}))
            .expect_err("no suite")
            .to_string()
    };
    assert_eq!(
        case(json!({"expect": "maybe"})),
        "tests[0].expect: \"maybe\" must be `allow`, `deny` or `403`"
    );
    assert!(case(json!({"port": 70000})).starts_with("tests[0].port: "));
    assert!(case(json!({"http": "GET"})).starts_with("tests[0].http: \"GET\" is not a request"));
    assert!(case(json!({"prot": "TCP"})).contains("unknown field `prot`"));
    assert!(Suite::read(&json!({})).is_err());
}
