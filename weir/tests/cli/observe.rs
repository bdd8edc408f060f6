//! `weir observe`: flags are words, in the order of the command line.

use crate::common::weir;

fn filters(line: &str) -> String {
    let ran = weir(&format!("observe --print-raw-filters {line}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
}

#[test]
fn flags_are_filters_in_the_order_of_the_line() {
    let line = "--not --to-port 53,80 -n shop --pod cart -l 'a=b,c' -4 --not --to-port 90";
    let end = r#""ip_version":["IPv4"]}"#;
    let expected = [
        format!(r#"allowlist: {{"source_pod":["shop/cart"],"source_label":["a=b,c"],{end}"#),
        format!(
            r#"allowlist: {{"destination_pod":["shop/cart"],"destination_label":["a=b,c"],{end}"#
        ),
        r#"denylist: {"destination_port":["53","80","90"]}"#.to_owned(),
    ];
    let sorted = |line: &str| {
        let (list, filter) = line.split_once(": ").expect("a list");
        let filter: serde_json::Value = serde_json::from_str(filter).expect("JSON");
        (list.to_owned(), filter)
    };
    let shown: Vec<_> = filters(line).lines().map(sorted).collect();
    let expected: Vec<_> = expected.iter().map(|line| sorted(line)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_filter_as_json_stands_beside_the_flags() {
    let out = filters(r#"--allowlist '{"uuid":["1"]}' --denylist '{"uuid":["2"]}'"#);
    assert_eq!(
        out,
        "allowlist: {\"uuid\":[\"1\"]}\ndenylist: {\"uuid\":[\"2\"]}\n"
    );
}

#[test]
fn what_means_nothing_is_refused_with_its_flag() {
    for (line, said) in [
        ("--verdict MAYBE", "--verdict MAYBE: is no verdict"),
        ("--not --to-port http", "destination_port"),
        ("--since yesterday", "\"yesterday\": is neither a time"),
    ] {
        let ran = weir(&format!("observe {line}"));
        assert_ne!(ran.code, 0, "{line}");
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
    }
}
