//! Nearest misses in words, and the explanation against the simulator.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    nearest::MissKind,
    testing::{
        SideFlow,
        generate::world_and_flows,
        sample::{Sample, cilium_policy, headers_policy, network_policy},
    },
};

fn explain(sample: &Sample, flow: Value) -> Explanation {
    let flow = serde_json::from_value(flow).expect("a flow");
    Explainer::new(&sample.world)
        .explain(&flow)
        .expect("known ends")
}

/// The nearest miss of the server's side.
fn miss(sample: &Sample, flow: Value) -> String {
    let explanation = explain(sample, flow);
    let miss = explanation
        .ingress
        .side
        .nearest_miss
        .expect("a nearest miss");
    miss.text
}

fn workshop() -> Sample {
    Sample::workshop().policy(&headers_policy(json!([
        {"method": "POST", "path": "/post"},
        {"method": "GET", "path": "/headers"},
    ])))
}

fn get(path: &str) -> Value {
    json!({"from": "deploy/sleep", "to": "svc/httpbin", "protocol": "TCP", "port": 8000,
           "http": {"path": path}})
}

#[test]
fn a_request_that_misses_by_its_path_is_told_so() {
    let sample = workshop();
    assert_eq!(
        miss(&sample, get("/headers?x=1")),
        "spec.ingress[0].toPorts[0].rules.http[1] of CiliumNetworkPolicy/default/allow-get-headers \
         would match but for path: `/headers?x=1` is \
         not fully matched by `/headers` (the path includes the query string: `/headers(\\?.*)?`)"
    );
    assert!(miss(&sample, get("/headers/")).contains("`/headers/?`"));
    let mut head = get("/headers");
    head["http"]["method"] = json!("HEAD");
    assert!(miss(&sample, head).ends_with(
        "method: `HEAD` is not fully matched by `GET` (GET does not include HEAD: `GET|HEAD`)"
    ));
}

/// What the proxy refuses because of the flow's rules, asked offline.
#[test]
fn what_servers_may_take_otherwise_is_refused_as_by_the_proxy() {
    let rules = json!([{"path": "/a.*", "headers": ["X-User"]}]);
    let ask = |policy: &Value, path: &str, headers: Value| {
        let mut flow = get(path);
        flow["http"]["headers"] = headers;
        let told = explain(&Sample::workshop().policy(policy), flow);
        let miss = told
            .ingress
            .side
            .nearest_miss
            .map(|miss| miss.misses[0].kind);
        (told.verdict, told.ingress.side.reason, miss)
    };
    let plain = headers_policy(rules.clone());
    let good = json!({"X-User": "a", "Content-Length": "0", "Connection": "close"});
    assert_eq!(ask(&plain, "/a", good).0, Outcome::Allow);
    let body = json!({"x-user": "a", "content-length": "5"});
    let (verdict, reason, miss) = ask(&plain, "/a", body.clone());
    assert_eq!((verdict, miss), (Outcome::HttpDeny, Some(MissKind::Body)));
    assert_eq!(
        reason,
        "refused with 400: a server may take the body of GET for the next request; \
         `weir.dev/get-body: allow` on the policy lets it pass"
    );
    let hidden = json!({"X-User": "a", "Connection": "keep-alive, x-user"});
    let (verdict, reason, miss) = ask(&plain, "/a", hidden);
    assert_eq!((verdict, miss), (Outcome::HttpDeny, Some(MissKind::Header)));
    assert!(
        reason.starts_with("refused with 400: `Connection` names `x-user`"),
        "{reason}"
    );
    let lookalike = json!({"X-User": "a", "X_User": "b"});
    assert_eq!(ask(&plain, "/a", lookalike).0, Outcome::HttpDeny);
    let (verdict, reason, miss) = ask(&plain, "/a/%252e%252e/b", json!({"X-User": "a"}));
    assert_eq!((verdict, miss), (Outcome::HttpDeny, Some(MissKind::Path)));
    assert!(
        reason.starts_with("a server may take the path for `/b`"),
        "{reason}"
    );
    let mut lenient = plain;
    lenient["metadata"]["annotations"] = json!({"weir.dev/get-body": "allow"});
    assert_eq!(ask(&lenient, "/a", body.clone()).0, Outcome::Allow);
    lenient["metadata"]["annotations"] = json!({"weir.dev/get-body": "refuse"});
    assert_eq!(ask(&lenient, "/a", body).0, Outcome::HttpDeny);
}

#[test]
fn ends_and_ports_are_named_as_kubectl_does() {
    let sample = workshop();
    let ask = |to: &str, port: &str| {
        let flow = Flow {
            to: to.to_owned(),
            port: port.parse().ok(),
            port_name: port.parse::<u16>().is_err().then(|| port.to_owned()),
            ..serde_json::from_value(get("/headers")).expect("a flow")
        };
        Explainer::new(&sample.world).explain(&flow)
    };
    for (to, port) in [
        ("svc/httpbin", "http"),
        ("httpbin.default.svc", "http"),
        ("httpbin.default.svc.cluster.local.", "8000"),
        ("pod/httpbin-0", "80"),
        ("default/po/httpbin-0", "80"),
    ] {
        let told = ask(to, port).unwrap_or_else(|error| panic!("{to} {port}: {error}"));
        assert_eq!(told.flow.to, "default/httpbin-0", "{to}");
        assert_eq!(told.flow.port, Some(80), "{to}");
    }
    for (to, port, said) in [
        (
            "svc/httpbin",
            "grpc",
            "service default/httpbin has no TCP port named \"grpc\"; it has http",
        ),
        (
            "pod/httpbin-0",
            "grpc",
            "default/httpbin-0 has no TCP port named \"grpc\"; it has none",
        ),
        ("nothing.default.svc", "80", "no service `default/nothing`"),
        ("pod/nothing", "80", "no pod `pod/nothing`"),
    ] {
        let error = ask(to, port).expect_err(to).to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn the_rule_that_decided_is_named_and_services_lead_to_their_pods() {
    let explanation = explain(&workshop(), get("/headers"));
    assert_eq!(explanation.verdict, Outcome::Allow);
    assert_eq!(explanation.flow.to, "default/httpbin-0");
    assert_eq!(explanation.flow.port, Some(80));
    assert_eq!(
        explanation.flow.service.as_deref(),
        Some("default/httpbin:8000")
    );
    let [decided] = explanation.ingress.side.decided_by.as_slice() else {
        panic!(
            "one rule decides: {:?}",
            explanation.ingress.side.decided_by
        );
    };
    assert_eq!(decided.field, "spec.ingress[0].toPorts[0].rules.http[1]");
    assert_eq!(explanation.ingress.selected_by.len(), 1);
    assert_eq!(explanation.egress.selected_by, []);
}

/// The workshop behind a node port and an external address, on a node with an address that no
/// object tells.
fn with_node_port() -> Sample {
    let mut sample = workshop();
    sample.world.nodes.push(crate::model::Node {
        name: "n".into(),
        addresses: vec!["172.18.0.2".parse().unwrap()],
        prefixes: vec!["169.254.1.1/32".parse().unwrap()],
        ..Default::default()
    });
    let service = &mut sample.world.services[0];
    service.external.push("203.0.113.5".parse().unwrap());
    service.ports[0].node_port = Some(30080);
    sample
}

#[test]
fn every_way_to_a_service_is_judged_on_its_backend() {
    let sample = with_node_port();
    for (to, port) in [
        ("10.244.0.2", 80),
        ("10.96.0.7", 8000),
        ("203.0.113.5", 8000),
        ("172.18.0.2", 30080),
        ("169.254.1.1", 30080),
    ] {
        for (path, expected) in [("/headers", Outcome::Allow), ("/ip", Outcome::HttpDeny)] {
            let flow = json!({"from": "deploy/sleep", "to": to, "protocol": "TCP", "port": port,
                              "http": {"path": path}});
            let explanation = explain(&sample, flow);
            assert_eq!(explanation.verdict, expected, "{to}:{port}{path}");
            let backend = ["default/httpbin-0", "10.244.0.2"];
            assert!(
                backend.contains(&explanation.flow.to.as_str()),
                "{to}:{port}"
            );
            assert_eq!(explanation.flow.port, Some(80));
        }
    }
    // Not the service's: the node itself.
    let flow =
        json!({"from": "deploy/sleep", "to": "172.18.0.2", "protocol": "TCP", "port": 30081});
    assert_eq!(explain(&sample, flow).flow.to, "172.18.0.2");
}

/// `ipBlock` without the pods is not walked around by a node port.
#[test]
fn a_prefix_without_the_pods_opens_no_node_port() {
    let sample = with_node_port().policy(&network_policy(
        "no-pods",
        json!({"podSelector": {"matchLabels": {"app": "sleep"}}, "policyTypes": ["Egress"],
               "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}]}]}),
    ));
    for (to, port) in [
        ("10.244.0.2", 80),
        ("172.18.0.2", 30080),
        ("203.0.113.5", 8000),
    ] {
        let flow = json!({"from": "deploy/sleep", "to": to, "protocol": "TCP", "port": port});
        assert_eq!(
            explain(&sample, flow).egress.side.verdict,
            Outcome::Deny,
            "{to}:{port}"
        );
    }
}

#[test]
fn a_pod_is_named_by_whatever_makes_it() {
    for kind in ["deploy", "sts", "ds", "rs", "job", "cj", "cronjob"] {
        let flow = json!({"from": format!("{kind}/sleep"), "to": format!("default/{kind}/httpbin"),
                          "protocol": "TCP", "port": 80});
        assert_eq!(
            explain(&Sample::workshop(), flow).verdict,
            Outcome::Allow,
            "{kind}"
        );
    }
}

#[test]
fn an_address_of_pods_without_a_pod_is_told_as_that() {
    let mut sample = Sample::workshop().policy(&cilium_policy(
        "world",
        json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}},
               "ingress": [{"fromEntities": ["world"]}]}),
    ));
    sample
        .world
        .pod_ranges
        .insert("10.244.0.0/16".parse().unwrap());
    let of =
        |from: &str| json!({"from": from, "to": "deploy/httpbin", "protocol": "TCP", "port": 80});
    let text = miss(&sample, of("10.244.3.9"));
    assert!(
        text.contains(
            "10.244.3.9 is an address of the cluster's pods whose pod is not known, not `world`"
        ),
        "{text}"
    );
    assert_eq!(explain(&sample, of("192.0.2.1")).verdict, Outcome::Allow);
}

#[test]
fn a_pod_selector_reaches_its_own_namespace_only() {
    let rule = |peer: Value| {
        let spec = json!({"podSelector": {}, "ingress": [{"from": [peer]}]});
        Sample::workshop().policy(&network_policy("p", spec))
    };
    let flow = json!({"from": "sleep/visitor", "to": "default/httpbin-0", "protocol": "ICMP"});
    let own = rule(json!({"podSelector": {"matchLabels": {"app": "visitor"}}}));
    assert_eq!(
        miss(&own, flow.clone()),
        "spec.ingress[0] of NetworkPolicy/default/p would match but for namespace: a \
         `podSelector` without a `namespaceSelector` means the policy's own namespace, `default`, \
         and sleep/visitor is in `sleep` (beside it, in the same list item: `namespaceSelector: \
         {matchLabels: {kubernetes.io/metadata.name: sleep}}`)"
    );
    let label = rule(json!({"namespaceSelector": {"matchLabels": {"name": "sleep"}}}));
    assert!(
        miss(&label, flow.clone())
            .ends_with("namespace: namespace `sleep` has no label `name`; `sleep` is wanted")
    );
    let cilium = Sample::workshop().policy(&cilium_policy(
        "p",
        json!({"endpointSelector": {}, "ingress": [{"fromEndpoints": [{"matchLabels": {"app": "visitor"}}]}]}),
    ));
    assert!(miss(&cilium, flow).contains("`io.kubernetes.pod.namespace: sleep`"));
}

#[test]
fn labels_ports_protocols_and_prefixes_are_told_apart() {
    let sample = |rule: Value| {
        let spec = json!({"podSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [rule]});
        Sample::workshop().policy(&network_policy("p", spec))
    };
    let flow = |protocol: &str| json!({"from": "sleep", "to": "httpbin", "protocol": protocol, "port": 80});
    let wrong = sample(json!({"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}));
    assert!(
        miss(&wrong, flow("TCP"))
            .ends_with("label: label `app` of default/sleep-0 is `sleep`, not `web`")
    );
    let service = sample(json!({"ports": [{"port": 8000}]}));
    assert!(miss(&service, flow("TCP")).ends_with(
        "port: TCP/80 is not among TCP/8000 (8000 is the port of service default/httpbin; \
         policies mean the pod's own, 80)"
    ));
    assert!(
        miss(&service, flow("UDP"))
            .ends_with("protocol: the flow is UDP, the rule allows TCP/8000")
    );
    let named = sample(json!({"ports": [{"port": "web"}]}));
    assert!(miss(&named, flow("TCP")).contains("default/httpbin-0 has no TCP port named `web`"));
    let block = sample(
        json!({"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.64/26"]}}]}),
    );
    let outside =
        |from: &str| json!({"from": from, "to": "httpbin", "protocol": "TCP", "port": 80});
    assert!(
        miss(&block, outside("192.0.2.77")).ends_with(
            "address: `192.0.2.77` is in `192.0.2.64/26`, an `except` of `192.0.2.0/24`"
        )
    );
    assert!(
        miss(&block, outside("203.0.113.1")).ends_with("`203.0.113.1` is not in `192.0.2.0/24`")
    );
}

#[test]
fn what_is_denied_by_a_rule_has_no_nearest_miss() {
    let deny = cilium_policy(
        "deny",
        json!({"endpointSelector": {}, "ingressDeny": [{"fromEntities": ["all"]}]}),
    );
    let sample = workshop().policy(&deny);
    let explanation = explain(&sample, get("/headers"));
    assert_eq!(explanation.verdict, Outcome::Deny);
    assert_eq!(explanation.ingress.side.nearest_miss, None);
    assert_eq!(
        explanation.ingress.side.decided_by[0].field,
        "spec.ingressDeny[0]"
    );
}

/// A rule that denies comes near to nothing, however much of it matches.
#[test]
fn a_deny_rule_that_half_matches_is_not_the_nearest() {
    let spec = json!({
        "endpointSelector": {"matchLabels": {"app": "httpbin"}},
        "ingressDeny": [{"fromEndpoints": [{"matchLabels": {"app": "sleep"}}],
                         "toPorts": [{"ports": [{"port": "81"}]}]}],
        "ingress": [{"fromEndpoints": [{"matchLabels": {"app": "web"}}],
                     "toPorts": [{"ports": [{"port": "80"}]}]}],
    });
    let sample = Sample::workshop().policy(&cilium_policy("p", spec));
    let flow = json!({"from": "sleep", "to": "httpbin", "protocol": "TCP", "port": 80});
    let side = explain(&sample, flow).ingress.side;
    let nearest = side.nearest_miss.as_ref().expect("a nearest miss");
    assert_eq!(nearest.rule.field, "spec.ingress[0].toPorts[0]");
    assert_eq!(side.reason, "default deny of CiliumNetworkPolicy/default/p");
    assert_eq!(
        side.told(),
        "default deny of CiliumNetworkPolicy/default/p; the nearest, spec.ingress[0].toPorts[0] of \
         CiliumNetworkPolicy/default/p would match but for label: label `app` of \
         default/sleep-0 is `sleep`, not `web`"
    );
}

/// What the proxy has is what a request is held against.
#[test]
fn the_nearest_of_a_request_is_a_rule_of_its_own_connection() {
    let open = cilium_policy(
        "open",
        json!({"endpointSelector": {"matchLabels": {"app": "httpbin"}}, "ingress": [{
            "fromEndpoints": [{"matchLabels": {"app": "web"}}],
        }]}),
    );
    // Path, method and host are further than one label, and on this connection all the same.
    let sample = Sample::workshop()
        .policy(&open)
        .policy(&headers_policy(json!([
            {"method": "POST", "path": "/post", "host": "x"},
        ])));
    assert!(miss(&sample, get("/ip")).starts_with("spec.ingress[0].toPorts[0].rules.http[0] of "));
}

#[test]
fn a_policy_in_audit_mode_allows_nothing_yet() {
    let mut audited = network_policy("audited", json!({"podSelector": {}, "ingress": [{}]}));
    audited["metadata"]["annotations"] = json!({"weir.dev/mode": "audit"});
    let deny = network_policy("deny", json!({"podSelector": {}}));
    let sample = Sample::workshop().policy(&audited).policy(&deny);
    assert_eq!(
        miss(&sample, get("/")),
        "spec.ingress[0] of NetworkPolicy/default/audited would match but for its \
         policy is in audit mode, so what it allows is not in force"
    );
}

#[test]
fn ends_that_are_not_known_are_refused_with_a_word() {
    let sample = workshop();
    let mut explainer = Explainer::new(&sample.world);
    let mut reason = |flow: Value| {
        let flow = serde_json::from_value(flow).expect("a flow");
        explainer.explain(&flow).expect_err("an error").to_string()
    };
    assert_eq!(
        reason(json!({"from": "default/slep", "to": "httpbin", "protocol": "TCP", "port": 1})),
        "`from`: no pod `default/slep` (there is default/sleep-0, default/httpbin-0); give \
         NAMESPACE/POD, NAMESPACE/WORKLOAD, an address, or svc/NAME"
    );
    assert_eq!(
        reason(json!({"from": "sleep", "to": "svc/httpbin", "protocol": "TCP", "port": 80})),
        "`port`: service default/httpbin has no port TCP/80; it has TCP/8000"
    );
    assert!(
        reason(json!({"from": "svc/httpbin", "to": "sleep", "protocol": "ICMP"}))
            .contains("opens no connections")
    );
    assert!(
        reason(json!({"from": "sleep", "to": "svc/web", "protocol": "TCP", "port": 1}))
            .contains("no service `default/web`")
    );
}

fn ends(world: &crate::model::World, flow: SideFlow) -> (String, String) {
    let own = world.pods[flow.pod].id().to_string();
    match flow.direction {
        Direction::Ingress => (flow.peer.to_string(), own),
        Direction::Egress => (own, flow.peer.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The verdict is the simulator's, and what is said of each rule adds up to it.
    #[test]
    fn explanations_agree_with_the_simulator(
        (world, flows) in world_and_flows(40),
        path in prop::option::of(prop::sample::select(vec!["/", "/a", "/a/1", "/b?x=1", "/a/../b"])),
        method in prop::sample::select(vec!["GET", "POST", "HEAD"]),
        length in prop::option::of(prop::sample::select(vec!["0", "5"])),
    ) {
        let mut simulator = Simulator::new(&world);
        let mut explainer = Explainer::new(&world);
        for flow in flows {
            let (from, to) = ends(&world, flow);
            let http = path.filter(|_| flow.protocol == Protocol::Tcp).map(|path| HttpRequest {
                method: method.into(),
                path: path.into(),
                host: Some("h".into()),
                headers: length.map(|length| ("content-length".into(), length.into())).into_iter().collect(),
            });
            let question = Flow { from, to, protocol: flow.protocol, port: Some(flow.port), port_name: None, http };
            let verdict = simulator.judge(&question).expect("a verdict");
            let told = explainer.explain(&question).expect("an explanation");
            prop_assert_eq!(told.verdict, verdict.verdict, "{:?}", question);
            let sides = [
                (&told.egress, verdict.egress),
                (&told.ingress, verdict.ingress),
            ];
            for (side, expected) in sides {
                prop_assert_eq!(&side.side, &expected);
                let rules = side.selected_by.iter().flat_map(|policy| &policy.rules);
                for rule in rules.clone() {
                    let made_up = rule.misses.iter().any(|miss| miss.kind == MissKind::Other);
                    prop_assert!(!made_up, "the words miss what the engine sees: {:?} {:?}", rule, question);
                    prop_assert_eq!(rule.matches, rule.misses.is_empty());
                }
                // A default denial has a nearest rule wherever some rule allows anything.
                let denied = side.side.verdict != Outcome::Allow || side.side.audit;
                let explicit = !side.side.decided_by.is_empty();
                let allows = rules.clone().any(|r| r.action == Action::Allow);
                let expected = denied && !explicit && allows;
                // Rules of the other tiers come near to nothing: they decide or are not asked.
                let one_tier = world
                    .policies
                    .iter()
                    .flat_map(|policy| &policy.specs)
                    .all(|spec| spec.tier == crate::model::Tier::Normal);
                let nearest = side.side.nearest_miss.is_some();
                prop_assert!(!one_tier || nearest == expected, "{:?} {:?}", question, side);
            }
        }
    }
}
