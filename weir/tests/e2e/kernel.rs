//! Requests judged in the kernel: what is simple never sees the proxy, what is not is handed to it in
//! mid-connection, and nothing that dies lets a forbidden request by.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_lab::{Part, Topology};

use crate::common::{
    FAMILIES, Family, Http, PATIENCE, SILENT, TestLab, in_both_topologies, tcp, wait_for, weir,
};
use crate::policies::*;

in_both_topologies!(
    simple_requests_stay_in_the_kernel,
    what_is_not_simple_is_the_proxys,
    records_are_those_of_the_proxy,
    a_new_policy_judges_the_next_request,
    helper_killed,
    proxy_killed,
);

const SLEEP: &str = "deploy/sleep";
const HTTPBIN: &str = "deploy/httpbin";

fn judging(topology: Topology) -> TestLab {
    let lab = TestLab::up_judging(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab
}

fn httpbin(lab: &TestLab, family: Family) -> SocketAddr {
    (lab.address(HTTPBIN, family), 80).into()
}

fn open(lab: &TestLab, family: Family) -> Http {
    Http::open(&lab.netns(SLEEP), httpbin(lab, family)).expect("a connection")
}

/// A counter of the programs.
fn counted(lab: &TestLab, result: &str) -> u64 {
    let words = ["curl", "-sS", "-m", "5", "http://127.0.0.1:9965/metrics"];
    let output = lab.exec("@node", &words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = format!("weir_datapath_packets_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn wait_counted(lab: &TestLab, result: &str, wanted: u64) {
    wait_for(result, || counted(lab, result) >= wanted);
    assert_eq!(counted(lab, result), wanted, "{result}");
}

fn get(http: &mut Http, path: &str) -> u16 {
    http.request("GET", path).expect("an answer")
}

/// Only allowed requests have reached the server.
fn only_headers_reached(lab: &TestLab) {
    for line in lab.access_log(HTTPBIN) {
        assert!(
            !line.contains('"') || line.contains("\"GET /headers "),
            "reached: {line}"
        );
    }
}

fn kill_part(lab: &TestLab, part: Part) {
    let pid = lab.lab.pid(part).expect("a lab").expect("it runs");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is ours");
    wait_for("it is dead", || lab.lab.pid(part).expect("a lab").is_none());
}

fn simple_requests_stay_in_the_kernel(topology: Topology) {
    let lab = judging(topology);
    let mut heads = 0;
    let mut taken = 0;
    for family in FAMILIES {
        let mut http = open(&lab, family);
        for _ in 0..50 {
            assert_eq!(get(&mut http, "/headers"), 200);
        }
        heads += 50;
        wait_counted(&lab, "pass_judged", heads);
        wait_counted(&lab, "taken_over", taken);
        // Denied in the middle of the connection, which goes on.
        assert_eq!(get(&mut http, "/ip"), 403);
        assert_eq!(get(&mut http, "/headers"), 200);
        assert_eq!(get(&mut http, "/ip"), 403);
        taken += 1;
        wait_counted(&lab, "taken_over", taken);
        wait_counted(&lab, "pass_judged", heads);
    }
    only_headers_reached(&lab);
}

/// Sends bytes at once, and reads until the server is silent.
fn exchange(lab: &TestLab, family: Family, bytes: &[u8]) -> String {
    let to = httpbin(lab, family);
    let mut stream = tcp(&lab.netns(SLEEP), to, PATIENCE).expect("a connection");
    stream.write_all(bytes).expect("sent");
    stream.set_read_timeout(Some(SILENT)).expect("a limit");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        answer.extend(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer
        .lines()
        .filter_map(|line| line.split_once("HTTP/1.1 "));
    lines.map(|(_, rest)| &rest[..3]).collect()
}

fn what_is_not_simple_is_the_proxys(topology: Topology) {
    let lab = judging(topology);
    let good = "GET /headers HTTP/1.1\r\nHost: a\r\n\r\n";
    let evil = "GET /ip HTTP/1.1\r\nHost: a\r\n\r\n";
    for family in FAMILIES {
        for (bytes, expected) in [
            (format!("{good}{good}"), vec!["200", "200"]),
            (format!("{good}{evil}"), vec!["200", "403"]),
            (format!("{evil}{good}"), vec!["403", "200"]),
            (good.replace("/headers", "/%68eaders"), vec!["403"]),
            (good.replace("Host: a", "Host: a\r\nHost: b"), vec!["400"]),
            (
                good.replace("\r\n\r\n", "\r\nA: b\nC: d\r\n\r\n"),
                vec!["400"],
            ),
            (
                good.replace("/headers", &format!("/{}", "x".repeat(9000))),
                vec!["414"],
            ),
        ] {
            let answer = exchange(&lab, family, bytes.as_bytes());
            assert_eq!(statuses(&answer), expected, "{bytes:.200}");
        }
        // A head in two parts.
        let (one, two) = good.split_at(20);
        let mut stream = tcp(&lab.netns(SLEEP), httpbin(&lab, family), PATIENCE).expect("open");
        let taken = counted(&lab, "taken_over");
        stream.write_all(one.as_bytes()).expect("sent");
        wait_for("the first part is held", || {
            counted(&lab, "taken_over") > taken
        });
        stream.write_all(two.as_bytes()).expect("sent");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    only_headers_reached(&lab);
}

fn records_are_those_of_the_proxy(topology: Topology) {
    let lab = judging(topology);
    let mut http = open(&lab, Family::V4);
    for _ in 0..3 {
        assert_eq!(get(&mut http, "/headers"), 200);
    }
    let wanted = [
        "http-request FORWARDED",
        "http-response FORWARDED (HTTP/1.1 200",
    ];
    let observed = || {
        let words = [
            "observe",
            "--lab",
            &lab.name,
            "--color",
            "never",
            "--all",
            "--protocol",
            "http",
        ];
        let output = weir(&words);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait_for("records", || {
        let text = observed();
        wanted.iter().all(|what| text.matches(what).count() == 3)
    });
    let text = observed();
    assert!(text.contains("GET http://test/headers"), "{text}");
    assert!(
        text.contains("default/sleep") && text.contains("default/httpbin"),
        "{text}"
    );
    wait_counted(&lab, "taken_over", 0);
}

fn a_new_policy_judges_the_next_request(topology: Topology) {
    let lab = judging(topology);
    let mut kept: Vec<Http> = FAMILIES.iter().map(|family| open(&lab, *family)).collect();
    for http in &mut kept {
        assert_eq!(get(http, "/headers"), 200);
    }
    lab.apply(&ALLOW_GET_HEADERS.replace("/headers", "/ip"));
    for http in &mut kept {
        assert_eq!(get(http, "/ip"), 200);
    }
    wait_counted(&lab, "taken_over", 0);
    for http in &mut kept {
        assert_eq!(get(http, "/headers"), 403);
        assert_eq!(get(http, "/ip"), 200);
    }
}

fn helper_killed(topology: Topology) {
    let lab = judging(topology);
    let mut http = open(&lab, Family::V4);
    assert_eq!(get(&mut http, "/headers"), 200);
    kill_part(&lab, Part::Takeover);
    // What is simple goes on; what must be denied waits, and reaches nobody.
    assert_eq!(get(&mut http, "/headers"), 200);
    http.wait_at_most(SILENT);
    assert!(http.request("GET", "/ip").is_err(), "answered");
    // New connections are the proxy's from their SYN.
    lab.allowed(SLEEP, Family::V4, &["httpbin:8000/headers"]);
    lab.forbidden(SLEEP, Family::V4, &["httpbin:8000/ip"]);
    wait_counted(&lab, "pass_judged", 2);
    lab.lab.restart(Part::Takeover).expect("it starts");
    http.wait_at_most(PATIENCE);
    assert_eq!(http.answer().expect("the held request").0, 403);
    assert_eq!(get(&mut http, "/headers"), 200);
    only_headers_reached(&lab);
}

fn proxy_killed(topology: Topology) {
    let lab = judging(topology);
    let mut http = open(&lab, Family::V4);
    assert_eq!(get(&mut http, "/headers"), 200);
    kill_part(&lab, Part::Proxy);
    // What is handed over while a process dies dies with it.
    wait_for("its sockets are closed", || {
        lab.status()["proxy"]["pid"].is_null()
    });
    for _ in 0..5 {
        assert_eq!(get(&mut http, "/headers"), 200);
    }
    http.wait_at_most(SILENT);
    assert!(http.request("GET", "/ip").is_err(), "answered");
    // New connections are judged in the kernel all the same.
    let mut other = open(&lab, Family::V4);
    assert_eq!(get(&mut other, "/headers"), 200);
    lab.lab.restart(Part::Proxy).expect("it starts");
    http.wait_at_most(PATIENCE);
    assert_eq!(http.answer().expect("the held request").0, 403);
    only_headers_reached(&lab);
}
