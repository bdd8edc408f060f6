//! Every field of a filter, on flows that it matches and that it does not.

use serde_json::{Value, json};

use super::*;
use crate::json::from_value;

fn flow(more: Value) -> Flow {
    let mut value = json!({
        "uuid": "u1", "verdict": "DROPPED", "drop_reason_desc": "POLICY_DENIED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.1.2", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 80, "flags": {"SYN": true, "ACK": true}}},
        "source": {"identity": 300, "namespace": "default", "pod_name": "sleep-1", "cluster_name": "default",
            "labels": ["k8s:app=sleep", "k8s:tier=a,b"], "workloads": [{"name": "sleep", "kind": "Deployment"}]},
        "destination": {"identity": 2, "labels": ["reserved:world"]},
        "destination_names": ["www.example.com"],
        "destination_service": {"name": "web", "namespace": "shop"},
        "node_name": "node-1", "node_labels": ["zone=a"], "is_reply": false,
        "event_type": {"type": 4, "sub_type": 3}, "traffic_direction": "EGRESS",
        "interface": {"index": 3, "name": "lxc1"}, "ip_trace_id": {"trace_id": "9"},
        "trace_context": {"parent": {"trace_id": "abc"}},
    });
    for (key, part) in more.as_object().expect("a map") {
        value[key] = part.clone();
    }
    from_value(value).expect("a flow")
}

fn request() -> Flow {
    flow(
        json!({"l7": {"type": "RESPONSE", "http": {"code": 403, "method": "GET", "protocol": "HTTP/1.1",
        "url": "http://web:80/a/b?c", "headers": [{"key": "X-Id", "value": "1"}]}}}),
    )
}

fn filters(filter: Value) -> Result<Filters, FilterError> {
    Filters::new(&[from_value(filter).expect("a filter")], &[])
}

fn passes(filter: &Value, flow: &Flow) -> bool {
    filters(filter.clone()).expect("a filter").pass(flow)
}

#[test]
fn each_field_matches_its_own() {
    let dns = flow(json!({"l7": {"type": "REQUEST", "dns": {"query": "a.example."}}}));
    let (plain, http) = (flow(json!({})), request());
    for (flow, yes, no) in [
        (
            &plain,
            json!({"uuid": ["u0", "u1"]}),
            json!({"uuid": ["u2"]}),
        ),
        (
            &plain,
            json!({"source_ip": ["10.0.0.0/24"]}),
            json!({"source_ip": ["10.0.0.2", "10.1.0.0/16"]}),
        ),
        (
            &plain,
            json!({"destination_ip": ["10.0.1.2"]}),
            json!({"destination_ip": ["10.0.0.1"]}),
        ),
        (
            &plain,
            json!({"source_pod": ["sleep"]}),
            json!({"source_pod": ["slept", "other/sleep"]}),
        ),
        (
            &plain,
            json!({"source_pod": ["default/"]}),
            json!({"source_pod": ["kube-system/"]}),
        ),
        (
            &plain,
            json!({"source_pod": ["/"]}),
            json!({"destination_pod": ["/"]}),
        ),
        (
            &plain,
            json!({"source_pod": ["/sl"]}),
            json!({"destination_pod": ["default/"]}),
        ),
        (
            &plain,
            json!({"destination_fqdn": ["*.example.com."]}),
            json!({"destination_fqdn": ["example.com"]}),
        ),
        (
            &plain,
            json!({"source_label": ["app in (x, sleep)"]}),
            json!({"source_label": ["app notin (x, sleep)"]}),
        ),
        (
            &plain,
            json!({"source_label": ["k8s:app=sleep,tier"]}),
            json!({"source_label": ["app=sleep,!tier"]}),
        ),
        (
            &plain,
            json!({"source_label": ["app!=x"]}),
            json!({"source_label": ["app!=sleep"]}),
        ),
        (
            &plain,
            json!({"destination_label": ["reserved:world"]}),
            json!({"destination_label": ["reserved:host"]}),
        ),
        (
            &plain,
            json!({"destination_service": ["shop/we"]}),
            json!({"destination_service": ["web"]}),
        ),
        (
            &plain,
            json!({"source_workload": [{"name": "sleep"}]}),
            json!({"source_workload": [{"name": "sleep", "kind": "Job"}]}),
        ),
        (
            &plain,
            json!({"source_identity": [300]}),
            json!({"destination_identity": [300]}),
        ),
        (
            &plain,
            json!({"source_port": ["40000"]}),
            json!({"destination_port": ["40000"]}),
        ),
        (
            &plain,
            json!({"source_cluster_name": ["default"]}),
            json!({"source_cluster_name": ["east"]}),
        ),
        (
            &plain,
            json!({"verdict": ["DROPPED"]}),
            json!({"verdict": ["FORWARDED"]}),
        ),
        (
            &plain,
            json!({"drop_reason_desc": ["POLICY_DENIED"]}),
            json!({"drop_reason_desc": ["POLICY_DENY"]}),
        ),
        (
            &plain,
            json!({"event_type": [{"type": 4}]}),
            json!({"event_type": [{"type": 5}]}),
        ),
        (
            &plain,
            json!({"event_type": [{"type": 4, "match_sub_type": true, "sub_type": 3}]}),
            json!({"event_type": [{"type": 4, "match_sub_type": true}]}),
        ),
        (
            &plain,
            json!({"protocol": ["TCP"]}),
            json!({"protocol": ["udp", "http", "icmp"]}),
        ),
        (&plain, json!({"reply": [false]}), json!({"reply": [true]})),
        (
            &plain,
            json!({"tcp_flags": [{"SYN": true}]}),
            json!({"tcp_flags": [{"SYN": true, "RST": true}]}),
        ),
        (
            &plain,
            json!({"node_name": ["node-*"]}),
            json!({"node_name": ["node"]}),
        ),
        (
            &plain,
            json!({"node_name": ["default/"]}),
            json!({"node_name": ["east/node-1"]}),
        ),
        (
            &plain,
            json!({"node_labels": ["zone=a"]}),
            json!({"node_labels": ["zone=b"]}),
        ),
        (
            &plain,
            json!({"ip_version": ["IPv4"]}),
            json!({"ip_version": ["IPv6"]}),
        ),
        (
            &plain,
            json!({"trace_id": ["abc"]}),
            json!({"trace_id": ["abd"]}),
        ),
        (
            &plain,
            json!({"ip_trace_id": ["9"]}),
            json!({"ip_trace_id": ["8"]}),
        ),
        (
            &plain,
            json!({"traffic_direction": ["EGRESS"]}),
            json!({"traffic_direction": ["INGRESS"]}),
        ),
        (
            &plain,
            json!({"interface": [{"name": "lxc1"}]}),
            json!({"interface": [{"name": "lxc1", "index": 4}]}),
        ),
        (
            &plain,
            json!({"encrypted": [false]}),
            json!({"encrypted": [true]}),
        ),
        (
            &http,
            json!({"http_status_code": ["4+"]}),
            json!({"http_status_code": ["404", "5+"]}),
        ),
        (
            &http,
            json!({"http_method": ["get"]}),
            json!({"http_method": ["POST"]}),
        ),
        (
            &http,
            json!({"http_path": ["^/a/.*$"]}),
            json!({"http_path": ["^a"]}),
        ),
        (
            &http,
            json!({"http_url": ["web:80"]}),
            json!({"http_url": ["^web"]}),
        ),
        (
            &http,
            json!({"http_header": [{"key": "x-id", "value": "1"}]}),
            json!({"http_header": [{"key": "x-id", "value": "2"}]}),
        ),
        (
            &http,
            json!({"protocol": ["http"]}),
            json!({"protocol": ["dns"]}),
        ),
        (
            &dns,
            json!({"dns_query": ["^a\\."]}),
            json!({"dns_query": ["b"]}),
        ),
        (
            &plain,
            json!({"source_ip": ["10.0.0.1"], "verdict": ["DROPPED"]}),
            json!({"source_ip": ["10.0.0.1"], "verdict": ["ERROR"]}),
        ),
        (&plain, json!({}), json!({"source_ip_xlated": ["10.0.0.1"]})),
    ] {
        assert!(passes(&yes, flow), "{yes}");
        assert!(!passes(&no, flow), "{no}");
    }
}

#[test]
fn one_list_lets_in_and_the_other_keeps_out() {
    let filter = |value: Value| from_value::<FlowFilter>(value).expect("a filter");
    let dropped = filter(json!({"verdict": ["DROPPED"]}));
    let udp = filter(json!({"protocol": ["udp"]}));
    let all = Filters::new(&[], &[]).expect("filters");
    assert!(all.pass(&flow(json!({}))));
    let either = Filters::new(&[udp.clone(), dropped.clone()], &[]).expect("filters");
    assert!(either.pass(&flow(json!({}))));
    let but = Filters::new(&[], &[udp.clone(), dropped]).expect("filters");
    assert!(!but.pass(&flow(json!({}))));
    let but = Filters::new(&[], &[udp]).expect("filters");
    assert!(but.pass(&flow(json!({}))));
}

#[test]
fn what_is_not_known_does_not_match() {
    let empty = Flow::default();
    for filter in [
        json!({"reply": [false]}),
        json!({"source_ip": ["0.0.0.0/0"]}),
        json!({"source_port": ["0"]}),
        json!({"tcp_flags": [{}]}),
        json!({"http_status_code": ["4+"]}),
    ] {
        assert!(!passes(&filter, &empty), "{filter}");
    }
}

#[test]
fn values_that_mean_nothing_are_refused_with_their_field() {
    for (filter, field) in [
        (json!({"source_ip": ["10.0.0"]}), "source_ip"),
        (json!({"destination_pod": [""]}), "destination_pod"),
        (json!({"source_label": ["a in (b"]}), "source_label"),
        (json!({"destination_label": ["a b"]}), "destination_label"),
        (json!({"source_port": ["http"]}), "source_port"),
        (json!({"http_status_code": ["9+"]}), "http_status_code"),
        (json!({"http_status_code": ["40"]}), "http_status_code"),
        (json!({"http_path": ["("]}), "http_path"),
        (json!({"http_header": [{"value": "x"}]}), "http_header"),
        (json!({"protocol": ["quic"]}), "protocol"),
        (json!({"node_name": [""]}), "node_name"),
        (json!({"dns_query": ["["]}), "dns_query"),
        (
            json!({"experimental": {"cel_expression": ["1"]}}),
            "experimental.cel_expression",
        ),
    ] {
        let error = filters(filter.clone()).expect_err(&filter.to_string());
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn what_a_request_may_cost_is_bounded_and_the_bound_is_named() {
    let path = |number: usize, pattern: &str| json!({"http_path": vec![pattern; number]});
    let labels: Vec<String> = (0..1025).map(|n| format!("app=a{n}")).collect();
    for (filter, said) in [
        (path(33, "^/a"), "filter `http_path`: more than 32 patterns"),
        (path(1, &"a".repeat(1025)), "1025 bytes, more than 1024"),
        // Twelve bytes, and 100 MB if they were compiled.
        (
            path(1, "(\\w{100}){20}"),
            "more than 262144 bytes when it is compiled",
        ),
        (path(64, &"a".repeat(1024)), "bytes, more than 65536"),
        (json!({"source_label": labels}), "more than 1024 values"),
        (
            json!({"experimental": {"cel_expression": vec!["true"; 17]}}),
            "more than 16 expressions",
        ),
    ] {
        let error = filters(filter).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    let none = vec![FlowFilter::default(); 257];
    let error = Filters::new(&none, &[]).expect_err("too many").to_string();
    assert_eq!(error, "filter `whitelist`: 257 filters, more than 256");
    // The bounds are of the request, not of each filter in it.
    let each: Vec<FlowFilter> = (0..33)
        .map(|_| from_value(path(1, "^/a")).expect("a filter"))
        .collect();
    assert!(Filters::new(&each[..16], &each[16..]).is_err());
    assert!(Filters::new(&each[..16], &each[16..32]).is_ok());
    let wide = path(1, "^/\\w+/\\w+/\\d+$");
    assert!(filters(wide).is_ok(), "what people write is within them");
}
