//! The workshop of lab S4: its scenario's steps, and after them what the text does not ask. Rows are
//! those of `semantics.md`.

use weir_lab::Topology;
use weir_lab::scenario::{self, Loaded, Stage};

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

/// The workshop's steps in a test's lab: done and checked as its scenario says.
struct Workshop<'a> {
    scenario: Loaded,
    stage: Stage<'a>,
}

impl<'a> Workshop<'a> {
    fn of(lab: &'a TestLab) -> Self {
        let scenario = scenario::load("s4").unwrap();
        let stage = Stage::new(&lab.lab, &scenario).unwrap();
        Self { scenario, stage }
    }

    fn plays(&mut self, name: &str) {
        let steps = &self.scenario.scenario.steps;
        let step = steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| panic!("the workshop has no step {name:?}"));
        let stepped = self.stage.play(step);
        let stepped = stepped.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(stepped.differences(), 0, "{name}: {stepped:#?}");
    }
}

/// Rows 53, 54, 61, 62, 63, 64.
fn ingress_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    let mut workshop = Workshop::of(&lab);
    workshop.plays("Without a policy every pod reaches every pod");
    for family in FAMILIES {
        let reply = lab.allowed(SLEEP, family, &[HEADERS]);
        assert_eq!(reply.content_type, "application/json");
    }

    workshop.plays("Deny all ingress");
    workshop.plays("Allow sleep to reach httpbin");
    for family in FAMILIES {
        lab.dropped("stranger", family, &[HEADERS]);
    }

    workshop.plays("The same labels in another namespace are other pods");
    // Every pod of the namespace, whatever its labels; and row 61 stays as it is.
    workshop.plays("Allow every pod of the namespace sleep");
    for family in FAMILIES {
        lab.allowed("sleep/other", family, &[FROM_SLEEP]);
        lab.allowed(SLEEP, family, &[HEADERS]);
        lab.dropped("stranger", family, &[HEADERS]);
    }

    workshop.plays("Allow only the sleep pods of it");
    for family in FAMILIES {
        lab.dropped("sleep/other", family, &[FROM_SLEEP]);
        lab.allowed(SLEEP, family, &[HEADERS]);
    }

    workshop.plays("Delete all policies");
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
    Workshop::of(&lab).plays("Allow the own namespace only");
    for family in FAMILIES {
        lab.allowed("stranger", family, &[HEADERS]);
        // Egress of the selected pods is untouched, to other namespaces and to the world.
        lab.allowed("stranger", family, &["www.google.com"]);
    }
}

/// Rows 66, 67, 68.
fn egress_policies(topology: Topology) {
    let lab = TestLab::up(topology);
    let mut workshop = Workshop::of(&lab);
    workshop.plays("Deny all egress of sleep");
    for family in FAMILIES {
        let service = format!("{}:8000/headers", lab.service("default/httpbin", family));
        lab.dropped(SLEEP, family, &[&service]);
        lab.allowed(OTHER_SLEEP, family, &[FROM_SLEEP]);
    }

    // DNS is still shut: the name fails, the service's address leads to a pod that is allowed.
    workshop.plays("Allow sleep's egress to httpbin");
    for family in FAMILIES {
        let pod = format!("{}/headers", lab.host("deploy/httpbin", family));
        lab.allowed(SLEEP, family, &[&pod]);
        // Another service is another set of backends.
        let echo = lab.service("default/echo", family);
        lab.dropped(SLEEP, family, &[&echo]);
    }

    workshop.plays("Allow the DNS");
    for family in FAMILIES {
        // A name that resolves now, to a server that is still out of reach.
        lab.dropped(SLEEP, family, &["echo"]);
    }

    workshop.plays("Delete all policies");
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["www.google.com"]);
        lab.allowed(SLEEP, family, &["echo"]);
    }
}

/// Rows 70, 71, 72.
fn http_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    let before = lab.lab.pods().unwrap();
    let mut workshop = Workshop::of(&lab);
    workshop.plays("Delete all policies, and put load on httpbin");
    workshop.plays("Allow GET /headers and nothing else");
    let started = lab.access_log("deploy/httpbin").len();
    for family in FAMILIES {
        lab.forbidden(SLEEP, family, &["-d", "a=1", "httpbin:8000/post"]);
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
        .flat_map(|pod| pod.processes().collect::<Vec<_>>())
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
                    format!("{:?}", pod.processes().collect::<Vec<_>>()),
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
