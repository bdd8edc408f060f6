//! The policies of the workshop, as its scenario has them, and those that other tests share.

/// A policy of the scenario `s4`.
macro_rules! workshop {
    ($name:literal) => {
        include_str!(concat!(
            "../../../lab/scenarios/s4/policies/",
            $name,
            ".yaml"
        ))
    };
}

pub const DENY_INGRESS: &str = workshop!("default-deny-ingress");
pub const ALLOW_SLEEP: &str = workshop!("allow-ingress-to-httpbin");
pub const ALLOW_SLEEP_OF_NAMESPACE_SLEEP: &str = workshop!("allow-ingress-from-sleep-narrowed");
pub const DENY_SLEEP_EGRESS: &str = workshop!("deny-sleep-egress");
pub const ALLOW_GET_HEADERS: &str = workshop!("allow-get-headers");

/// The same rule on the client's side, with what the client needs besides.
pub const EGRESS_GET_HEADERS: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: egress-get-headers
spec:
  endpointSelector:
    matchLabels:
      app: sleep
  egress:
  - toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: kube-system
        k8s-app: kube-dns
  - toEndpoints:
    - matchLabels:
        app: httpbin
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
      rules:
        http:
        - method: GET
          path: /(headers|ip)
"#;

pub const DENY_FROM_SLEEP: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: deny-from-sleep
spec:
  endpointSelector:
    matchLabels:
      app: httpbin
  ingressDeny:
  - fromEndpoints:
    - matchLabels:
        app: sleep
"#;

/// Another way to httpbin: a service with a node port.
pub const NODE_PORT: &str = "
apiVersion: v1
kind: Service
metadata: { name: httpbin-outside }
spec:
  type: NodePort
  selector: { app: httpbin }
  ipFamilyPolicy: PreferDualStack
  ports: [{ port: 8000, targetPort: 80, nodePort: 30080 }]
";
