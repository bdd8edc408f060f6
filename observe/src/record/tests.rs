//! Records, as they are made of events.

use std::time::UNIX_EPOCH;

use weir_abi::policy::verdict;
use weir_link::proxy::{Application, Disposition, DnsRecord, HttpRecord, HttpVersion, L7Record};

use super::*;
use crate::{
    api::flow::{Http, L7FlowType, layer7::Record},
    redact::Redaction,
    testing::{ALLOW, DENY, HTTPBIN, OTHERS, SLEEP, names, policy, syn},
    why::Reasoner,
};

fn made(yaml: &str, verdict: u8) -> Vec<Flow> {
    let names = policy(yaml);
    let event = syn(&names, verdict);
    let reasons = Reasoner::new(&names).reasons(&event);
    verdicts(&event, UNIX_EPOCH, &names, &reasons)
}

#[test]
fn a_denial_by_default_names_the_policy_and_the_nearest_miss() {
    let flows = made(OTHERS, verdict::DENY);
    let [judged, dropped] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    assert_eq!(judged.verdict(), Verdict::Dropped);
    assert_eq!(judged.drop_reason_desc(), DropReason::PolicyDenied);
    assert_eq!(judged.traffic_direction(), TrafficDirection::Ingress);
    assert_eq!(judged.is_reply, Some(false));
    let by = judged.ingress_denied_by.first().expect("a policy");
    assert_eq!(
        (by.kind.as_str(), by.namespace.as_str(), by.name.as_str()),
        ("NetworkPolicy", "default", "others")
    );
    let why = judged.weir.as_ref().expect("reasons");
    assert!(why.default_deny);
    assert_eq!(why.policies, ["NetworkPolicy/default/others"]);
    assert_eq!(why.reason, "default deny of NetworkPolicy/default/others");
    assert!(why.nearest_miss.contains("spec.ingress[0]"), "{why:?}");
    assert!(why.nearest_miss.contains("app"), "{why:?}");
    assert_eq!(judged.policy_log.join(""), why.reason);
    let event = |flow: &Flow| flow.event_type.expect("a type").r#type;
    assert_eq!(event(judged), event_type::POLICY_VERDICT);
    assert_eq!(event(dropped), event_type::DROP);
    let (source, destination) = (judged.source.as_ref(), judged.destination.as_ref());
    let (source, destination) = (source.expect("an end"), destination.expect("an end"));
    assert_eq!(source.pod_name, "sleep-6d-7ppbf");
    assert_eq!(source.workloads[0].name, "sleep");
    assert_eq!(destination.id, 7);
    assert!(source.labels.contains(&"k8s:app=sleep".to_owned()));
    let service = judged.destination_service.as_ref().expect("a service");
    assert_eq!(service.name, "httpbin");
    assert_eq!(judged.summary, "TCP Flags: SYN");
}

#[test]
fn audit_mode_says_what_would_be_denied() {
    let audited = DENY.replace(
        "namespace: default}",
        "namespace: default, annotations: {weir.dev/mode: audit}}",
    );
    let flows = made(&audited, verdict::AUDIT);
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    assert_eq!(flow.verdict(), Verdict::Audit);
    assert_eq!(flow.drop_reason, 0);
    assert_eq!(flow.ingress_denied_by[0].name, "deny-ingress");
    let why = flow.weir.as_ref().expect("reasons");
    let reason = "would be the default deny of NetworkPolicy/default/deny-ingress";
    assert_eq!(why.reason, reason);
    assert_eq!(crate::print::verdict(flow), "AUDITED");
    assert_eq!(crate::log::word(flow), "AUDIT");
}

#[test]
fn a_flow_has_the_words_of_the_policy_that_decided() {
    let yaml = "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, \
        metadata: {name: words, namespace: default}, specs: [\
        {endpointSelector: {}, log: {value: tier-1}, ingress: [{fromEntities: [all]}]}, \
        {endpointSelector: {}, log: {value: other}, ingressDeny: [{fromEntities: [world]}]}]}";
    let flows = made(yaml, verdict::ALLOW);
    assert_eq!(flows[0].policy_log[1..], ["tier-1"], "{flows:?}");
}

#[test]
fn an_allow_names_its_rule() {
    let flows = made(ALLOW, verdict::ALLOW);
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    assert_eq!(flow.verdict(), Verdict::Forwarded);
    assert_eq!(flow.policy_match_type, 2, "L3-L4");
    assert_eq!(flow.ingress_allowed_by[0].name, "allow");
    let why = flow.weir.as_ref().expect("reasons");
    assert_eq!(why.rules, ["spec.ingress[0]"]);
    assert_eq!(
        why.reason,
        "allowed by NetworkPolicy/default/allow (spec.ingress[0])"
    );
}

#[test]
fn where_no_policy_selects_a_packet_was_seen_and_nothing_judged() {
    let names = names(Vec::new());
    let event = syn(&names, verdict::ALLOW);
    let reasons = Reasoner::new(&names).reasons(&event);
    let flows = verdicts(&event, UNIX_EPOCH, &names, &reasons);
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    assert_eq!(flow.event_type.expect("a type").r#type, event_type::TRACE);
    assert_eq!(
        flow.trace_observation_point(),
        TraceObservationPoint::ToEndpoint
    );
    assert!(flow.ingress_allowed_by.is_empty());
}

#[test]
fn an_event_of_another_revision_is_not_explained_by_todays_rules() {
    let names = policy(ALLOW);
    let mut event = syn(&names, verdict::DENY);
    event.revision += 1;
    let why = Reasoner::new(&names).reasons(&event).why;
    assert_eq!(
        (why.reason.as_str(), why.default_deny),
        ("default deny", true)
    );
    assert_eq!(why.nearest_miss, "");
}

fn request(verdict: Disposition, status: Option<u16>) -> L7Record {
    L7Record {
        time_us: 10_000_000,
        endpoint: Some(7),
        direction: Direction::Ingress,
        client: format!("{SLEEP}:40000").parse().expect("an address"),
        server: format!("{HTTPBIN}:80").parse().expect("an address"),
        application: Application::Http(HttpRecord {
            method: "GET".into(),
            path: "/headers?key=secret".into(),
            host: "httpbin:8000".into(),
            version: HttpVersion::Http11,
            headers: vec![("Authorization".into(), "Bearer x".into())],
            status,
            grpc_status: None,
        }),
        verdict,
        policies: vec!["CiliumNetworkPolicy/default/web".into()],
        nearest: None,
        reason: "no HTTP rule matches".into(),
        latency_us: 2_500,
    }
}

#[test]
fn an_open_connection_that_now_needs_the_proxy_is_reset() {
    let names = policy(ALLOW);
    let mut event = syn(&names, verdict::REDIRECT);
    let made = |event: &Event| {
        let reasons = Reasoner::new(&names).reasons(event);
        verdicts(event, UNIX_EPOCH, &names, &reasons)
    };
    let why = |flow: &Flow| flow.weir.clone().expect("a reason");
    assert!(!why(&made(&event)[0]).reset);
    event.detail = 16;
    let flow = &made(&event)[0];
    assert!(
        why(flow).reset && why(flow).reason.contains("is reset"),
        "{flow:?}"
    );
    assert_eq!(crate::log::word(flow), "RESET");
    event.verdict = verdict::DENY;
    let flow = &made(&event)[0];
    assert!(
        why(flow).reason.ends_with("the connection was open"),
        "{flow:?}"
    );
    assert_eq!(crate::log::word(flow), "DENY");
}

#[test]
fn a_denied_request_is_dropped_and_its_answer_forwarded() {
    let redaction = Redaction {
        query: true,
        ..Redaction::default()
    };
    let names = policy(DENY);
    let nearest = "spec.ingress[0] of CiliumNetworkPolicy/default/web would match but for path: \
                   `/headers?key=secret` is not fully matched by `/headers`";
    let denied = L7Record {
        nearest: Some(nearest.into()),
        ..request(Disposition::Denied, Some(403))
    };
    let flows = requests(&denied, &names, &redaction);
    let [asked, answer] = flows.as_slice() else {
        panic!("{flows:?}")
    };
    assert_eq!(asked.verdict(), Verdict::Dropped);
    let why = asked.weir.as_ref().expect("a reason");
    assert_eq!(why.reason, "no HTTP rule matches");
    assert_eq!(why.nearest_miss, nearest.replace("?key=secret", ""));
    assert_eq!(asked.ingress_denied_by[0].name, "web");
    assert_eq!(asked.summary, "HTTP/1.1 GET http://httpbin:8000/headers");
    assert_eq!(asked.time.as_ref().map(|time| time.seconds), Some(9));
    assert_eq!(
        (answer.verdict(), answer.is_reply),
        (Verdict::Forwarded, Some(true))
    );
    assert_eq!(
        answer.summary,
        "HTTP/1.1 403 2ms (GET http://httpbin:8000/headers)"
    );
    assert_eq!(answer.source, asked.destination);
    assert_eq!(
        answer.l7.as_ref().map(|l7| l7.r#type()),
        Some(L7FlowType::Response)
    );
    let text = format!("{flows:?}");
    assert!(
        !text.contains("secret") && !text.contains("Bearer x"),
        "{text}"
    );
}

#[test]
fn a_request_without_an_answer_is_one_record() {
    let names = policy(DENY);
    let none = Redaction::default();
    let flows = requests(&request(Disposition::Error, None), &names, &none);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].verdict(), Verdict::Error);
    let mut tls = request(Disposition::Denied, None);
    tls.application = Application::Tls {
        name: "example.com".into(),
    };
    let flows = requests(&tls, &names, &none);
    assert_eq!(
        (flows.len(), flows[0].summary.as_str()),
        (1, "TLS example.com")
    );
    assert_eq!(crate::log::word(&flows[0]), "TLS_DENY");
    tls.application = Application::Other { status: Some(400) };
    let flows = requests(&tls, &names, &none);
    assert_eq!(flows[0].summary, "not understood");
    assert_eq!(crate::log::word(&flows[0]), "L7_DENY");
}

#[test]
fn a_query_tells_what_was_asked_and_answered() {
    let names = policy(DENY);
    let mut asked = request(Disposition::Denied, None);
    let query = DnsRecord {
        name: "example.com".into(),
        query_types: vec!["AAAA".into()],
        code: Some(5),
        ..DnsRecord::default()
    };
    asked.application = Application::Dns(Box::new(query.clone()));
    let flows = requests(&asked, &names, &Redaction::default());
    assert_eq!(flows[0].summary, "DNS Query example.com. AAAA");
    assert_eq!(
        flows[1].summary,
        "DNS Answer RCode: Query Refused TTL: 0 (Proxy example.com. AAAA)"
    );
    assert!(matches!(
        flows[0].l4.as_ref().and_then(|l4| l4.protocol.as_ref()),
        Some(Protocol::Udp(_))
    ));
    asked.verdict = Disposition::Allowed;
    asked.application = Application::Dns(Box::new(DnsRecord {
        tcp: true,
        code: Some(0),
        addresses: vec![
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        ],
        ttl: 30,
        aliases: vec!["web.example.com".into()],
        answer_types: vec!["CNAME".into(), "AAAA".into()],
        ..query
    }));
    let flows = requests(&asked, &names, &Redaction::default());
    assert_eq!(
        flows[1].summary,
        "DNS Answer \"2001:db8::1,2001:db8::2\" CNAMEs: \"web.example.com.\" TTL: 30 (Proxy example.com. AAAA)"
    );
    assert_eq!(crate::print::kind(&flows[1]), "dns-response proxy");
    let Some(Record::Dns(dns)) = flows[1].l7.as_ref().and_then(|l7| l7.record.as_ref()) else {
        panic!("{flows:?}")
    };
    assert_eq!((dns.ttl, dns.rrtypes.len(), dns.ips.len()), (30, 2, 2));
    assert!(matches!(
        flows[1].l4.as_ref().and_then(|l4| l4.protocol.as_ref()),
        Some(Protocol::Tcp(_))
    ));
}

#[test]
fn how_a_call_of_grpc_ended_is_in_its_answer() {
    let names = policy(ALLOW);
    let mut call = request(Disposition::Denied, Some(200));
    if let Application::Http(http) = &mut call.application {
        http.version = HttpVersion::Http2;
        http.method = "POST".into();
        http.path = "/echo.Echo/Unary".into();
        http.grpc_status = Some(7);
    }
    let flows = requests(&call, &names, &Redaction::default());
    let http = |flow: &Flow| match flow.l7.clone().and_then(|l7| l7.record) {
        Some(Record::Http(http)) => http,
        other => panic!("{other:?}"),
    };
    let [asked, answer] = [http(&flows[0]), http(&flows[1])];
    assert_eq!(
        (asked.protocol.as_str(), asked.method.as_str()),
        ("HTTP/2", "POST")
    );
    assert_eq!(asked.url, "http://httpbin:8000/echo.Echo/Unary");
    let status = |http: &Http| {
        let mut headers = http.headers.iter();
        headers
            .find(|header| header.key == "grpc-status")
            .map(|header| header.value.clone())
    };
    assert_eq!(
        (status(&asked), status(&answer)),
        (None, Some("7".to_owned()))
    );
}
