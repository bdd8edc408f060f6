//! `kubectl weir`: the same binary by another name, as krew installs it; and the browser of `weir ui`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::common::{repository, weir};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Runs it by kubectl's name for it.
fn kubectl_weir(folder: &Path, words: &[&str]) -> Output {
    let plugin = folder.join("kubectl-weir");
    if !plugin.exists() {
        symlink(WEIR, &plugin).expect("a link");
    }
    Command::new(plugin)
        .args(words)
        .env("KUBECONFIG", folder.join("none"))
        .env("WEIR_LAB", "a-lab")
        .current_dir(repository())
        .output()
        .expect("the binary runs")
}

#[test]
fn kubectls_plugin_asks_kubectls_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let help = said(&kubectl_weir(folder, &["status", "--help"]));
    assert!(help.contains("Usage: kubectl weir status"), "{help}");
    let explain = ["explain", "--from", "a", "--to", "b", "--port", "1"];
    for words in [
        &["status"][..],
        &["endpoint", "list"],
        &["observe"],
        &explain,
    ] {
        let output = kubectl_weir(folder, words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            said(&output).contains("no cluster"),
            "{words:?}: {}",
            said(&output)
        );
    }
    // What is said is meant.
    for (words, named) in [
        (
            ["status", "--instance", "no-such-instance"],
            "no-such-instance",
        ),
        (["observe", "--lab", "no-such-lab"], "no-such-lab"),
    ] {
        let text = said(&kubectl_weir(folder, &words));
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn a_cluster_goes_with_no_other_place() {
    for line in [
        "status --context c --lab l",
        "status -n weir-system --instance i",
        "observe --context c --server x:1",
        "observe -P --input-file f",
        "explain -f . --context c --from a --to b",
        "ui --kubeconfig f --lab l",
        "suggest --flows f --context c",
    ] {
        let ran = weir(line);
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert!(
            ran.err.contains("cannot be used with"),
            "{line}: {}",
            ran.err
        );
    }
    let none = weir("explain --from a --to b --port 1");
    assert!(
        none.err.contains("say whose rules: -f PATH"),
        "{}",
        none.err
    );
    for (line, said) in [
        (
            "status --kubeconfig /nothing",
            "cannot read the kubeconfig /nothing",
        ),
        (
            "policy wait p --kubeconfig /nothing",
            "cannot read the kubeconfig /nothing",
        ),
        ("observe --kubeconfig /nothing --context c", "/nothing"),
    ] {
        let ran = weir(line);
        assert_eq!(ran.code, 1, "{line}: {}", ran.err);
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
    }
}

/// A plugin's manifest as krew reads it (krew.sigs.k8s.io, "Plugin manifest"): it knows no other fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugin {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    version: String,
    homepage: String,
    short_description: String,
    description: String,
    caveats: String,
    platforms: Vec<Platform>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    uri: String,
    sha256: String,
    bin: String,
    files: Vec<File>,
    selector: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    from: String,
    to: String,
}

#[test]
fn krew_gets_a_manifest_and_an_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = |binary: &str| {
        Command::new(repository().join("deploy/krew/package.py"))
            .args([
                "--version",
                "0.1.0",
                "--url",
                "https://downloads.example/v0.1.0/",
            ])
            .args(["--homepage", "https://weir.example", "--output"])
            .arg(folder.path())
            .arg(binary)
            .output()
            .expect("python3")
    };
    let made = package(&format!("amd64={WEIR}"));
    assert!(made.status.success(), "{}", said(&made));
    let text = fs::read_to_string(folder.path().join("weir.yaml")).expect("a manifest");
    let plugin: Plugin = serde_yaml_ng::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(
        plugin.api_version,
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(
        (plugin.kind.as_str(), plugin.metadata.name.as_str()),
        ("Plugin", "weir")
    );
    let Spec {
        version,
        homepage,
        short_description,
        description,
        caveats,
        platforms,
    } = plugin.spec;
    assert_eq!(
        (version.as_str(), homepage.as_str()),
        ("v0.1.0", "https://weir.example")
    );
    // krew's list shows one line of it.
    assert!(!short_description.contains('\n') && short_description.len() < 50);
    assert!(description.contains("CiliumNetworkPolicy") && caveats.contains("weir-system"));
    let [platform] = platforms.as_slice() else {
        panic!("one platform: {text}");
    };
    assert_eq!(
        platform.uri,
        "https://downloads.example/v0.1.0/weir-linux-amd64.tar.gz"
    );
    let labels = serde_json::json!({"matchLabels": {"os": "linux", "arch": "amd64"}});
    assert_eq!(platform.selector, labels);

    let archive = folder.path().join("weir-linux-amd64.tar.gz");
    let sum = Command::new("sha256sum")
        .arg(&archive)
        .output()
        .expect("sha256sum");
    assert!(said(&sum).starts_with(&platform.sha256) && platform.sha256.len() == 64);
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .status();
    assert!(unpacked.expect("tar").success());
    for File { from, to } in &platform.files {
        assert!(folder.path().join(from).exists() && to == ".", "{from}");
    }
    let bin = folder.path().join(&platform.bin);
    let version = Command::new(bin)
        .arg("version")
        .output()
        .expect("the binary of the archive");
    assert_eq!(said(&version), "weir 0.1.0\n");

    for (binary, reason) in [
        ("riscv=/bin/true", "ARCH=BINARY"),
        ("amd64=/nothing", "/nothing"),
    ] {
        let refused = package(binary);
        assert!(
            !refused.status.success() && said(&refused).contains(reason),
            "{}",
            said(&refused)
        );
    }
}

#[test]
fn the_page_opens_in_a_browser_where_there_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = folder.path().join("opened");
    let opener = folder.path().join("xdg-open");
    fs::write(
        &opener,
        format!(
            "#!/bin/sh\necho \"$1\" >'{}.new'\nmv '{0}.new' '{0}'\n",
            opened.display()
        ),
    )
    .expect("a script");
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("a program");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    // Runs until the address is printed, and as long as `done` is false.
    let serve = |path: &str, display: &str, more: &[&str], done: &dyn Fn() -> bool| -> String {
        let mut child = Command::new(WEIR)
            .args([
                "ui",
                "--listen",
                "127.0.0.1:0",
                "--input-file",
                "docs/examples/flows.jsonl",
            ])
            .args(more)
            .env("PATH", path)
            .env("DISPLAY", display)
            .env_remove("WAYLAND_DISPLAY")
            .current_dir(repository())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut url = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut url).expect("an address");
        let until = Instant::now() + Duration::from_secs(30);
        while !done() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It serves on, whatever became of the browser.
        assert_eq!(child.try_wait().expect("a child"), None);
        child.kill().expect("a child");
        child.wait().expect("a child");
        url
    };
    let url = serve(&path, ":0", &[], &|| opened.exists());
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(fs::read_to_string(&opened).expect("an opened page"), url);
    fs::remove_file(&opened).expect("a file");
    // No display, no wish, no browser. What answers a request has come past the opening.
    let answers = || true;
    serve(&path, "", &[], &answers);
    serve(&path, ":0", &["--no-browser"], &answers);
    serve("/nonexistent", ":0", &[], &answers);
    assert!(!opened.exists());
}
