//! A server with a source, and waiting for what it knows.

use std::time::Duration;

use kube::{Client, Config};
use serde_json::{Value, json};
use weir_cluster::{
    Reading,
    kubernetes::ClusterSource,
    testing::{ApiServer, Faults},
};
use weir_policy::model::ClusterName;

/// Longer than any back-off that a test meets.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Watched {
    pub server: ApiServer,
    pub source: ClusterSource,
}

impl Watched {
    /// A source that is in step with a server of some objects.
    pub async fn new(objects: impl IntoIterator<Item = Value>) -> Self {
        Self::with(objects, |_| {}).await
    }

    pub async fn with(
        objects: impl IntoIterator<Item = Value>,
        faults: impl FnOnce(&mut Faults),
    ) -> Self {
        let server = ApiServer::start().await.unwrap();
        objects.into_iter().for_each(|object| server.put(object));
        server.faults(faults);
        let source = ClusterSource::start(client(&server), ClusterName::default());
        let watched = Self { server, source };
        watched
            .until("a first list", |source| source.synced())
            .await;
        watched
    }

    /// Waits until something holds of the source.
    pub async fn until(&self, what: &str, holds: impl Fn(&ClusterSource) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds(&self.source) {
                self.source.changed().await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.source.read());
    }

    /// Waits until the pods are these.
    pub async fn until_pods(&self, names: &[&str]) {
        self.until(&format!("pods {names:?}"), |source| {
            pods(&source.read()) == names
        })
        .await;
    }
}

pub fn client(server: &ApiServer) -> Client {
    Client::try_from(Config::new(server.url().parse().unwrap())).unwrap()
}

pub fn pods(reading: &Reading) -> Vec<&str> {
    reading
        .world
        .pods
        .iter()
        .map(|pod| pod.name.as_str())
        .collect()
}

pub fn pod(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "c", "image": "i"}]},
        "status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"},
    })
}

pub fn policy(name: &str, ingress: Value) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"endpointSelector": {}, "ingress": ingress},
    })
}
