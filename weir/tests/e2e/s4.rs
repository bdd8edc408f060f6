//! The workshop of lab S4, row by row as `semantics.md` counts them, with the right results.

use weir_lab::Topology;

use crate::common::{FAMILIES, Family, TestLab, in_both_topologies};
use crate::policies::*;

in_both_topologies!(
    ingress_policies,
    allow_within_the_namespace,
    egress_policies,
    http_rules,
    http_rules_beside_network_policies,
);

const HEADERS: &str = "httpbin:8000/headers";
const FROM_SLEEP: &str = "httpbin.default:8000/headers";
const SLEEP: &str = "deploy/sleep";
const OTHER_SLEEP: &str = "sleep/deploy/sleep";

/// Rows 53, 54, 61, 62, 63, 64.
fn ingress_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    for family in FAMILIES {
        let reply = lab.allowed(SLEEP, family, &[HEADERS]);
        assert_eq!(reply.content_type, "application/json");
        assert!(
            reply.body.contains("\"Host\": \"httpbin:8000\""),
            "{reply:?}"
        );
    }

    lab.apply(DENY_INGRESS);
    for family in FAMILIES {
        lab.dropped(SLEEP, family, &[HEADERS]);
    }

    lab.apply(ALLOW_SLEEP);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.dropped(OTHER_SLEEP, family, &[FROM_SLEEP]);
        lab.dropped("stranger", family, &[HEADERS]);
    }

    // Every pod of the namespace, whatever its labels; and row 61 stays as it is.
    lab.apply(ALLOW_NAMESPACE_SLEEP);
    for family in FAMILIES {
        lab.allowed(OTHER_SLEEP, family, &[FROM_SLEEP]);
        lab.allowed("sleep/other", family, &[FROM_SLEEP]);
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.dropped("stranger", family, &[HEADERS]);
    }

    // The same name with both selectors in one peer: only pods that match both.
    let applied = lab.apply(ALLOW_SLEEP_OF_NAMESPACE_SLEEP);
    assert_eq!(applied.changes[0].what, "configured");
    for family in FAMILIES {
        lab.allowed(OTHER_SLEEP, family, &[FROM_SLEEP]);
        lab.dropped("sleep/other", family, &[FROM_SLEEP]);
        lab.allowed(SLEEP, family, &[HEADERS]);
    }

    lab.delete_all("NetworkPolicy");
    for family in FAMILIES {
        for (pod, url) in [
            (SLEEP, HEADERS),
            ("stranger", HEADERS),
            (OTHER_SLEEP, FROM_SLEEP),
            ("sleep/other", FROM_SLEEP),
        ] {
            lab.allowed(pod, family, &[url]);
        }
    }
}

/// Row 65: no `policyTypes`, so ingress only; peers without a namespace are of the policy's own.
fn allow_within_the_namespace(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_NAMESPACE_INGRESS);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.allowed("stranger", family, &[HEADERS]);
        lab.dropped(OTHER_SLEEP, family, &[FROM_SLEEP]);
        // Egress of the selected pods is untouched, to other namespaces and to the world.
        lab.allowed("stranger", family, &["www.google.com"]);
    }
}

/// Rows 66, 67, 68.
fn egress_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(DENY_SLEEP_EGRESS);
    for family in FAMILIES {
        lab.unresolved(SLEEP, family, &[HEADERS]);
        let service = format!("{}:8000/headers", lab.service("default/httpbin", family));
        lab.dropped(SLEEP, family, &[&service]);
        lab.allowed(OTHER_SLEEP, family, &[FROM_SLEEP]);
    }

    // DNS is still shut: the name fails, the service's address leads to a pod that is allowed.
    lab.apply(ALLOW_SLEEP_TO_HTTPBIN);
    for family in FAMILIES {
        lab.unresolved(SLEEP, family, &[HEADERS]);
        let service = format!("{}:8000/headers", lab.service("default/httpbin", family));
        lab.allowed(SLEEP, family, &[&service]);
        let pod = format!("{}/headers", lab.host("deploy/httpbin", family));
        lab.allowed(SLEEP, family, &[&pod]);
        // Another service is another set of backends.
        let echo = lab.service("default/echo", family);
        lab.dropped(SLEEP, family, &[&echo]);
    }

    lab.apply(ALLOW_DNS);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        // A name that resolves now, to a server that is still out of reach.
        lab.dropped(SLEEP, family, &["www.google.com"]);
        lab.dropped(SLEEP, family, &["echo"]);
    }

    lab.delete_all("NetworkPolicy");
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["www.google.com"]);
        lab.allowed(SLEEP, family, &["echo"]);
    }
}

/// Rows 70, 71, 72.
fn http_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    let before = lab.lab.pods().unwrap();
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["-X", "POST", "httpbin.default:8000/post"]);
        lab.allowed(SLEEP, family, &["httpbin.default:8000/ip"]);
    }
    let started = lab.access_log("deploy/httpbin").len();

    lab.apply(ALLOW_GET_HEADERS);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.forbidden(SLEEP, family, &["-X", "POST", "httpbin:8000/post"]);
        lab.forbidden(SLEEP, family, &["-d", "a=1", "httpbin:8000/post"]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
        lab.forbidden(SLEEP, family, &["-X", "POST", HEADERS]);
        // The rule is a full match of the path with its query.
        for path in [
            "/headers/",
            "/headers?a=b",
            "/headersx",
            "/",
            "/ip/../headers",
        ] {
            let url = format!("httpbin:8000{path}");
            lab.forbidden(SLEEP, family, &["--path-as-is", &url]);
        }
        by_pod_address(&lab, family);
        connection_is_kept(&lab, family);
        // Not selected by any rule: dropped while connecting, no 403.
        lab.dropped(OTHER_SLEEP, family, &[FROM_SLEEP]);
        lab.dropped("stranger", family, &[HEADERS]);
    }

    let log = lab.access_log("deploy/httpbin");
    assert!(log.len() > started, "the server logs no request");
    for line in &log[started..] {
        assert!(
            line.contains("\"GET /headers HTTP/1.1\" 200"),
            "reached the server: {line}"
        );
    }
    same_pods(&before, &lab.lab.pods().unwrap());
    let restarts: Vec<_> = before
        .iter()
        .flat_map(|pod| pod.processes.clone())
        .collect();
    assert!(!restarts.is_empty() && restarts.iter().all(|process| process.is_alive()));
}

fn by_pod_address(lab: &TestLab, family: Family) {
    let host = lab.host("deploy/httpbin", family);
    lab.allowed(SLEEP, family, &[&format!("{host}/headers")]);
    lab.forbidden(SLEEP, family, &[&format!("{host}/ip")]);
}

/// A denial does not cost the connection: the next request goes over the same one.
fn connection_is_kept(lab: &TestLab, family: Family) {
    let urls = ["httpbin:8000/ip", HEADERS, "httpbin:8000/post", HEADERS];
    let replies = lab.curls(SLEEP, family, "20", &urls);
    let seen: Vec<_> = replies.iter().map(|r| (r.status, r.connects)).collect();
    assert_eq!(
        seen,
        [(403, 1), (200, 0), (403, 0), (200, 0)],
        "{replies:#?}"
    );
}

/// Row 72: no sidecar, no restart.
fn same_pods(before: &[weir_lab::Pod], after: &[weir_lab::Pod]) {
    let facts = |pods: &[weir_lab::Pod]| -> Vec<_> {
        pods.iter()
            .map(|pod| {
                (
                    pod.id(),
                    pod.addresses.clone(),
                    format!("{:?}", pod.processes),
                )
            })
            .collect()
    };
    assert_eq!(facts(before), facts(after));
}

/// Row 74: what either kind allows is allowed; a plain L4 allow is not narrowed by an HTTP rule;
/// a deny rule wins over both.
fn http_rules_beside_network_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(DENY_INGRESS);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
        lab.dropped("stranger", family, &[HEADERS]);
    }

    lab.apply(ALLOW_SLEEP_OF_NAMESPACE_SLEEP);
    for family in FAMILIES {
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
        lab.allowed(OTHER_SLEEP, family, &["httpbin.default:8000/ip"]);
    }

    lab.apply(ALLOW_SLEEP);
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
    }

    lab.apply(DENY_FROM_SLEEP);
    for family in FAMILIES {
        lab.dropped(SLEEP, family, &[HEADERS]);
        lab.allowed(OTHER_SLEEP, family, &["httpbin.default:8000/ip"]);
    }

    lab.delete("CiliumNetworkPolicy", "deny-from-sleep");
    lab.delete("NetworkPolicy", "allow-ingress-to-httpbin");
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
    }

    lab.delete_all("CiliumNetworkPolicy");
    for family in FAMILIES {
        lab.dropped(SLEEP, family, &[HEADERS]);
    }
}
