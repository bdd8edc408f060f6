//! Policies with one mistake each, and what of them is in force all the same.

use super::{OTHER_SLEEP, SLEEP};
use crate::common::{Family, TestLab};

/// `example.com`, which every pod may reach that no policy selects.
fn world(family: Family) -> &'static str {
    match family {
        Family::V4 => "203.0.113.10",
        Family::V6 => "[2001:db8::10]",
    }
}

/// A policy with one mistake, and what of it is in force.
pub struct Mistake {
    pub yaml: &'static str,
    pub object: &'static str,
    pub field: &'static str,
    pub reason: &'static str,
    pub in_force: fn(&TestLab, Family),
}

pub const MISTAKES: [Mistake; 5] = [
    // Its pods were open; what it meant is not known, so they are shut in the direction it names.
    Mistake {
        yaml: r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: unknown-field, namespace: sleep }
spec:
  podSelector: { matchLabels: { app: sleep } }
  policyTypes: [Egress]
  egres: [{}]
"#,
        object: "NetworkPolicy/sleep/unknown-field",
        field: "spec.egres",
        reason: "unknown field",
        in_force: |lab, family| {
            lab.dropped(OTHER_SLEEP, family, &[world(family)]);
        },
    },
    // The rest of the policy is in force: httpbin is open to the sleep of the other namespace.
    Mistake {
        yaml: r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: wrong-cidr }
spec:
  podSelector: { matchLabels: { app: httpbin } }
  ingress:
  - from: [{ ipBlock: { cidr: 0.0.0.0/33 } }]
  - from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: other } } }]
"#,
        object: "NetworkPolicy/default/wrong-cidr",
        field: "spec.ingress[0].from[0].ipBlock.cidr",
        reason: "`0.0.0.0/33` is not a CIDR",
        in_force: |lab, family| {
            let pod = lab.host("deploy/httpbin", family);
            lab.allowed("sleep/other", family, &[&format!("{pod}/ip")]);
        },
    },
    Mistake {
        yaml: r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: wrong-regex }
spec:
  endpointSelector: { matchLabels: { app: httpbin } }
  ingress:
  - fromEndpoints: [{ matchLabels: { app: sleep } }]
    toPorts:
    - ports: [{ port: "80", protocol: TCP }]
      rules: { http: [{ path: "/(ip|" }, { path: /user-agent }] }
"#,
        object: "CiliumNetworkPolicy/default/wrong-regex",
        field: "spec.ingress[0].toPorts[0].rules.http[0].path",
        reason: "`/(ip|` is not a regular expression",
        in_force: |lab, family| {
            lab.allowed(SLEEP, family, &["httpbin:8000/user-agent"]);
        },
    },
    // A rule of which every request pattern is wrong allows no request; it does not become L4.
    Mistake {
        yaml: r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: only-wrong }
spec:
  endpointSelector: { matchLabels: { app: httpbin } }
  ingress:
  - fromEndpoints: [{ matchLabels: { app: sleep } }]
    toPorts:
    - ports: [{ port: "80", protocol: TCP }]
      rules: { http: [{ pathRegex: "/.*" }] }
"#,
        object: "CiliumNetworkPolicy/default/only-wrong",
        field: "spec.ingress[0].toPorts[0].rules.http[0].pathRegex",
        reason: "unknown field",
        in_force: |_, _| {},
    },
    // What a deny rule meant to deny is not known: it denies everything.
    Mistake {
        yaml: r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: wrong-deny }
spec:
  endpointSelector: { matchLabels: { app: stranger } }
  egress: [{ toEntities: [all] }]
  egressDeny: [{ toCIDR: [10.0.0.0/8/8] }]
"#,
        object: "CiliumNetworkPolicy/default/wrong-deny",
        field: "spec.egressDeny[0].toCIDR[0]",
        reason: "`10.0.0.0/8/8` is not a CIDR",
        in_force: |lab, family| {
            lab.dropped("stranger", family, &[world(family)]);
        },
    },
];
