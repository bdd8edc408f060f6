//! What clients are let out to.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::policy::{egress, expression, ingress, namespace, peer, pod};
use crate::probe::Protocol::Tcp;
use crate::table::Table;

pub fn egress_named_port(cluster: &Cluster) {
    let rules = json!([{ "ports": [{ "port": "serve-80-tcp" }] }]);
    cluster.policy("x", "allow-egress", egress(json!({}), rules));
    cluster.check(Tcp, 80, Table::open());
    cluster.check(Tcp, 81, Table::open().deny("x/*", "*"));
}

pub fn deny_of_pod(cluster: &Cluster) {
    cluster.policy("x", "deny-egress-pod-a", egress(pod("a"), json!([])));
    cluster.check(Tcp, 80, Table::open().deny("x/a", "*"));
}

pub fn deny_of_namespace(cluster: &Cluster) {
    cluster.policy("x", "deny-egress-ns-x", egress(json!({}), json!([])));
    cluster.check(Tcp, 80, Table::open().deny("x/*", "*"));
}

pub fn together_with_ingress(cluster: &Cluster) {
    let mut both = ingress(pod("a"), json!([{ "from": [{ "podSelector": pod("b") }] }]));
    both["policyTypes"] = json!(["Egress", "Ingress"]);
    both["egress"] = json!([{ "ports": [{ "port": 80 }] }]);
    cluster.policy("x", "from-b-to-80", both);
    let table = Table::open().deny("*", "x/a").allow("x/b", "x/a");
    cluster.check(Tcp, 80, table);
    cluster.check(Tcp, 81, table.deny("x/a", "*"));
}

pub fn client_side(cluster: &Cluster) {
    let to = json!([{ "to": [peer(namespace("y"), pod("a"))] }]);
    cluster.policy("x", "allow-to-ns-y-pod-a", egress(pod("a"), to));
    let from = json!([{ "from": [peer(namespace("x"), pod("a"))] }]);
    cluster.policy("y", "allow-from-xa-on-ya", ingress(pod("a"), from.clone()));
    cluster.policy("y", "allow-from-xa-on-yb", ingress(pod("b"), from));
    let table = Table::open()
        .deny("x/a", "*")
        .deny("*", "y/a")
        .deny("*", "y/b")
        .allow("x/a", "y/a");
    cluster.check(Tcp, 80, table);
}

pub fn to_pod_of_namespace(cluster: &Cluster) {
    let to = json!([{ "to": [peer(namespace("y"), pod("a"))] }]);
    cluster.policy("x", "allow-to-ns-y-pod-a", egress(pod("a"), to));
    cluster.check(Tcp, 80, Table::open().deny("x/a", "*").allow("x/a", "y/a"));
}

pub fn egress_allow_all_takes_precedence(cluster: &Cluster) {
    let rules = json!([{ "ports": [{ "port": 80 }] }]);
    cluster.policy("x", "allow-egress-port-80", egress(json!({}), rules));
    cluster.check(Tcp, 81, Table::open().deny("x/*", "*"));
    cluster.policy("x", "allow-egress", egress(json!({}), json!([{}])));
    cluster.check(Tcp, 81, Table::open());
}

pub fn cidr(cluster: &Cluster) {
    allow_only(cluster, "y/b");
    cluster.check(Tcp, 80, Table::open().deny("x/a", "*").allow("x/a", "y/b"));
}

pub fn cidr_except(cluster: &Cluster) {
    allow_all_but(cluster, "x/b");
    cluster.check(Tcp, 80, Table::open().deny("x/a", "x/b"));
}

pub fn cidr_overlap(cluster: &Cluster) {
    allow_all_but(cluster, "x/b");
    cluster.check(Tcp, 80, Table::open().deny("x/a", "x/b"));
    // The original replaces the first policy; that both add up is what its name says.
    let to: Vec<Value> = cluster.addresses("x/b").iter().map(block).collect();
    cluster.policy(
        "x",
        "allow-x-b-too",
        egress(pod("a"), json!([{ "to": to }])),
    );
    cluster.check(Tcp, 80, Table::open());
    cluster.delete_policies();
    allow_only(cluster, "x/b");
    cluster.check(Tcp, 80, Table::open().deny("x/a", "*").allow("x/a", "x/b"));
}

pub fn independent_of_ingress(cluster: &Cluster) {
    cluster.policy(
        "x",
        "allow-egress-for-target",
        egress(pod("a"), json!([{}])),
    );
    cluster.check(Tcp, 80, Table::open());
    cluster.policy("x", "deny-ingress-for-target", ingress(pod("a"), json!([])));
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a"));
}

pub fn egress_default_label(cluster: &Cluster) {
    let others = expression("kubernetes.io/metadata.name", "NotIn", &["y"]);
    let rules = json!([{ "to": [{ "namespaceSelector": others }] }]);
    cluster.policy("x", "allow-all-but-ns-y", egress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open().deny("x/a", "y/*"));
}

fn allow_only(cluster: &Cluster, server: &str) {
    let to: Vec<Value> = cluster.addresses(server).iter().map(block).collect();
    cluster.policy(
        "x",
        "allow-via-cidr",
        egress(pod("a"), json!([{ "to": to }])),
    );
}

/// A large block around a pod, in each family, without the pod.
fn allow_all_but(cluster: &Cluster, server: &str) {
    let to: Vec<Value> = cluster
        .addresses(server)
        .iter()
        .map(|address| {
            let around = match address {
                IpAddr::V4(_) => "10.0.0.0/8",
                IpAddr::V6(_) => "fd00::/8",
            };
            let except = block(address)["ipBlock"]["cidr"].clone();
            json!({ "ipBlock": { "cidr": around, "except": [except] } })
        })
        .collect();
    cluster.policy(
        "x",
        "allow-via-cidr",
        egress(pod("a"), json!([{ "to": to }])),
    );
}

fn block(address: &IpAddr) -> Value {
    let bits = if address.is_ipv6() { 128 } else { 32 };
    json!({ "ipBlock": { "cidr": format!("{address}/{bits}") } })
}
