//! Asked wrongly, or in the wrong place: one message that says what to do, and nothing is changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_lab::Topology;

use crate::common::{
    FAMILIES, Swept, TestLab, WEIR, free_name, one_message, scenario, traces, weir,
};
use crate::policies::{ALLOW_GET_HEADERS, ALLOW_SLEEP};

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// The one line that a refused command says; its exit code is that of a failure.
fn refused(output: &Output) -> String {
    let message = one_message(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(output.stdout.is_empty(), "{output:?}");
    // Each cause is told once.
    let parts: Vec<&str> = message.split(": ").collect();
    let twice = parts.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "{message}");
    message
}

/// Runs a program that takes privileges away and then becomes another.
fn setpriv(options: &[&str], program: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(options).arg(program).args(words);
    command.output().expect("setpriv, of util-linux")
}

/// The binary where everybody can run it: the tree may be below a folder of root's alone.
fn public_copy(folder: &tempfile::TempDir) -> PathBuf {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    let copy = folder.path().join("weir");
    fs::copy(WEIR, &copy).unwrap();
    copy
}

#[test]
fn without_root_nothing_is_begun() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_SLEEP);
    let before = traces(&lab.name);
    let folder = tempfile::tempdir().unwrap();
    let program = public_copy(&folder);
    let (up, instance) = (free_name(), format!("weir-lab-{}", lab.name));
    let files = scenario().display().to_string();
    for words in [
        &["lab", "up", "--name", &up, "-f", &files][..],
        &["lab", "ls", "--name", &lab.name],
        &["lab", "apply", "--name", &lab.name, "-f", &files],
        &["lab", "exec", "--name", &lab.name, "stranger", "--", "true"],
        &["lab", "down", "--name", &lab.name],
        &["agent", "--name", &up, "--manifests", &files],
        &["cleanup", "--name", &instance],
    ] {
        let message = refused(&setpriv(&NOBODY, &program, words));
        assert!(message.contains("root"), "{words:?}: {message}");
    }
    let words = ["proxy", "--name", &instance];
    let message = refused(&setpriv(&NOBODY, &program, &words));
    assert!(
        message.contains("-ingress: Operation not permitted"),
        "{message}"
    );
    assert_eq!(traces(&up), [""; 0]);
    assert_eq!(traces(&lab.name), before, "the lab that is up");
    for family in FAMILIES {
        lab.allowed("deploy/sleep", family, &["httpbin:8000/ip"]);
        lab.dropped("stranger", family, &["httpbin:8000/ip"]);
    }
}

/// Root of a container that was not given what the work needs.
#[test]
fn without_capabilities_nothing_is_left() {
    for missing in ["-sys_admin", "-net_admin", "-sys_admin,-net_admin,-bpf"] {
        let name = free_name();
        let swept = Swept(name.clone());
        let bound = [&*format!("--bounding-set={missing}")];
        let files = scenario().display().to_string();
        for words in [
            &["lab", "up", "--name", &name, "-f", &files][..],
            &["agent", "--name", &name, "--manifests", &files],
        ] {
            let message = refused(&setpriv(&bound, WEIR.as_ref(), words));
            assert!(message.contains("not permitted"), "{missing}: {message}");
            assert_eq!(traces(&name), [""; 0], "{missing} {words:?}");
        }
        drop(swept);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "looks where a shell would")]
fn a_missing_tool_is_named() {
    let tools = [("ip", "iproute2"), ("nft", "nftables")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (missing, package) in tools {
        let folder = tempfile::tempdir().unwrap();
        for (tool, _) in tools.iter().filter(|(tool, _)| *tool != missing) {
            let mut places = std::env::split_paths(&path).map(|place| place.join(tool));
            let place = places.find(|place| place.is_file()).expect(tool);
            symlink(place, folder.path().join(tool)).unwrap();
        }
        let name = free_name();
        let output = Command::new(WEIR)
            .args(["lab", "up", "--name", &name, "-f"])
            .arg(scenario())
            .env("PATH", folder.path())
            .output();
        let message = refused(&output.unwrap());
        let wanted = format!("`{missing}` is missing: apt-get install {package}");
        assert!(message.contains(&wanted), "{message}");
        assert_eq!(traces(&name), [""; 0]);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let lab = TestLab::up(Topology::Bridge);
    let name = free_name();
    let files = scenario().display().to_string();
    for words in [
        &["ls"][..],
        &["apply", "-f", &files],
        &["delete", "netpol", "--all"],
        &["exec", "deploy/sleep", "--", "true"],
        &["logs"],
        &["restart", "agent"],
    ] {
        let words = [&["lab", words[0], "--name", &name], &words[1..]].concat();
        let message = refused(&weir(&words));
        assert!(
            message.contains(&format!("there is no lab {name}: ")),
            "{message}"
        );
    }
    for (command, rest, wanted) in [
        (
            "exec",
            &["nobody", "--", "true"][..],
            "no pod nobody in namespace default",
        ),
        (
            "delete",
            &["netpol", "nothing"],
            "(NotFound): networkpolicies.networking.k8s.io \"nothing\" not found",
        ),
        (
            "delete",
            &["nonsense", "x"],
            "there is no kind \"nonsense\"",
        ),
        (
            "restart",
            &["deploy/nothing"],
            "(NotFound): deployments.apps \"nothing\" not found",
        ),
        ("logs", &["nobody"], "no pod nobody in namespace default"),
        (
            "apply",
            &["-f", "/nowhere.yaml"],
            "cannot read /nowhere.yaml: No such file",
        ),
    ] {
        let message = refused(&lab.weir(command, rest));
        assert!(message.contains(wanted), "{message}");
    }
    let output = weir(&["agent", "--name", &name, "--manifests", "/nowhere"]);
    assert_eq!(refused(&output), "weir: /nowhere: no such file or folder");
    let words = ["lab", "up", "--name", &name, "-f", "/nowhere"];
    assert!(refused(&weir(&words)).contains("cannot read /nowhere: No such file"));
    // What is not there is down: nothing to fail about.
    let output = weir(&["lab", "down", "--name", &name]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(traces(&name), [""; 0]);
}

#[test]
fn a_second_lab_of_a_name_leaves_the_first_alone() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_SLEEP);
    let before = (traces(&lab.name), format!("{:?}", lab.lab.pods().unwrap()));
    let output = lab.weir("up", &["-f", &scenario().display().to_string()]);
    let message = refused(&output);
    let wanted = format!("weir: lab {} exists already: take it down with", lab.name);
    assert!(message.starts_with(&wanted), "{message}");
    let after = (traces(&lab.name), format!("{:?}", lab.lab.pods().unwrap()));
    assert_eq!(after, before);
    for family in FAMILIES {
        lab.allowed("deploy/sleep", family, &["httpbin:8000/ip"]);
        lab.dropped("stranger", family, &["httpbin:8000/ip"]);
    }
}

/// Two agents on one node would fight over the links of the proxy.
#[test]
fn a_second_agent_on_a_node_is_refused() {
    let lab = TestLab::up(Topology::Routed);
    lab.apply(ALLOW_GET_HEADERS);
    let other = free_name();
    let swept = Swept(other.clone());
    let files = scenario().display().to_string();
    let words = [WEIR, "agent", "--name", &other, "--manifests", &files];
    let message = refused(&lab.exec("@node", &words));
    assert!(
        message.contains("an instance of another name runs here"),
        "{message}"
    );
    assert_eq!(traces(&other), [""; 0]);
    drop(swept);
    for family in FAMILIES {
        lab.allowed("deploy/sleep", family, &["httpbin:8000/headers"]);
        lab.forbidden("deploy/sleep", family, &["httpbin:8000/ip"]);
    }
}

#[test]
fn bad_names_and_flags_are_named() {
    let files = scenario().display().to_string();
    for bad in ["A", "a-b", "../x", "", "a23456789012345678901"] {
        let message = refused(&weir(&["lab", "up", "--name", bad, "-f", &files]));
        assert!(
            message.contains(&format!("lab name {bad:?}: use ")),
            "{message}"
        );
        let message = refused(&weir(&["lab", "down", "--name", bad]));
        assert!(
            message.contains(&format!("lab name {bad:?}: use ")),
            "{message}"
        );
    }
    let message = refused(&weir(&["agent", "--name", "a/b", "--manifests", &files]));
    assert!(
        message.contains("`a/b` is not an instance name"),
        "{message}"
    );
    for (words, named) in [
        (
            &["lab", "up", "-f", &files, "--topology", "ring"][..],
            "--topology",
        ),
        (&["lab", "up"], "--filename"),
        (&["lab", "exec", "deploy/sleep"], "<COMMAND>"),
        (&["lab", "frobnicate"], "frobnicate"),
        (&["agent"], "--manifests"),
        (&["proxy", "--drain", "soon"], "--drain"),
        (&["simulate", "--flows", "-"], "--file"),
        (&["--nonsense"], "--nonsense"),
    ] {
        let output = weir(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(
            said.starts_with("error: ") && said.contains(named),
            "{said}"
        );
    }
}
