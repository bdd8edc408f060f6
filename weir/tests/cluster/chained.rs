//! Pods that start by the chained CNI plugin.

use serde_json::{Value, json};

use crate::{
    node::{Node, Serving, curl, on_node, serve, wait_for},
    objects::{get_headers, namespace, node, pod},
    runtime::{Sandbox, configure, plugins},
};

pub fn prepare(node_: &mut Node, kind: &str) {
    configure(node_, kind);
    for object in [
        namespace(),
        node(),
        pod("sleep"),
        pod("httpbin"),
        get_headers(),
    ] {
        node_.server.put(object);
    }
}

/// Our plugin is in the chain.
pub fn chained(node: &Node) {
    wait_for("our plugin in the chain", || {
        plugins(node)
            .iter()
            .any(|plugin| plugin["type"] == "weir-cni")
            .then_some(())
    });
}

/// A client and a server, started by the chain.
pub fn pair(node: &Node) -> (Sandbox, Sandbox, Serving) {
    let (mut client, mut server) = (Sandbox::new(node, "sleep"), Sandbox::new(node, "httpbin"));
    client.add(node).unwrap();
    server.add(node).unwrap();
    let serving = serve(&server.netns, &node.path("www"));
    (client, server, serving)
}

/// The API learns of a pod's address a while after its network is made.
pub fn running(node: &Node, name: &str, sandbox: &Sandbox) {
    let mut object = node.server.get("Pod", "default", name).unwrap();
    let address = sandbox.address();
    object["status"] = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]});
    node.server.put(object);
}

fn policy_is_in_force_before_the_first_process(kind: &'static str) {
    on_node(async |node| {
        prepare(node, kind);
        node.start_agent();
        node.start_proxy();
        chained(node);
        // The API does not know any address yet, and the very first requests are judged.
        let (client, server, serving) = pair(node);
        let url = |path: &str| format!("http://{}{path}", server.address());
        assert_eq!(curl(&client.netns, &url("/ip")), "403");
        assert_eq!(curl(&client.netns, &url("/headers")), "200");
        // A pod that the rule does not name.
        node.server.put(pod("other"));
        let mut other = Sandbox::new(node, "other");
        other.add(node).unwrap();
        assert_eq!(curl(&other.netns, &url("/headers")), "timeout");
        running(node, "sleep", &client);
        running(node, "httpbin", &server);
        client.check(node).unwrap();
        assert_eq!(curl(&client.netns, &url("/ip")), "403");
        // The agent comes and goes; what is in force stays, and what it knew it knows again.
        node.kill_agent();
        assert_eq!(curl(&client.netns, &url("/headers")), "200");
        assert_eq!(curl(&other.netns, &url("/headers")), "timeout");
        node.start_agent();
        assert_eq!(curl(&client.netns, &url("/ip")), "403");
        assert_eq!(curl(&other.netns, &url("/headers")), "timeout");
        other.check(node).unwrap();
        // Gone pods are forgotten, told or not.
        node.server.delete("Pod", "default", "other");
        other.del(node);
        assert!(!other.is_known(node));
        assert!(server.is_known(node));
        Sandbox::gc(node, &[&client]);
        assert!(!server.is_known(node));
        client.check(node).unwrap();
        drop(serving);
        client.del(node);
        server.del(node);
    });
}

#[test]
fn policy_is_in_force_before_the_first_process_with_ptp() {
    policy_is_in_force_before_the_first_process("ptp");
}

#[test]
fn policy_is_in_force_before_the_first_process_with_a_bridge() {
    policy_is_in_force_before_the_first_process("bridge");
}

/// `kubectl delete pod --force`, a finished pod: the containers run on until the runtime ends them.
fn a_pod_outlives_its_object(kind: &'static str) {
    on_node(async |node| {
        prepare(node, kind);
        node.start_agent();
        node.start_proxy();
        chained(node);
        let (client, server, serving) = pair(node);
        node.server.put(pod("other"));
        let mut other = Sandbox::new(node, "other");
        other.add(node).unwrap();
        running(node, "sleep", &client);
        running(node, "httpbin", &server);
        let url = |path: &str| format!("http://{}{path}", server.address());
        let judged = |node: &Node| {
            let log = || node.log("agent");
            assert_eq!(curl(&client.netns, &url("/ip")), "403", "{}", log());
            assert_eq!(curl(&client.netns, &url("/headers")), "200", "{}", log());
            assert_eq!(curl(&other.netns, &url("/headers")), "timeout", "{}", log());
        };
        let status = |node: &Node| node.ask(&json!({"command": "status"})).unwrap();
        let orphans = |node: &Node, wanted: Value| {
            wait_for("pods without an object", || {
                (status(node)["orphans"] == wanted).then_some(())
            });
        };
        judged(node);
        node.server.delete("Pod", "default", "httpbin");
        orphans(node, json!(["default/httpbin"]));
        judged(node);
        // The client has finished, says its object.
        let mut finished = node.server.get("Pod", "default", "sleep").unwrap();
        finished["status"]["phase"] = "Succeeded".into();
        node.server.put(finished);
        orphans(node, json!(["default/httpbin", "default/sleep"]));
        judged(node);
        node.kill_agent();
        node.start_agent();
        wait_for("a proxy with a policy", || {
            status(node)["proxy"]["revision"].as_u64()
        });
        orphans(node, json!(["default/httpbin", "default/sleep"]));
        judged(node);
        // The runtime ends the container: first ours is told, then the interface goes.
        let left = server.told_of_the_end(node);
        assert_eq!(status(node)["unowned"], 1, "{left}");
        assert_eq!(curl(&client.netns, &url("/headers")), "timeout");
        orphans(node, json!(["default/sleep"]));
        drop(serving);
        server.del(node);
        wait_for("no interface that nobody owns", || {
            (status(node)["unowned"] == 0).then_some(())
        });
        client.del(node);
        orphans(node, json!([]));
        other.del(node);
    });
}

#[test]
fn a_pod_outlives_its_object_with_ptp() {
    a_pod_outlives_its_object("ptp");
}

#[test]
fn a_pod_outlives_its_object_with_a_bridge() {
    a_pod_outlives_its_object("bridge");
}

#[test]
fn without_an_agent_pods_wait() {
    on_node(async |node| {
        prepare(node, "ptp");
        node.start_agent();
        chained(node);
        node.kill_agent();
        let mut pod = Sandbox::new(node, "httpbin");
        let refused = pod.add(node).unwrap_err();
        assert_eq!(
            refused["code"], 11,
            "the runtime is to try again: {refused}"
        );
        assert!(
            refused["msg"].as_str().unwrap().contains("agent is away"),
            "{refused}"
        );
        node.start_agent();
        pod.add(node).unwrap();
        pod.check(node).unwrap();
        // A pod that nobody has heard of does not start either.
        let mut stranger = Sandbox::new(node, "stranger");
        let refused = stranger.add(node).unwrap_err();
        assert!(
            refused["msg"]
                .as_str()
                .unwrap()
                .contains("has not told of the pod"),
            "{refused}"
        );
        pod.del(node);
    });
}

#[test]
fn the_plugin_stays_in_the_chain() {
    on_node(async |node| {
        prepare(node, "ptp");
        node.start_agent();
        chained(node);
        configure(node, "bridge");
        chained(node);
        let types: Vec<Value> = plugins(node)
            .iter()
            .map(|plugin| plugin["type"].clone())
            .collect();
        assert_eq!(types, ["bridge", "weir-cni"]);
    });
}
