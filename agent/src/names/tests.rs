use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use super::*;

fn question(name: &str) -> Question {
    Question {
        name: name.to_owned(),
        server: "192.0.2.53".parse().unwrap(),
        port: 53,
        protocol: Protocol::Udp,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pod(name: &str) -> PodName {
    PodName::new("x", name)
}

fn nobody(_: IpAddr) -> bool {
    false
}

#[test]
fn addresses_live_as_long_as_they_are_told_or_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state/names.json");
    let start = SystemTime::now();
    let mut names = Learnt::load(&file, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    let [one, two] = ["192.0.2.1", "192.0.2.2"].map(ip);
    let asked = question("a.example");
    assert!(names.learn(&pod("a"), &asked, &[(one, 30), (two, 300)], start, nobody));
    assert!(!names.learn(&pod("a"), &asked, &[(one, 60)], start, nobody));
    names.store();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let mut names = Learnt::load(&file, start);
    let known = |names: &Learnt| names.world()[&pod("a")]["a.example"].clone();
    assert_eq!(known(&names), BTreeSet::from([one, two]));
    assert!(!names.has_expired(at(59)));
    assert!(names.has_expired(at(62)));
    assert!(!names.expire(at(62), |of, used| (of, used) == (&pod("a"), one)));
    assert!(
        names.expire(at(62), |of, used| (of, used) == (&pod("b"), one)),
        "another pod's"
    );
    assert_eq!(known(&names), BTreeSet::from([two]));
    assert!(names.expire(at(400), |_, _| false));
    assert!(names.world().is_empty());
}

#[test]
fn each_pod_has_a_share_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut names = Learnt::load(&folder.path().join("names.json"), now);
    let modest = ip("198.51.100.1");
    assert!(names.learn(
        &pod("modest"),
        &question("a.test"),
        &[(modest, 300)],
        now,
        nobody
    ));
    let last = question("last.test");
    for number in 0..2 * OF_POD as u32 {
        let address = IpAddr::V4((0x0b00_0000 + number).into());
        let asked = question(&format!("n{}.test", number / 8));
        names.learn(
            &pod("greedy"),
            &asked,
            &[(address, 60 + number)],
            now,
            nobody,
        );
    }
    assert!(names.learn(&pod("greedy"), &last, &[(modest, 80_000)], now, nobody));
    let world = names.world();
    let held: usize = world[&pod("greedy")].values().map(BTreeSet::len).sum();
    assert_eq!(held, OF_POD);
    assert!(world[&pod("greedy")].contains_key("last.test"));
    assert_eq!(world[&pod("modest")]["a.test"], BTreeSet::from([modest]));
    // One name does not take all of it.
    let many: Vec<_> = (0..600u32)
        .map(|n| (IpAddr::V4((0x0c00_0000 + n).into()), 60))
        .collect();
    names.learn(&pod("other"), &question("many.test"), &many, now, nobody);
    assert_eq!(names.world()[&pod("other")]["many.test"].len(), OF_NAME);
}

#[test]
fn what_is_no_host_elsewhere_is_not_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut names = Learnt::load(&folder.path().join("names.json"), now);
    let answers = [
        ("169.254.169.254", 30),
        ("::ffff:10.244.0.7", 30),
        ("10.244.0.7", 30),
        ("::ffff:192.0.2.9", 30),
    ];
    let answers = answers.map(|(text, seconds)| (ip(text), seconds));
    let of_a_pod = |address| address == ip("10.244.0.7");
    assert!(names.learn(&pod("a"), &question("a.test"), &answers, now, of_a_pod));
    assert_eq!(
        names.world()[&pod("a")]["a.test"],
        BTreeSet::from([ip("192.0.2.9")])
    );
    assert_eq!(names.refused()[1], ("address", 3));
}

#[test]
fn what_may_no_longer_be_asked_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut names = Learnt::load(&folder.path().join("names.json"), now);
    for name in ["a.test", "b.test"] {
        names.learn(
            &pod("a"),
            &question(name),
            &[(ip("192.0.2.1"), 30)],
            now,
            nobody,
        );
    }
    assert!(!names.judge(|_, _| true));
    assert!(names.judge(|_, asked| asked.name == "a.test"));
    assert_eq!(names.world()[&pod("a")].len(), 1);
}

#[test]
fn a_broken_file_is_no_failure_and_a_forged_one_no_door() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.json");
    let now = SystemTime::now();
    fs::write(&file, "{").unwrap();
    assert!(Learnt::load(&file, now).world().is_empty());
    let text = r#"{"pods":{"x/a":[{"name":"a.test","server":"192.0.2.53","port":53,"protocol":"UDP",
        "until":{"169.254.169.254":9999999999,"192.0.2.1":9999999999}}]}}"#;
    fs::write(&file, text).unwrap();
    let names = Learnt::load(&file, now);
    assert_eq!(
        names.world()[&pod("a")]["a.test"],
        BTreeSet::from([ip("192.0.2.1")])
    );
    assert!(
        names.has_expired(now + LONGEST + Duration::from_secs(2)),
        "a day at most"
    );
}
