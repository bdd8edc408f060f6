//! What is known of a server that works.

use serde_json::json;

use crate::support::{Watched, pod, pods, policy};

#[tokio::test]
async fn changes_are_followed() {
    let watched = Watched::new([pod("a", "10.0.0.1")]).await;
    assert_eq!(pods(&watched.source.read()), ["a"]);
    watched.server.put(pod("b", "10.0.0.2"));
    watched.until_pods(&["a", "b"]).await;
    watched.server.put(pod("b", "10.0.0.3"));
    watched
        .until("another address", |source| {
            source.read().world.pods[1].addresses
                == ["10.0.0.3".parse::<std::net::IpAddr>().unwrap()]
        })
        .await;
    watched.server.delete("Pod", "default", "a");
    watched.until_pods(&["b"]).await;
    assert!(watched.source.stale().is_empty());
}

#[tokio::test]
async fn pages_and_streaming_lists_come_to_the_same() {
    let objects =
        || (0..23).map(|number| pod(&format!("p{number:02}"), &format!("10.0.0.{number}")));
    let streamed = Watched::new(objects()).await;
    let paged = Watched::with(objects(), |faults| {
        faults.no_streaming_lists = true;
        faults.page = Some(5);
    })
    .await;
    assert_eq!(streamed.source.read().world, paged.source.read().world);
    assert_eq!(paged.source.read().world.pods.len(), 23);
    let asked = |watched: &Watched, what: &str| {
        let requests = watched.server.requests();
        requests
            .iter()
            .filter(|request| request.starts_with("GET /api/v1/pods?") && request.contains(what))
            .count()
    };
    assert_eq!(asked(&streamed, "sendInitialEvents=true"), 1);
    assert_eq!(asked(&paged, "limit=500"), 5, "pages");
}

#[tokio::test]
async fn what_changes_nothing_for_policy_is_not_told() {
    let watched = Watched::new([pod("a", "10.0.0.1")]).await;
    let before = watched.source.read();
    let mut same = pod("a", "10.0.0.1");
    same["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
    watched.server.put(same);
    watched.server.put(pod("b", "10.0.0.2"));
    watched.until_pods(&["a", "b"]).await;
    assert_eq!(before.world.pods[0], watched.source.read().world.pods[0]);
}

#[tokio::test]
async fn a_broken_policy_keeps_its_last_good_version() {
    let good = json!([{"fromEndpoints": [{"matchLabels": {"app": "a"}}]}]);
    let watched = Watched::new([policy("kept", good.clone()), policy("never", json!(5))]).await;
    let reading = watched.source.read();
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
    assert!(reading.problems[0].object.contains("never"));
    // Its stand-in denies.
    assert_eq!(reading.world.policies.len(), 2);
    let before = reading.world.policies[0].clone();
    watched.server.put(policy("kept", json!("nonsense")));
    watched
        .until("a report", |source| source.read().problems.len() == 2)
        .await;
    assert_eq!(watched.source.read().world.policies[0], before);
    let state = &watched.source.policies()[0];
    assert_eq!((state.name.as_str(), state.generation), ("kept", 2));
    assert_eq!(state.problems.len(), 1);
    watched.server.put(policy("kept", good));
    watched
        .until("it is mended", |source| source.read().problems.len() == 1)
        .await;
}

#[tokio::test]
async fn pods_cannot_say_where_they_sit() {
    let mut thief = pod("thief", "10.0.0.9");
    thief["metadata"]["annotations"] =
        json!({"weir.dev/interface": "eth0", "weir.dev/netns": "/proc/1/ns/net"});
    let watched = Watched::new([thief]).await;
    let reading = watched.source.read();
    assert_eq!(reading.placements[0].interface, None);
    assert_eq!(reading.placements[0].netns, None);
}

#[tokio::test]
async fn an_object_nested_without_end_keeps_no_other_from_being_heard() {
    let mut deep = json!({});
    for _ in 0..500 {
        deep = json!({"a": [deep]});
    }
    for streaming in [true, false] {
        let mut odd = policy("odd", json!([{"fromEntities": ["all"]}]));
        odd["spec"]["extra"] = deep.clone();
        let objects = [odd.clone(), policy("other", json!([{}]))];
        let watched = Watched::with(objects, |faults| faults.no_streaming_lists = !streaming).await;
        let reading = watched.source.read();
        let names = |reading: &weir_cluster::Reading| -> Vec<String> {
            let policies = reading.world.policies.iter();
            policies.map(|policy| policy.object.name.clone()).collect()
        };
        // Its stand-in, which denies, beside the other.
        assert_eq!(names(&reading), ["odd", "other"]);
        assert!(reading.world.policies[0].specs[0].ingress.isolates);
        assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
        assert_eq!(reading.problems[0].field, "spec.extra");
        // As an event it is heard, too, and what comes after it.
        watched.server.put(policy("odd", json!([{}])));
        watched
            .until("it is mended", |source| source.read().problems.is_empty())
            .await;
        let good = watched.source.read().world.policies[0].clone();
        watched.server.put(odd);
        watched.server.put(policy("third", json!([{}])));
        watched
            .until("what comes after it", |source| {
                names(&source.read()).len() == 3
            })
            .await;
        let reading = watched.source.read();
        assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
        assert_eq!(reading.world.policies[0], good, "its last good version");
        assert!(watched.source.stale().is_empty());
    }
}
