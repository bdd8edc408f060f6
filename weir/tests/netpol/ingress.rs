//! What servers let in.

use serde_json::json;

use crate::cluster::Cluster;
use crate::policy::{expression, ingress, namespace, peer, pod};
use crate::probe::Protocol::Tcp;
use crate::table::Table;

pub fn default_deny_ingress(cluster: &Cluster) {
    cluster.policy("x", "deny-ingress", ingress(json!({}), json!([])));
    cluster.check(Tcp, 80, Table::open().deny("*", "x/*"));
}

pub fn default_deny_all(cluster: &Cluster) {
    let mut both = ingress(json!({}), json!([]));
    both["policyTypes"] = json!(["Ingress", "Egress"]);
    cluster.policy("x", "deny-all", both);
    cluster.check(Tcp, 80, Table::open().deny("*", "x/*").deny("x/*", "*"));
}

pub fn pod_selector(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "podSelector": pod("b") }] }]);
    cluster.policy("x", "x-a-allows-x-b", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a").allow("x/b", "x/a"));
}

pub fn for_a_target(cluster: &Cluster) {
    cluster.policy("x", "deny-all", ingress(json!({}), json!([])));
    let rules = json!([{ "from": [peer(json!({}), json!({}))] }]);
    cluster.policy("x", "allow-all-to-a", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/*").allow("*", "x/a");
    cluster.check(Tcp, 80, table);
}

pub fn all_namespaces(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "namespaceSelector": {} }] }]);
    cluster.policy("x", "allow-from-another-ns", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open());
}

pub fn different_namespace(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "namespaceSelector": namespace("y") }] }]);
    cluster.policy("x", "allow-via-ns-selector", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, only_from_y());
}

pub fn pod_match_expressions(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "podSelector": expression("pod", "In", &["b"]) }] }]);
    cluster.policy("x", "x-a-allows-x-b", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a").allow("x/b", "x/a"));
}

pub fn namespace_match_expressions(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "namespaceSelector": expression("ns", "In", &["y"]) }] }]);
    cluster.policy("x", "allow-ns-y", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, only_from_y());
}

pub fn pod_or_namespace(cluster: &Cluster) {
    let rules = json!([{ "from": [
        { "namespaceSelector": expression("ns", "NotIn", &["x"]) },
        { "podSelector": pod("b") },
    ]}]);
    cluster.policy("x", "allow-ns-y-z-or-pod-b", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open().deny("x/c", "x/a"));
}

pub fn pod_and_namespace(cluster: &Cluster) {
    let rules = json!([{ "from": [peer(expression("ns", "NotIn", &["x"]), pod("b"))] }]);
    cluster.policy("x", "allow-ns-y-z-and-pod-b", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a");
    cluster.check(Tcp, 80, table.allow("y/b", "x/a").allow("z/b", "x/a"));
}

pub fn multiple_selectors(cluster: &Cluster) {
    let pods = expression("pod", "In", &["b", "c"]);
    let rules = json!([{ "from": [peer(expression("ns", "NotIn", &["x"]), pods)] }]);
    cluster.policy("x", "allow-ns-y-z-pod-b-c", ingress(pod("a"), rules));
    let table = Table::open().deny("x/*", "x/a");
    cluster.check(Tcp, 80, table.deny("y/a", "x/a").deny("z/a", "x/a"));
}

pub fn any_pod_selectors(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "podSelector": pod("b") }, { "podSelector": pod("c") }] }]);
    cluster.policy("x", "allow-ns-x-pod-b-c", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a");
    cluster.check(Tcp, 80, table.allow("x/b", "x/a").allow("x/c", "x/a"));
}

pub fn pod_of_different_namespace(cluster: &Cluster) {
    let rules = json!([{ "from": [peer(namespace("y"), pod("a"))] }]);
    cluster.policy("x", "allow-ns-y-pod-a", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a").allow("y/a", "x/a"));
}

pub fn ports(cluster: &Cluster) {
    allow_namespace_y(cluster, 81);
    cluster.check(Tcp, 81, only_from_y());
}

pub fn stacked_policies(cluster: &Cluster) {
    allow_namespace_y(cluster, 81);
    cluster.check(Tcp, 81, only_from_y());
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a"));
    allow_namespace_y(cluster, 80);
    cluster.check(Tcp, 80, only_from_y());
}

pub fn allow_all(cluster: &Cluster) {
    cluster.policy("x", "allow-all", ingress(json!({}), json!([{}])));
    cluster.check(Tcp, 80, Table::open());
    cluster.check(Tcp, 81, Table::open());
}

pub fn named_port(cluster: &Cluster) {
    let rules = json!([{ "ports": [{ "port": "serve-81-tcp" }] }]);
    cluster.policy("x", "allow-serve-81", ingress(json!({}), rules));
    cluster.check(Tcp, 81, Table::open());
    cluster.check(Tcp, 80, Table::open().deny("*", "x/*"));
}

pub fn named_port_from_namespace(cluster: &Cluster) {
    let rules = json!([{
        "from": [{ "namespaceSelector": namespace("y") }],
        "ports": [{ "port": "serve-80-tcp", "protocol": "TCP" }],
    }]);
    cluster.policy("x", "allow-ns-y-serve-80", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, only_from_y());
    cluster.check(Tcp, 81, Table::open().deny("*", "x/a"));
}

pub fn deny_other_namespaces(cluster: &Cluster) {
    let rules = json!([{ "from": [{ "podSelector": {} }] }]);
    cluster.policy("x", "own-namespace-only", ingress(json!({}), rules));
    let table = Table::open().deny("y/*", "x/*").deny("z/*", "x/*");
    cluster.check(Tcp, 80, table);
}

pub fn allow_all_takes_precedence(cluster: &Cluster) {
    let rules = json!([{ "ports": [{ "port": 80 }] }]);
    cluster.policy("x", "allow-ingress-port-80", ingress(json!({}), rules));
    cluster.check(Tcp, 81, Table::open().deny("*", "x/*"));
    cluster.policy("x", "allow-ingress", ingress(json!({}), json!([{}])));
    cluster.check(Tcp, 81, Table::open());
}

pub fn default_label(cluster: &Cluster) {
    let label = json!({ "matchLabels": { "kubernetes.io/metadata.name": "y" } });
    let rules = json!([{ "from": [{ "namespaceSelector": label }] }]);
    cluster.policy("x", "allow-by-the-name", ingress(pod("a"), rules));
    cluster.check(Tcp, 80, only_from_y());
}

fn only_from_y() -> Table {
    Table::open().deny("*", "x/a").allow("y/*", "x/a")
}

fn allow_namespace_y(cluster: &Cluster, port: u16) {
    let rules = json!([{
        "from": [{ "namespaceSelector": namespace("y") }],
        "ports": [{ "port": port, "protocol": "TCP" }],
    }]);
    let name = format!("allow-ns-y-{port}");
    cluster.policy("x", &name, ingress(pod("a"), rules));
}
