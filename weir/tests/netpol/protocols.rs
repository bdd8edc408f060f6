//! TCP, UDP and SCTP are not each other.

use serde_json::json;

use crate::cluster::Cluster;
use crate::policy::{ingress, namespace, peer, pod};
use crate::probe::Protocol::{self, Sctp, Tcp, Udp};
use crate::table::Table;

pub fn any_port_of_protocol(cluster: &Cluster) {
    let rules = json!([{ "ports": [{ "protocol": "TCP" }] }]);
    cluster.policy("x", "allow-ingress-by-proto", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open());
    cluster.check(Udp, 80, Table::open().deny("*", "x/a"));
}

pub fn sctp_is_not_tcp(cluster: &Cluster) {
    cluster.policy("x", "deny-ingress", ingress(json!({}), json!([])));
    allow_port(cluster, 81, "SCTP");
    cluster.check(Tcp, 81, Table::open().deny("*", "x/*"));
    // Beyond the original: SCTP itself passes.
    let table = Table::open().deny("*", "x/*").allow("*", "x/a");
    cluster.check(Sctp, 81, table);
}

pub fn sctp_isolates(cluster: &Cluster) {
    allow_port(cluster, 80, "SCTP");
    cluster.check(Tcp, 81, Table::open().deny("*", "x/a"));
}

pub fn udp_is_not_tcp(cluster: &Cluster) {
    allow_port(cluster, 81, "UDP");
    cluster.check(Tcp, 81, Table::open().deny("*", "x/a"));
}

pub fn udp_default_deny(cluster: &Cluster) {
    default_deny(cluster, Udp);
}

pub fn udp_ports(cluster: &Cluster) {
    ports(cluster, Udp, "UDP");
}

pub fn udp_pod_of_namespace(cluster: &Cluster) {
    pod_of_namespace(cluster, Udp);
}

pub fn sctp_default_deny(cluster: &Cluster) {
    default_deny(cluster, Sctp);
}

pub fn sctp_ports(cluster: &Cluster) {
    ports(cluster, Sctp, "SCTP");
}

pub fn sctp_pod_of_namespace(cluster: &Cluster) {
    pod_of_namespace(cluster, Sctp);
}

fn default_deny(cluster: &Cluster, protocol: Protocol) {
    cluster.policy("x", "deny-all", ingress(json!({}), json!([])));
    cluster.check(protocol, 80, Table::open().deny("*", "x/*"));
}

fn ports(cluster: &Cluster, protocol: Protocol, word: &str) {
    let rules = json!([{
        "from": [{ "namespaceSelector": namespace("y") }],
        "ports": [{ "port": 81, "protocol": word }],
    }]);
    cluster.policy("x", "allow-ns-y-81", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a");
    cluster.check(protocol, 81, table.allow("y/*", "x/a"));
    cluster.check(protocol, 80, table);
}

fn pod_of_namespace(cluster: &Cluster, protocol: Protocol) {
    let rules = json!([{ "from": [peer(namespace("y"), pod("a"))] }]);
    cluster.policy("x", "allow-ns-y-pod-a", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a").allow("y/a", "x/a");
    cluster.check(protocol, 80, table);
}

fn allow_port(cluster: &Cluster, port: u16, protocol: &str) {
    let rules = json!([{ "ports": [{ "port": port, "protocol": protocol }] }]);
    let name = format!("allow-{port}-{}", protocol.to_lowercase());
    cluster.policy("x", &name, ingress(pod("a"), rules));
}
