//! Small worlds by hand: pods, services and policies in a few words.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{
    model::{ContainerPort, Labels, Namespace, Pod, Policy, Protocol, Service, ServicePort, World},
    objects,
};

/// A world under construction; its pods get the addresses 10.244.0.1, 10.244.0.2, …
#[derive(Debug, Default)]
pub struct Sample {
    /// What has been built so far.
    pub world: World,
}

impl Sample {
    /// The workshop's pods: `default/sleep-0`, `default/httpbin-0` (port 80, service 8000),
    /// `sleep/visitor` and the cluster's DNS.
    pub fn workshop() -> Self {
        Self::default()
            .pod("default/sleep-0", "app=sleep", &[])
            .pod("default/httpbin-0", "app=httpbin,version=v1", &[80])
            .pod("sleep/visitor", "app=visitor", &[])
            .pod("kube-system/coredns-0", "k8s-app=kube-dns", &[53])
            .service(
                "default/httpbin",
                "10.96.0.7",
                8000,
                "default/httpbin-0",
                80,
            )
    }

    /// Adds a pod `NAMESPACE/NAME` with labels `k=v,…` that listens on TCP ports.
    pub fn pod(mut self, name: &str, labels: &str, ports: &[u16]) -> Self {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let number = self.world.pods.len() + 1;
        self.world.pods.push(Pod {
            namespace: namespace.into(),
            name: name.into(),
            labels: pairs(labels),
            service_account: "default".into(),
            addresses: vec![address(&format!("10.244.0.{number}"))],
            ports: ports
                .iter()
                .map(|port| ContainerPort {
                    name: String::new(),
                    protocol: Protocol::Tcp,
                    port: *port,
                })
                .collect(),
            ..Pod::default()
        });
        self.namespace(namespace, "")
    }

    /// Adds labels to a namespace.
    pub fn namespace(mut self, name: &str, labels: &str) -> Self {
        let namespace: &mut Namespace = self.world.namespaces.entry(name.into()).or_default();
        let own = ("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        namespace.labels.extend(pairs(labels));
        namespace.labels.extend([own]);
        self
    }

    /// Adds a service whose TCP port leads to one pod's.
    pub fn service(mut self, name: &str, at: &str, port: u16, pod: &str, target: u16) -> Self {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let pods = self.world.pods.iter();
        let backends = pods
            .filter(|candidate| candidate.id() == *pod)
            .flat_map(|pod| pod.addresses.iter().map(|address| (*address, target)))
            .collect();
        self.world.services.push(Service {
            namespace: namespace.into(),
            name: name.into(),
            addresses: vec![address(at)],
            ports: vec![ServicePort {
                name: "http".to_owned(),
                protocol: Protocol::Tcp,
                port,
                node_port: None,
                backends,
            }],
            ..Service::default()
        });
        self
    }

    /// Adds a policy object.
    ///
    /// # Panics
    /// Where it is not a good one.
    pub fn policy(mut self, value: &Value) -> Self {
        self.world.policies.push(policy(value));
        self
    }
}

/// A NetworkPolicy of namespace `default`.
pub fn network_policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
           "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// A CiliumNetworkPolicy of namespace `default`.
pub fn cilium_policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
           "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// The workshop's policy `allow-get-headers` with these HTTP rules.
pub fn headers_policy(http: Value) -> Value {
    cilium_policy(
        "allow-get-headers",
        json!({
            "endpointSelector": {"matchLabels": {"app": "httpbin"}},
            "ingress": [{
                "fromEndpoints": [{"matchLabels": {"app": "sleep"}}],
                "toPorts": [{
                    "ports": [{"port": "80", "protocol": "TCP"}],
                    "rules": {"http": http},
                }],
            }],
        }),
    )
}

/// A good policy object, read.
///
/// # Panics
/// Where it is not a good one.
pub fn policy(value: &Value) -> Policy {
    let kind = objects::kind_of(value).expect("a policy kind");
    objects::parse(kind, value).expect("a good policy").policy
}

fn pairs(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("samples hold addresses")
}
