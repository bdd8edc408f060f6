use weir_cluster::objects::PodPlacement;
use weir_policy::model::{Namespace, Node};
use weir_redirector::Placement;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A world of these pods: name, uid, address.
fn reading(pods: &[(&str, &str, &str)]) -> Reading {
    let mut reading = Reading::default();
    let namespaces = &mut reading.world.namespaces;
    namespaces.insert("default".to_owned(), Namespace::default());
    for (name, uid, at) in pods {
        reading.world.pods.push(Pod {
            namespace: "default".to_owned(),
            name: (*name).to_owned(),
            addresses: vec![address(at)],
            ..Pod::default()
        });
        reading.placements.push(PodPlacement {
            pod: PodName::new("default", *name),
            uid: (*uid).to_owned(),
            ..PodPlacement::default()
        });
    }
    reading
}

/// Pods at interfaces.
fn places(at: &[(&str, u32)]) -> Places {
    let placed = at.iter().map(|(name, interface)| {
        let place = Placement {
            index: u16::try_from(*interface).unwrap(),
            interface: *interface,
        };
        (
            PodName::new("default", *name),
            place,
            format!("veth{interface}"),
        )
    });
    placed.collect()
}

fn attachment(container: &str, name: &str, uid: &str, interface: &str) -> Attachment {
    Attachment {
        container: container.to_owned(),
        pod: PodName::new("default", name),
        uid: uid.to_owned(),
        interface: interface.to_owned(),
        netns: String::new(),
        addresses: Vec::new(),
    }
}

/// Pods a (container ca, interface 1) and b (nobody told its container, interface 2).
fn known(file: &Path) -> KnownPods {
    let mut known = KnownPods::load(file).unwrap();
    let told = [attachment("ca", "a", "ua", "veth1")];
    let reading = reading(&[("a", "ua", "10.0.0.1"), ("b", "ub", "10.0.0.2")]);
    known.learn(&reading, &places(&[("a", 1), ("b", 2)]), &told);
    known
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known.json");
    (folder, file)
}

fn orphans(completion: &Completion) -> Vec<(&str, &[IpAddr])> {
    let orphans = completion.orphans.iter();
    orphans
        .map(|pod| (pod.name.as_str(), &*pod.addresses))
        .collect()
}

fn placed(completion: &Completion) -> Vec<(&str, Option<u32>)> {
    let places = completion.places.iter();
    places
        .map(|place| (place.pod.name.as_str(), place.index))
        .collect()
}

#[test]
fn a_pod_outlives_its_object_and_the_agent() {
    let (_folder, file) = file();
    known(&file);
    let known = KnownPods::load(&file).unwrap();
    let now = known.complete(
        &reading(&[("a", "ua", "10.0.0.1")]),
        &places(&[("a", 1)]),
        true,
    );
    assert_eq!(orphans(&now), [("b", &[address("10.0.0.2")][..])]);
    assert_eq!(placed(&now), [("b", Some(2))]);
}

#[test]
fn only_the_end_of_its_container_or_of_its_interface_ends_it() {
    let (_folder, file) = file();
    let mut known = known(&file);
    let left = |known: &KnownPods| {
        let completion = known.complete(&reading(&[]), &places(&[]), false);
        let names = completion.orphans.into_iter().map(|pod| pod.name);
        names.collect::<Vec<_>>()
    };
    known.ended("another");
    known.keep(&["ca".to_owned()]);
    known.forget_gone(|_| false);
    assert_eq!(left(&known), ["b", "a"]);
    // Of a container that nobody told of, a list of containers says nothing.
    known.keep(&[]);
    assert_eq!(left(&known), ["b"]);
    known.forget_gone(|interface| interface == 2);
    assert_eq!(left(&known), [""; 0]);
    assert!(KnownPods::load(&file).unwrap().known.is_empty());
}

#[test]
fn a_container_that_ended_is_forgotten() {
    let (_folder, file) = file();
    let mut known = known(&file);
    known.ended("ca");
    let completion = known.complete(&reading(&[]), &places(&[]), false);
    assert_eq!(placed(&completion), [("b", Some(2))]);
}

/// The look-up failed, or the interface has another name now.
#[test]
fn a_pod_that_was_not_found_is_where_it_was() {
    let (_folder, file) = file();
    let known = known(&file);
    let all = reading(&[("a", "ua", "10.0.0.1"), ("b", "ub", "10.0.0.2")]);
    let completion = known.complete(&all, &places(&[("a", 1)]), true);
    assert_eq!(placed(&completion), [("b", Some(2))]);
    assert_eq!(orphans(&completion), []);
}

#[test]
fn a_new_pod_of_the_name_is_another_and_takes_its_address() {
    let (_folder, file) = file();
    let known = known(&file);
    let again = reading(&[("a", "ua2", "10.0.0.3"), ("c", "uc", "10.0.0.2")]);
    let completion = known.complete(&again, &places(&[("a", 3), ("c", 4)]), true);
    let wanted: [(&str, &[IpAddr]); 2] = [("b", &[]), ("a~veth1", &[address("10.0.0.1")])];
    assert_eq!(orphans(&completion), wanted);
    assert_eq!(placed(&completion), [("b", Some(2)), ("a~veth1", Some(1))]);
    // Also where it has no interface yet.
    let completion = known.complete(&again, &places(&[]), true);
    assert_eq!(orphans(&completion), wanted);
}

#[test]
fn an_address_of_a_node_or_of_two_is_nobodys() {
    let (_folder, file) = file();
    let mut known = known(&file);
    let third = reading(&[("c", "uc", "10.0.0.1")]);
    known.learn(&third, &places(&[("c", 3)]), &[]);
    let mut now = reading(&[]);
    now.world.nodes.push(Node::default());
    now.world.nodes[0].addresses.push(address("10.0.0.2"));
    let completion = known.complete(&now, &places(&[]), true);
    let none: &[IpAddr] = &[];
    assert_eq!(
        orphans(&completion),
        [("c", none), ("b", none), ("a", none)]
    );
}

#[test]
fn with_its_namespace_its_policies_went() {
    let (_folder, file) = file();
    let known = known(&file);
    let nothing = Reading::default();
    assert_eq!(
        known.complete(&nothing, &places(&[]), true),
        Completion::default()
    );
    // Manifests need not name the namespaces of their pods.
    assert_eq!(
        known.complete(&nothing, &places(&[]), false).orphans.len(),
        2
    );
}

#[test]
fn what_it_learns_is_the_last_word() {
    let (_folder, file) = file();
    let mut known = known(&file);
    let mut relabelled = reading(&[("a", "ua", "10.0.0.1")]);
    relabelled.world.pods[0]
        .labels
        .insert("app".to_owned(), "x".to_owned());
    known.learn(&relabelled, &places(&[("a", 1)]), &[]);
    let again = KnownPods::load(&file).unwrap();
    assert_eq!(again.known[&1].pod.labels["app"], "x");
    assert_eq!(again.known[&1].container, "ca", "once told, it is known");
}
