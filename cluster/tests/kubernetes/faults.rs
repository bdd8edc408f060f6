//! What is known of a server that fails: nothing that was known is lost, and what was missed
//! comes.

use serde_json::json;
use weir_cluster::kubernetes::ClusterSource;
use weir_policy::model::ClusterName;

use crate::support::{Watched, client, pod, pods, policy};

#[tokio::test]
async fn a_watch_that_is_cut_in_the_middle_of_an_event_goes_on_where_it_was() {
    let watched = Watched::new([pod("a", "10.0.0.1")]).await;
    watched.server.requests();
    watched.server.cut();
    watched.server.put(pod("b", "10.0.0.2"));
    watched.until_pods(&["a", "b"]).await;
    let lists =
        |request: &String| request.contains("/pods?") && request.contains("sendInitialEvents");
    assert!(!watched.server.requests().iter().any(lists), "no new list");
}

#[tokio::test]
async fn what_was_deleted_while_nobody_listened_is_gone_after_the_next_list() {
    for gone_at_once in [false, true] {
        let watched = Watched::with([pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], |faults| {
            faults.gone_at_once = gone_at_once;
        })
        .await;
        // The deletion itself is forgotten before anybody has heard of it.
        watched.server.faults(|faults| faults.status = Some(500));
        watched.server.cut();
        watched
            .until("out of step", |source| !source.stale().is_empty())
            .await;
        watched.server.delete("Pod", "default", "a");
        watched.server.compact();
        watched.server.faults(|faults| faults.status = None);
        watched.until_pods(&["b"]).await;
        watched
            .until("in step", |source| source.stale().is_empty())
            .await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_takes_nothing_with_it() {
    let mut watched = Watched::new([pod("a", "10.0.0.1"), policy("p", json!([]))]).await;
    let before = watched.source.read();
    watched.server.away().await;
    watched
        .until("every kind is stale", |source| source.stale().len() == 10)
        .await;
    assert_eq!(watched.source.read(), before);
    assert!(watched.source.synced(), "what was in step once can be read");
    watched.server.put(pod("b", "10.0.0.2"));
    watched.server.back().await.unwrap();
    watched.until_pods(&["a", "b"]).await;
    // Silent watches are in step, too.
    watched
        .until("in step", |source| source.stale().is_empty())
        .await;
}

#[tokio::test]
async fn nothing_is_read_before_every_kind_is_listed() {
    let mut server = weir_cluster::testing::ApiServer::start().await.unwrap();
    server.put(pod("a", "10.0.0.1"));
    server.away().await;
    let source = ClusterSource::start(client(&server), ClusterName::default());
    source.changed().await;
    assert!(!source.synced());
    let (kind, reason) = source.waiting().remove(0);
    assert_eq!(kind, "ciliumcidrgroups");
    assert!(!reason.is_empty());
    server.back().await.unwrap();
    while !source.synced() {
        source.changed().await;
    }
    assert_eq!(pods(&source.read()), ["a"]);
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_asked_for_again() {
    let kind = "ciliumnetworkpolicies";
    let watched = Watched::with([pod("a", "10.0.0.1")], |faults| {
        faults.not_installed = vec![kind.to_owned()];
    })
    .await;
    assert!(watched.source.stale().is_empty());
    watched.server.faults(|faults| faults.not_installed.clear());
    watched.server.put(policy("p", json!([])));
    watched
        .until("its policy", |source| {
            source.read().world.policies.len() == 1
        })
        .await;
    // Gone without its objects having been deleted: they stay in force, loudly.
    watched
        .server
        .faults(|faults| faults.not_installed = vec![kind.to_owned()]);
    watched.server.cut();
    watched
        .until("it is stale", |source| {
            source
                .stale()
                .iter()
                .any(|stale| stale.reason.contains("not installed any more"))
        })
        .await;
    assert_eq!(watched.source.read().world.policies.len(), 1);
    assert!(
        watched
            .source
            .stale()
            .iter()
            .all(|stale| stale.kind == kind)
    );
}

#[tokio::test]
async fn a_required_kind_that_is_refused_is_waited_for() {
    let server = weir_cluster::testing::ApiServer::start().await.unwrap();
    server.faults(|faults| faults.not_installed = vec!["pods".to_owned()]);
    let source = ClusterSource::start(client(&server), ClusterName::default());
    while source.waiting().len() != 1 {
        source.changed().await;
    }
    let (kind, reason) = source.waiting().remove(0);
    assert_eq!(kind, "pods");
    assert!(reason.contains("404"), "{reason}");
}

#[tokio::test]
async fn a_slow_watch_is_late_and_right() {
    let watched = Watched::with([pod("a", "10.0.0.1")], |faults| {
        faults.slow = Some(std::time::Duration::from_millis(50));
        faults.bookmarks = true;
    })
    .await;
    for number in 2..12 {
        watched.server.put(pod("b", &format!("10.0.0.{number}")));
    }
    watched.server.delete("Pod", "default", "a");
    watched.until_pods(&["b"]).await;
    let world = watched.source.read().world;
    assert_eq!(world.pods[0].addresses[0].to_string(), "10.0.0.11");
    assert!(watched.source.stale().is_empty());
}

#[tokio::test]
async fn a_list_that_is_cut_off_is_no_list() {
    let watched = Watched::new([pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]).await;
    // The next list is the only way to hear that a pod is gone, and it does not come whole.
    watched.server.faults(|faults| faults.cut_lists = true);
    watched.server.delete("Pod", "default", "a");
    watched.server.compact();
    watched
        .until("it is told", |source| {
            let stale = source.stale();
            stale
                .iter()
                .any(|stale| stale.kind == "pods" && stale.reason.contains("cut off"))
        })
        .await;
    watched.server.faults(|faults| faults.cut_lists = false);
    watched.until_pods(&["b"]).await;
    watched
        .until("in step", |source| source.stale().is_empty())
        .await;
}
