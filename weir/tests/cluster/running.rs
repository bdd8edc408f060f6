//! Pods that are there before the agent, and what an agent after the first one finds.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use weir_cluster::kubernetes::RESOURCES;

use crate::{
    chained::{chained, pair, prepare, running},
    node::{Node, curl, on_node, wait_for},
    objects::get_headers,
};

/// The pods were there before the agent, and nobody chained anything.
fn running_pods_are_found(kind: &'static str) {
    on_node(async |node| {
        prepare(node, kind);
        let (client, server, serving) = pair(node);
        running(node, "sleep", &client);
        running(node, "httpbin", &server);
        node.start_agent();
        node.start_proxy();
        let status = node.ask(&json!({"command": "status"})).unwrap();
        assert_eq!(status["unmanaged"], json!([]));
        let url = |path: &str| format!("http://{}{path}", server.address());
        assert_eq!(curl(&client.netns, &url("/ip")), "403");
        assert_eq!(curl(&client.netns, &url("/headers")), "200");
        drop(serving);
        client.del(node);
        server.del(node);
    });
}

/// Other sizes are other maps: the new ones have the same policies before the old ones go. What has
/// no room in them is an error, and what was in force stays.
#[test]
fn maps_have_the_sizes_that_are_asked_for() {
    on_node(async |node| {
        prepare(node, "ptp");
        let (client, server, serving) = pair(node);
        running(node, "sleep", &client);
        running(node, "httpbin", &server);
        node.start_agent();
        node.start_proxy();
        let url = |path: &str| format!("http://{}{path}", server.address());
        let judged = |node: &Node| {
            assert_eq!(
                curl(&client.netns, &url("/ip")),
                "403",
                "{}",
                node.log("agent")
            );
            assert_eq!(curl(&client.netns, &url("/headers")), "200");
        };
        let room = |node: &Node, map: &str| {
            let status = node.ask(&json!({"command": "status"})).unwrap();
            let maps = status["maps"].as_array().unwrap();
            let found = maps.iter().find(|each| each["map"] == map).unwrap();
            found["room"].as_u64().unwrap()
        };
        let pins = |node: &Node| {
            let root = fs::read_dir(format!("/sys/fs/bpf/weir/{}", node.name)).unwrap();
            root.count()
        };
        judged(node);
        let usual = room(node, "CONNTRACK");
        node.kill_agent();
        node.options = &["--map-size", "conntrack=2048,addresses=64"];
        node.start_agent();
        wait_for("a proxy with a policy", || {
            let status = node.ask(&json!({"command": "status"}))?;
            status["proxy"]["revision"].as_u64()
        });
        assert_eq!(
            (room(node, "CONNTRACK"), room(node, "ADDRESSES")),
            (2048, 64)
        );
        assert_ne!(usual, 2048);
        assert_eq!(pins(node), 1, "the old maps are gone");
        judged(node);
        // More addresses than there is room for.
        let ranges: Vec<Value> = (0..100)
            .map(|n| json!(format!("198.51.{n}.0/24")))
            .collect();
        node.server.put(json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {"endpointSelector": {"matchLabels": {"app": "httpbin"}},
                "ingress": ranges.iter().map(|range| json!({"fromCIDR": [range]})).collect::<Value>()}}));
        wait_for("a failure", || {
            let status = node.ask(&json!({"command": "status"}))?;
            let said = status["failure"].as_str()?.to_owned();
            said.contains("ADDRESSES").then_some(())
        });
        judged(node);
        drop(serving);
        client.del(node);
        server.del(node);
    });
}

#[test]
fn running_pods_are_found_by_their_routes() {
    running_pods_are_found("ptp");
}

#[test]
fn running_pods_are_found_behind_a_bridge() {
    running_pods_are_found("bridge");
}

/// Half of the time that the API server is away: WEIR_TEST_AWAY seconds in all, else a moment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment"
)]
fn half_away() -> Duration {
    let seconds = std::env::var("WEIR_TEST_AWAY").map_or(0, |text| text.parse().unwrap());
    Duration::from_secs(seconds) / 2
}

#[test]
fn an_api_server_that_is_away_opens_nothing() {
    on_node(async |node| {
        prepare(node, "ptp");
        node.start_agent();
        node.start_proxy();
        chained(node);
        let (client, server, serving) = pair(node);
        let url = |path: &str| format!("http://{}{path}", server.address());
        let holds = |time: Duration| {
            let until = Instant::now() + time;
            loop {
                assert_eq!(curl(&client.netns, &url("/ip")), "403");
                assert_eq!(curl(&client.netns, &url("/headers")), "200");
                if Instant::now() >= until {
                    break;
                }
                thread::sleep(Duration::from_secs(1));
            }
        };
        node.server.away().await;
        wait_for("word of it", || {
            let status = node.ask(&json!({"command": "status"}))?;
            (status["stale"].as_array()?.len() == RESOURCES.len()).then_some(())
        });
        holds(half_away());
        // An agent that starts meanwhile knows nothing, and takes that for nothing.
        node.kill_agent();
        node.launch_agent();
        wait_for("probes", || {
            (node.probe("/livez") == "ok\n200").then_some(())
        });
        assert!(node.probe("/readyz").ends_with("503"));
        holds(half_away());
        // What changes meanwhile is in force afterwards.
        let mut wider = get_headers();
        let rules = &mut wider["spec"]["ingress"][0]["toPorts"][0]["rules"]["http"];
        rules[0]["path"] = "/ip".into();
        node.server.put(wider);
        node.server.back().await.unwrap();
        wait_for("a ready agent", || {
            (node.probe("/readyz") == "ok\n200").then_some(())
        });
        wait_for("the new rule", || {
            (curl(&client.netns, &url("/ip")) == "200").then_some(())
        });
        assert_eq!(curl(&client.netns, &url("/headers")), "403");
        drop(serving);
        client.del(node);
        server.del(node);
    });
}
