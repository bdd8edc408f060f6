//! Policy changes while connections live.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use weir_lab::Topology;

use crate::common::{
    FAMILIES, Family, Http, PATIENCE, SILENT, TestLab, in_both_topologies, listen, tcp, wait_for,
};
use crate::policies::*;

in_both_topologies!(
    kept_connection_follows_the_rules,
    denied_connection_is_cut,
    connection_is_reset_for_a_proxy,
    folder_and_labels,
);

fn httpbin(lab: &TestLab, family: Family) -> SocketAddr {
    SocketAddr::new(lab.address("deploy/httpbin", family), 80)
}

fn kept_connection_follows_the_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    let netns = lab.netns("deploy/sleep");
    lab.apply(ALLOW_GET_HEADERS);
    let mut open = FAMILIES.map(|f| Http::open(&netns, httpbin(&lab, f)).unwrap());
    let mut expect = |headers: u16, ip: u16| {
        for http in &mut open {
            let seen = ["/headers", "/ip"].map(|path| http.request("GET", path).unwrap());
            assert_eq!(seen, [headers, ip]);
        }
    };
    expect(200, 403);
    lab.apply(&ALLOW_GET_HEADERS.replace("path: /headers", "path: /ip"));
    expect(403, 200);
    lab.apply(ALLOW_GET_HEADERS);
    expect(200, 403);
    let check = &lab.status()["self_check"];
    assert_eq!(check["mismatches"], 0, "{check}");
    assert!(check["checked"].as_u64() > Some(0), "{check}");
}

/// A stranger's plain connection: no byte passes in either direction once it is denied.
fn denied_connection_is_cut(topology: Topology) {
    let lab = TestLab::up(topology);
    let (client, server) = (lab.netns("stranger"), lab.netns("echo"));
    for family in FAMILIES {
        let at = SocketAddr::new(lab.address("echo", family), 7000);
        let listener = listen(&server, at);
        let mut near = tcp(&client, at, PATIENCE).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut bytes = [0; 4];
        near.write_all(b"ping").unwrap();
        far.read_exact(&mut bytes).unwrap();
        lab.apply(DENY_INGRESS);
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(SILENT)).unwrap();
        }
        near.write_all(b"more").unwrap();
        nothing(far.read(&mut bytes), "towards the server");
        far.write_all(b"more").unwrap();
        nothing(near.read(&mut bytes), "towards the client");
        // What the server sent must not have opened the way for the client again.
        nothing(far.read(&mut bytes), "towards the server, later");
        lab.delete_all("NetworkPolicy");
        let again = tcp(&client, at, PATIENCE);
        assert!(again.is_ok(), "{family:?}: reopened: {again:?}");
    }
}

fn nothing(read: std::io::Result<usize>, way: &str) {
    match read {
        Ok(0) => {}
        Ok(count) => panic!("{count} bytes passed {way} after the denial"),
        Err(error) => assert!(
            matches!(
                error.kind(),
                // A signal of another test's child ends a wait, too.
                ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::Interrupted
            ),
            "{way}: {error}"
        ),
    }
}

/// A plain connection that an HTTP rule now selects cannot be judged: its client is told at once.
fn connection_is_reset_for_a_proxy(topology: Topology) {
    let lab = TestLab::up(topology);
    let netns = lab.netns("deploy/sleep");
    let mut open = FAMILIES.map(|f| Http::open(&netns, httpbin(&lab, f)).unwrap());
    for http in &mut open {
        assert_eq!(http.request("GET", "/ip").unwrap(), 200);
    }
    let before = lab.access_log("deploy/httpbin").len();
    lab.apply(ALLOW_GET_HEADERS);
    for http in &mut open {
        let answer = http.request("GET", "/ip");
        let error = answer.expect_err("a request passed the HTTP rule");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    let log = lab.access_log("deploy/httpbin");
    assert_eq!(
        log.len(),
        before,
        "a request reached the server: {:?}",
        log.last()
    );
    for family in FAMILIES {
        let mut http = Http::open(&netns, httpbin(&lab, family)).unwrap();
        assert_eq!(http.request("GET", "/ip").unwrap(), 403);
    }
}

/// A file in the folder, and labels of a pod that lives.
fn folder_and_labels(topology: Topology) {
    let lab = TestLab::up(topology);
    let agent = lab.lab.pid(weir_lab::Part::Agent).unwrap();
    let file = lab.manifests().join("dropped.yaml");
    fs::write(&file, DENY_INGRESS).unwrap();
    wait_for("the dropped file is in force", || {
        lab.status()["policies"] == 1
    });
    for family in FAMILIES {
        lab.dropped("stranger", family, &["httpbin:8000/headers"]);
    }
    fs::remove_file(&file).unwrap();
    wait_for("the removed file is gone", || lab.status()["policies"] == 0);
    for family in FAMILIES {
        lab.allowed("stranger", family, &["httpbin:8000/headers"]);
    }

    lab.apply(ALLOW_SLEEP);
    for family in FAMILIES {
        lab.dropped("stranger", family, &["httpbin:8000/headers"]);
    }
    let place = lab.lab.pod("stranger").unwrap();
    lab.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: stranger, labels: {app: sleep}}, \
         spec: {containers: [{name: c, image: curlimages/curl}]}}",
    );
    for family in FAMILIES {
        lab.allowed("stranger", family, &["httpbin:8000/headers"]);
    }
    assert_eq!(
        lab.lab.pod("stranger").unwrap().addresses,
        place.addresses,
        "the same pod"
    );
    assert_eq!(
        lab.lab.pid(weir_lab::Part::Agent).unwrap(),
        agent,
        "the same agent"
    );
}
