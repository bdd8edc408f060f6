//! Mistakes in objects while traffic flows: told once and clearly, and nothing opens.

mod mistakes;

use std::fs;

use serde_json::{Value, json};
use weir_lab::Topology;

use crate::common::{
    FAMILIES, Family, Http, TestLab, in_both_families, in_both_topologies, one_message, wait_for,
};
use crate::policies::{ALLOW_GET_HEADERS, ALLOW_SLEEP};
use mistakes::{MISTAKES, Mistake};

in_both_topologies!(
    bad_policies,
    a_good_policy_that_turns_bad,
    broken_files_in_the_folder,
);

const SLEEP: &str = "deploy/sleep";
const OTHER_SLEEP: &str = "sleep/deploy/sleep";
/// A verdict of the kernel alone, beside the HTTP rule.
const ECHO_FOR_SLEEP: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: echo-for-sleep }
spec:
  podSelector: { matchLabels: { app: echo } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: sleep } } }] }]
"#;

fn with_policies(topology: Topology) -> TestLab {
    let lab = TestLab::up(topology);
    lab.apply(ALLOW_GET_HEADERS);
    lab.apply(ECHO_FOR_SLEEP);
    lab
}

/// Whatever else is wrong, the good policies are in force and nothing beyond them is open.
fn good_policies_hold(lab: &TestLab, family: Family) {
    lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
    lab.forbidden(SLEEP, family, &["httpbin:8000/ip"]);
    lab.allowed(SLEEP, family, &["echo"]);
    std::thread::scope(|scope| {
        for url in ["httpbin:8000/headers", "echo"] {
            let host = match url {
                "echo" => format!("{}:8080", lab.host("echo", family)),
                _ => format!("{}/headers", lab.host("deploy/httpbin", family)),
            };
            scope.spawn(move || lab.dropped("stranger", family, &[&host]));
        }
    });
}

/// One connection for each family that lives through every change.
struct Traffic(Vec<Http>);

impl Traffic {
    fn start(lab: &TestLab) -> Self {
        let netns = lab.netns(SLEEP);
        let to = |family| (lab.address("deploy/httpbin", family), 80).into();
        Self(FAMILIES.map(|f| Http::open(&netns, to(f)).unwrap()).into())
    }

    fn flows(&mut self) {
        for http in &mut self.0 {
            assert_eq!(http.request("GET", "/headers").unwrap(), 200);
            assert_eq!(http.request("GET", "/ip").unwrap(), 403);
        }
    }
}

/// The only problem in the agent's status.
fn problem(lab: &TestLab) -> Value {
    let problems = lab.status()["problems"].clone();
    assert_eq!(problems.as_array().map(Vec::len), Some(1), "{problems}");
    problems[0].clone()
}

/// How often the agent's log tells of a problem.
fn told(lab: &TestLab, words: &[&str]) -> usize {
    let path = lab.lab.log_path("agent", "default").unwrap();
    let log = fs::read_to_string(path).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("not in force as written"));
    lines
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

fn bad_policies(topology: Topology) {
    let lab = with_policies(topology);
    let mut traffic = Traffic::start(&lab);
    let folder = tempfile::tempdir().unwrap();
    for mistake in &MISTAKES {
        let Mistake {
            object,
            field,
            reason,
            ..
        } = mistake;
        let file = folder.path().join("bad.yaml");
        fs::write(&file, mistake.yaml).unwrap();
        let file = file.display().to_string();
        let output = lab.weir("apply", &["-f", &file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let wanted = format!("not in force as written: {object}: {field}: {reason}");
        assert!(said.starts_with(&wanted), "{said:?}, not {wanted:?}");
        let problem = problem(&lab);
        assert_eq!(
            (&problem["object"], &problem["field"]),
            (&(*object).into(), &(*field).into())
        );
        let place = problem["file"].as_str().unwrap();
        let name = object.replace('/', "_");
        assert!(
            place.contains(&format!("manifests/{name}.yaml:")),
            "{place}"
        );
        assert_eq!(told(&lab, &[place, object, field, reason]), 1, "in the log");
        traffic.flows();
        in_both_families(|family| {
            good_policies_hold(&lab, family);
            (mistake.in_force)(&lab, family);
        });
        let output = lab.weir("delete", &["-f", &file]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        assert_eq!(lab.status()["refused"], 0, "{object}");
        traffic.flows();
    }
    in_both_families(|family| {
        let pod = lab.host("deploy/httpbin", family);
        good_policies_hold(&lab, family);
        lab.dropped("sleep/other", family, &[&format!("{pod}/ip")]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/user-agent"]);
        lab.allowed("stranger", family, &["www.google.com"]);
        lab.allowed(OTHER_SLEEP, family, &["www.google.com"]);
    });
}

/// Its last good version stays in force, whatever the mistake, until it is right again or gone.
fn a_good_policy_that_turns_bad(topology: Topology) {
    let lab = with_policies(topology);
    let mut traffic = Traffic::start(&lab);
    for (right, wrong, field) in [
        ("endpointSelector:", "selector:", "spec.selector"),
        ("  ingress:", "  ingresses:", "spec.ingresses"),
    ] {
        let applied = lab.lab.apply(&ALLOW_GET_HEADERS.replacen(right, wrong, 1));
        let problems = applied.unwrap().report.problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, field, "{problems:?}");
        traffic.flows();
        in_both_families(|family| {
            good_policies_hold(&lab, family);
        });
    }
    lab.apply(&ALLOW_GET_HEADERS.replace("path: /headers", "path: /ip"));
    for family in FAMILIES {
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
        lab.forbidden(SLEEP, family, &["httpbin:8000/headers"]);
    }
}

/// Files that are no YAML, dropped beside the good ones and over one of them.
fn broken_files_in_the_folder(topology: Topology) {
    let lab = with_policies(topology);
    let mut traffic = Traffic::start(&lab);
    let manifests = lab.manifests();
    let good = manifests.join("NetworkPolicy_default_echo-for-sleep.yaml");
    let text = fs::read_to_string(&good).unwrap();
    let broken = "apiVersion: v1\nkind: NetworkPolicy\nspec: [oops\n";
    for file in [manifests.join("dropped.yaml"), good.clone()] {
        fs::write(&file, broken).unwrap();
        wait_for("the problem is told", || lab.status()["refused"] == 1);
        let problem = problem(&lab);
        let place = format!("{}:3", file.display());
        assert_eq!(problem["file"], place.as_str(), "{problem}");
        let reason = problem["reason"].as_str().unwrap();
        assert!(reason.starts_with("is not YAML: "), "{problem}");
        assert_eq!(told(&lab, &[&place, reason]), 1, "in the log");
        traffic.flows();
        in_both_families(|family| {
            good_policies_hold(&lab, family);
        });
        // What is written beside it is in force as ever.
        let beside = manifests.join("beside.yaml");
        fs::write(&beside, ALLOW_SLEEP).unwrap();
        wait_for("the file beside it is in force", || {
            lab.status()["policies"] == 3
        });
        for family in FAMILIES {
            lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
        }
        fs::remove_file(&beside).unwrap();
        if file == good {
            wait_for("the file beside it is gone", || {
                lab.status()["policies"] == 2
            });
            fs::write(&file, &text).unwrap();
        } else {
            // A file that was never good may be the vanished one under another name.
            assert_eq!(lab.ask(&json!({"command": "sync"}))["ok"], true);
            assert_eq!(lab.status()["policies"], 3);
            fs::remove_file(&file).unwrap();
        }
        wait_for("the problem is gone", || lab.status()["refused"] == 0);
        assert_eq!(lab.status()["policies"], 2);
    }
    in_both_families(|family| {
        good_policies_hold(&lab, family);
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.yaml");
    fs::write(&file, broken).unwrap();
    let output = lab.weir("apply", &["-f", &file.display().to_string()]);
    let message = one_message(&output);
    assert!(
        message.starts_with(&format!("weir: {}:3: ", file.display())),
        "{message}"
    );
    assert_eq!(lab.status()["refused"], 0, "nothing of it is taken");
    traffic.flows();
}
