//! What becomes of events: kept, counted, told.

use weir_abi::policy::verdict;

use super::*;
use crate::{
    api::flow::Verdict,
    testing::{ALLOW, DENY, passed, policy, syn},
};

struct Watched {
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    intake: Intake,
}

fn watched() -> Watched {
    let (ring, metrics) = (Arc::new(Ring::new(64)), Arc::new(Metrics::new()));
    let intake = Recorder::start(ring.clone(), metrics.clone(), None, Redaction::default());
    Watched {
        ring,
        metrics,
        intake: intake.expect("a thread"),
    }
}

fn flows(ring: &Ring) -> Vec<Arc<Flow>> {
    let items = ring.read(0, usize::MAX).items;
    let flows = items.into_iter().filter_map(|item| match item {
        Item::Flow(flow) => Some(flow),
        Item::Lost(_) | Item::Later(..) | Item::Ended(_) => None,
    });
    flows.collect()
}

#[tokio::test]
async fn packets_that_come_again_are_counted_in_the_record() {
    let it = watched();
    let names = policy(DENY);
    it.intake.names(names.clone());
    let mut event = syn(&names, verdict::DENY);
    for second in [0, 1, 3, 7] {
        event.time = second * 1_000_000_000;
        it.intake.verdict(event);
    }
    event.source_port += 1;
    it.intake.verdict(event);
    it.intake.flush().await;
    let flows = flows(&it.ring);
    let repeats: Vec<u64> = flows
        .iter()
        .map(|flow| flow.weir.as_ref().expect("reasons").repeats)
        .collect();
    assert_eq!(repeats, [3, 3, 0, 0], "verdict and drop of each");
    let text = it.metrics.text().expect("metrics");
    for line in [
        "weir_flow_repeats_total 3",
        "hubble_drop_total{protocol=\"TCP\",reason=\"POLICY_DENIED\"} 5",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // Long after, it is another attempt.
    event.time = 200_000_000_000;
    it.intake.verdict(event);
    it.intake.flush().await;
    assert_eq!(super::tests::flows(&it.ring).len(), 6);
}

#[tokio::test]
async fn what_passes_and_is_sent_again_is_one_record() {
    let it = watched();
    let names = policy(ALLOW);
    it.intake.names(names.clone());
    let mut event = syn(&names, verdict::ALLOW);
    for again in [0, 1, 1] {
        event.again = again;
        it.intake.verdict(event);
    }
    // Answered meanwhile: the same ports are another connection.
    event.again = 0;
    it.intake.verdict(event);
    it.intake.flush().await;
    let repeats = |flow: &Arc<Flow>| flow.weir.as_ref().expect("reasons").repeats;
    let found: Vec<u64> = flows(&it.ring).iter().map(repeats).collect();
    assert_eq!(found, [2, 0]);
    let text = it.metrics.text().expect("metrics");
    assert!(text.contains("weir_flow_repeats_total 2"), "{text}");
    assert!(!text.contains("hubble_drop_total{"), "{text}");
}

#[tokio::test]
async fn a_failure_is_a_drop_of_its_own_kind() {
    let it = watched();
    let names = policy(DENY);
    it.intake.names(names.clone());
    let event = Event {
        reason: weir_abi::counter::DROP_SPOOFED,
        revision: 0,
        ..syn(&names, verdict::DENY)
    };
    it.intake.verdict(event);
    it.intake.verdict(event);
    it.intake.flush().await;
    let found = flows(&it.ring);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(crate::print::kind(&found[0]), "Invalid source ip");
    assert_eq!(found[0].weir.as_ref().expect("a reason").repeats, 1);
    let text = it.metrics.text().expect("metrics");
    for line in [
        "hubble_drop_total{protocol=\"TCP\",reason=\"INVALID_SOURCE_IP\"} 2",
        "weir_flow_repeats_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("hubble_policy_verdicts_total{"), "{text}");
}

#[tokio::test]
async fn events_of_the_revision_before_are_explained_by_its_rules() {
    let it = watched();
    let old = policy(DENY);
    it.intake.names(old.clone());
    it.intake.flush().await;
    let mut newer = crate::names::Directory::default();
    newer.node = "node".into();
    it.intake.names(Arc::new(newer));
    it.intake.verdict(syn(&old, verdict::DENY));
    it.intake.flush().await;
    let flow = &flows(&it.ring)[0];
    assert_eq!(flow.ingress_denied_by[0].name, "deny-ingress");
    assert_eq!(flow.verdict(), Verdict::Dropped);
}

#[tokio::test]
async fn losses_are_told() {
    let it = watched();
    it.intake.lost_in_kernel(5);
    it.intake.lost_in_kernel(7);
    it.intake.shared.lost.fetch_add(2, Relaxed);
    it.intake.flush().await;
    it.intake.flush().await;
    let lost: u64 = it
        .ring
        .read(0, 9)
        .items
        .iter()
        .map(|item| match item {
            Item::Lost(lost) => lost.num_events_lost,
            Item::Flow(_) | Item::Later(..) | Item::Ended(_) => 0,
        })
        .sum();
    assert_eq!(lost, 9);
    let text = it.metrics.text().expect("metrics");
    assert!(
        text.contains("hubble_lost_events_total{source=\"perf_event_ring_buffer\"} 7"),
        "{text}"
    );
}

/// What does not fit is counted, and nobody waits.
#[tokio::test]
async fn a_flood_is_survived_and_its_losses_counted() {
    let it = watched();
    let names = policy(DENY);
    it.intake.names(names.clone());
    let mut event = syn(&names, verdict::DENY);
    let sent: u64 = 100_000;
    for number in 0..sent {
        event.source_port = (number % 50_000) as u16;
        event.detail = (number / 50_000) as u8;
        it.intake.verdict(event);
    }
    let mut kept = 0;
    while kept != sent {
        it.intake.flush().await;
        kept = it.ring.fill().seen / 2 + it.intake.shared.lost.load(Relaxed);
        tokio::task::yield_now().await;
    }
}

#[test]
fn requests_that_wait_are_bounded_in_bytes() {
    let (queue, inputs) = sync_channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let intake = Intake {
        queue,
        shared: Arc::clone(&shared),
        idle: false,
    };
    let mut large = passed(Some(200));
    large.reason = "x".repeat(1 << 20);
    for _ in 0..64 {
        intake.requests(vec![large.clone()]);
    }
    let held = shared.requests.load(Relaxed);
    assert!((30..=32).contains(&held), "{held}");
    assert_eq!(held + shared.lost.load(Relaxed), 64);
    assert!(shared.bytes.load(Relaxed) <= QUEUED);
    drop(inputs);
}

#[test]
fn every_record_has_a_uuid_of_its_own() {
    let one = record::uuid(0x1234_5678_9abc_def0, 1);
    assert_eq!(one, "12345678-9abc-4ef0-8000-000000000001");
    assert_ne!(one, record::uuid(0x1234_5678_9abc_def0, 2));
}

/// Requests that passed are made into records when they are read: the same records, and the same
/// numbers, as if they had been made at once.
#[tokio::test]
async fn what_is_put_off_is_the_same_in_the_end() {
    use crate::{record::requests, testing::passed};
    let names = policy(ALLOW);
    let texts = [true, false].map(|put_off| {
        let (names, metrics) = (names.clone(), Metrics::new());
        for status in [Some(200), Some(404), Some(200), None] {
            let request = passed(status);
            if put_off {
                passed::count([&request].into_iter(), &names, &metrics);
                continue;
            }
            metrics.request(&request, &names);
            let flows = requests(&request, &names, &Redaction::default());
            flows.iter().for_each(|flow| metrics.flow(flow));
        }
        let text = metrics.text().expect("metrics");
        // What this process takes of memory and time is not about requests.
        let lines = text.lines().filter(|line| !line.contains("process_"));
        lines.collect::<Vec<_>>().join("\n")
    });
    assert_eq!(texts[0], texts[1]);
    assert!(
        texts[0].contains("hubble_http_requests_total{"),
        "{}",
        texts[0]
    );

    let it = watched();
    it.intake.names(names.clone());
    it.intake.flush().await;
    it.intake.requests(vec![passed(Some(200)), passed(None)]);
    it.intake.flush().await;
    assert_eq!(it.ring.fill().seen, 3);
    assert_eq!(it.intake.shared.requests.load(Relaxed), 0);
    // Other names come: the records keep what the addresses meant.
    it.intake.names(Arc::new(Directory::default()));
    it.intake.flush().await;
    let found = flows(&it.ring);
    let pods: Vec<String> = found
        .iter()
        .map(|flow| flow.destination.clone().expect("an end").pod_name)
        .collect();
    assert_eq!(found.len(), 3);
    assert!(
        pods[0].starts_with("httpbin-") && pods[1].starts_with("sleep-"),
        "{pods:?}"
    );
    let expected = requests(&passed(Some(200)), &names, &Redaction::default());
    for (flow, expected) in found.iter().zip(expected) {
        let uuid = flow.uuid.clone();
        assert_eq!(**flow, Flow { uuid, ..expected });
    }
    let uuids: std::collections::HashSet<_> = found.iter().map(|flow| &flow.uuid).collect();
    assert_eq!(uuids.len(), 3);
}
