//! Policies, labels of pods and labels of namespaces that change.

use serde_json::json;

use crate::cluster::Cluster;
use crate::policy::{ingress, pod};
use crate::probe::Protocol::Tcp;
use crate::table::Table;

pub fn policy(cluster: &Cluster) {
    cluster.policy("x", "mutates", ingress(json!({}), json!([{}])));
    cluster.check(Tcp, 81, Table::open());
    cluster.policy("x", "mutates", ingress(json!({}), json!([])));
    cluster.check(Tcp, 81, Table::open().deny("*", "x/*"));
}

pub fn namespace(cluster: &Cluster) {
    let label = json!({ "matchLabels": { "ns2": "updated" } });
    let rules = json!([{ "from": [{ "namespaceSelector": label }] }]);
    cluster.policy("x", "allow-updated-namespace", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a");
    cluster.check(Tcp, 80, table);
    cluster.label("Namespace", "", "y", "ns2", "updated");
    cluster.check(Tcp, 80, table.allow("y/*", "x/a"));
}

pub fn updated_pod(cluster: &Cluster) {
    let label = json!({ "matchLabels": { "pod": "b", "pod2": "updated" } });
    let rules = json!([{ "from": [{ "podSelector": label }] }]);
    cluster.policy("x", "allow-updated-pod", ingress(pod("a"), rules));
    let table = Table::open().deny("*", "x/a");
    cluster.check(Tcp, 80, table);
    cluster.label("Pod", "x", "b", "pod2", "updated");
    cluster.check(Tcp, 80, table.allow("x/b", "x/a"));
}

pub fn target(cluster: &Cluster) {
    let isolated = json!({ "matchLabels": { "target": "isolated" } });
    cluster.policy("x", "deny-ingress-by-label", ingress(isolated, json!([])));
    cluster.check(Tcp, 80, Table::open());
    cluster.label("Pod", "x", "a", "target", "isolated");
    cluster.check(Tcp, 80, Table::open().deny("*", "x/a"));
}

pub fn deleted(cluster: &Cluster) {
    let mut both = ingress(json!({}), json!([]));
    both["policyTypes"] = json!(["Ingress", "Egress"]);
    cluster.policy("x", "deny-all", both);
    cluster.check(Tcp, 80, Table::open().deny("x/*", "*").deny("*", "x/*"));
    cluster.delete_policies();
    cluster.check(Tcp, 80, Table::open());
}
