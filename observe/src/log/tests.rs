//! The log's lines, and that it stays within its bounds.

use std::{fs, time::UNIX_EPOCH};

use weir_abi::policy::verdict;

use super::*;
use crate::{
    record::verdicts,
    testing::{ALLOW, OTHERS, policy, syn},
    why::Reasoner,
};

fn flows(yaml: &str, verdict: u8) -> Vec<Flow> {
    let names = policy(yaml);
    let event = syn(&names, verdict);
    let reasons = Reasoner::new(&names).reasons(&event);
    verdicts(&event, UNIX_EPOCH, &names, &reasons)
}

fn written(options: impl FnOnce(&mut LogOptions), flows: &[Flow]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/flows.log");
    let mut chosen = LogOptions::new(path.clone());
    options(&mut chosen);
    let mut log = FlowLog::open(chosen).expect("a log");
    flows.iter().for_each(|flow| log.write(flow));
    log.flush();
    fs::read_to_string(path).expect("the log")
}

#[test]
fn a_denial_is_one_line_with_its_reason() {
    let log = written(|_| {}, &flows(OTHERS, verdict::DENY));
    let beginning = "DENY time=1970-01-01T00:00:00.000Z direction=ingress \
        src=default/sleep-6d-7ppbf src_ip=10.244.1.2 src_port=53352 \
        dst=default/httpbin-79-kqb4f dst_ip=10.244.1.3 dst_port=80 proto=TCP \
        service=default/httpbin packet=\"TCP Flags: SYN\" policy=NetworkPolicy/default/others \
        reason=\"default deny of NetworkPolicy/default/others\" nearest=\"";
    assert!(log.starts_with(beginning), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.ends_with(" node=node\n"), "{log}");
}

#[test]
fn what_was_allowed_is_logged_on_demand() {
    let flows = flows(ALLOW, verdict::ALLOW);
    assert_eq!(written(|_| {}, &flows), "");
    let log = written(|options| options.all = true, &flows);
    assert!(log.starts_with("ALLOW time="), "{log}");
    assert!(log.contains(" rule=spec.ingress[0] "), "{log}");
}

#[test]
fn json_lines_are_flows() {
    let log = written(|options| options.json = true, &flows(OTHERS, verdict::DENY));
    let value: serde_json::Value = serde_json::from_str(log.trim_end()).expect("JSON");
    assert_eq!(value["action"], "DENY");
    assert!(json::read_line(log.trim_end()).is_ok());
}

#[test]
fn values_cannot_look_like_fields() {
    let mut flow = flows(OTHERS, verdict::DENY).remove(0);
    flow.node_name = "n\nDENY src=\"x\" a=b".into();
    let line = line(&flow);
    assert!(line.ends_with(r#" node="n\nDENY src=\"x\" a=b""#), "{line}");
}

#[test]
fn old_files_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = FlowLog::open(LogOptions {
        bytes: 2_000,
        files: 2,
        ..LogOptions::new(folder.path().join("flows.log"))
    })
    .expect("a log");
    let flows = flows(OTHERS, verdict::DENY);
    for _ in 0..100 {
        log.write(&flows[0]);
        log.flush();
    }
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder")
        .flatten()
        .collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = files.iter().map(|file| file.file_name()).collect();
    assert_eq!(names, ["flows.log", "flows.log.1", "flows.log.2"]);
    for file in files {
        let text = fs::read_to_string(file.path()).expect("a file");
        assert!(text.len() < 3_000, "{}", text.len());
        assert!(
            text.lines()
                .all(|line| line.starts_with("DENY ") && line.ends_with(" node=node"))
        );
    }
}
