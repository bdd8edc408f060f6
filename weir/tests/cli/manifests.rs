//! Manifests as people keep them: with templates and mistakes among them.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::common::{Ran, weir, weir_fed};

const PODS: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\n---\n\
                    apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: b}}\n";
const POLICY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\n\
                      spec:\n  podSelector:\n    matchLabels: {app: none}\n  ingress: [{}]\n";
const HELM: &str = "kind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    folder
}

fn ids(ran: &Ran) -> Vec<String> {
    let found = ran.json();
    let list = found.as_array().expect("a list");
    let id = |finding: &serde_json::Value| {
        let file = Path::new(finding["file"].as_str().expect("a file"));
        let file = file.file_name().expect("a name").display();
        format!(
            "{} {file}:{}",
            finding["id"].as_str().expect("an id"),
            finding["line"]
        )
    };
    list.iter().map(id).collect()
}

#[test]
fn one_template_takes_no_finding_from_the_rest() {
    let folder = folder(&[("a.yaml", PODS), ("helm.yaml", HELM), ("p.yaml", POLICY)]);
    let ran = weir(&format!(
        "lint -f {} -o json --fail-on never",
        folder.path().display()
    ));
    assert_eq!(ids(&ran), ["W003 p.yaml:6"]);
    assert_eq!(ran.code, 1);
    for part in [
        "helm.yaml:3: is not YAML: ",
        "; render the Helm template first: `helm template … | weir lint -f -`",
        "weir: 1 file was not read: what is said is without it",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn to_have_read_nothing_is_not_to_have_found_nothing() {
    let folder = folder(&[("helm.yaml", HELM)]);
    let ran = weir(&format!("lint {}", folder.path().display()));
    let said = "0 policies: nothing found in what was read\n";
    assert_eq!((ran.code, ran.out.as_str()), (1, said));
}

#[test]
fn a_variable_where_a_field_cannot_have_it_is_told_with_how_to_put_it_in() {
    let policy = POLICY.replace("[{}]", "[{ports: [{port: \"${PORT}\"}]}]");
    let folder = folder(&[("a.yaml", PODS), ("p.yaml", &policy)]);
    let ran = weir(&format!("lint -f {}", folder.path().display()));
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("p.yaml:8  error  W001"), "{}", ran.out);
    let fix = "fix: put the variables in first: `envsubst < FILE | weir lint -f -`";
    assert!(ran.out.contains(fix), "{}", ran.out);
}

#[test]
fn every_command_says_what_the_rest_says_and_fails_for_what_it_did_not_read() {
    let deny = POLICY
        .replace("{app: none}", "{app: b}")
        .replace("[{}]", "[]");
    let suite = "manifests: [.]\ntests:\n- {name: n, from: default/a, to: default/b, port: 80, expect: deny}\n";
    let flows = r#"{"from":"default/a","to":"default/b","protocol":"TCP","port":80}"#;
    let folder = folder(&[
        ("in/a.yaml", PODS),
        ("in/p.yaml", &deny),
        ("in/helm.yaml", HELM),
        ("none/a.yaml", PODS),
        ("in.suite", &suite.replace("[.]", "[in]")),
        ("flows.jsonl", flows),
    ]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ends = "--from default/a --to default/b --port 80";
    for (line, said, code) in [
        (format!("explain -f {} {ends}", at("in")), "deny", 1),
        (
            format!("simulate -f {} --flows {}", at("in"), at("flows.jsonl")),
            "deny",
            1,
        ),
        (format!("test {}", at("in.suite")), "1 test ok", 1),
        (
            format!("diff -f {} -f {} --exit-code", at("none"), at("in")),
            "allow -> deny",
            2,
        ),
    ] {
        let ran = weir(&line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.out.contains(said), "{line}: {}", ran.out);
        assert!(
            ran.err.contains("helm.yaml:3: is not YAML: "),
            "{line}: {}",
            ran.err
        );
        let end = "weir: 1 file was not read: what is said is without it\n";
        assert!(ran.err.ends_with(end), "{line}: {}", ran.err);
        fs::rename(at("in/helm.yaml"), at("helm")).expect("moved");
        assert_eq!(weir(&line).code, if code == 2 { 1 } else { 0 }, "{line}");
        fs::rename(at("helm"), at("in/helm.yaml")).expect("moved");
    }
}

#[test]
fn standard_input_is_linted_with_its_lines() {
    let text = format!("{PODS}---\n{POLICY}");
    for line in ["lint -f - -o json", "lint - -o json"] {
        let ran = weir_fed(&text, line);
        assert_eq!(ids(&ran), ["W003 -:14"], "{}", ran.err);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    // With files beside it, and what is wrong with it.
    let folder = folder(&[("a.yaml", PODS)]);
    let line = format!("lint -f - -f {} -o json", folder.path().display());
    assert_eq!(ids(&weir_fed(POLICY, &line)), ["W003 -:6"]);
    let ran = weir_fed(HELM, &line);
    assert!(ran.err.starts_with("-:3: is not YAML: "), "{}", ran.err);
    assert_eq!((ran.code, ran.out.trim()), (1, "[]"));
}

#[test]
fn lint_takes_paths_with_and_without_a_flag() {
    let folder = folder(&[("a/a.yaml", PODS), ("p.yaml", POLICY)]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    for line in [
        format!("lint {} {} -o json", at("a"), at("p.yaml")),
        format!("lint {} -o json -f {}", at("a"), at("p.yaml")),
        format!("lint -o json {}", at("")),
    ] {
        assert_eq!(ids(&weir(&line)), ["W003 p.yaml:6"], "{line}");
    }
    let nothing = weir("lint");
    assert_eq!(nothing.code, 2, "{}", nothing.err);
}

#[test]
fn the_namespace_of_objects_that_name_none_is_an_option_of_every_command() {
    let deny = POLICY
        .replace("{app: none}", "{app: b}")
        .replace("[{}]", "[]");
    let suite =
        "manifests: [in]\ntests:\n- {name: n, from: shop/a, to: shop/b, port: 80, expect: deny}\n";
    let folder = folder(&[
        ("in/a.yaml", PODS),
        ("in/p.yaml", &deny),
        ("none/a.yaml", PODS),
        ("in.suite", suite),
        (
            "flows.jsonl",
            r#"{"from":"shop/a","to":"shop/b","protocol":"TCP","port":80}"#,
        ),
    ]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ends = "--from shop/a --to shop/b --port 80";
    for (line, said) in [
        (format!("lint {}", at("none")), "nothing found"),
        (format!("explain -f {} {ends}", at("in")), "deny"),
        (
            format!("simulate -f {} --flows {}", at("in"), at("flows.jsonl")),
            r#""verdict":"deny""#,
        ),
        (format!("test {}", at("in.suite")), "1 test ok"),
        (
            format!("diff -f {} -f {}", at("none"), at("in")),
            "shop/app=b",
        ),
    ] {
        let ran = weir(&format!("{line} --namespace shop"));
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(said), "{line}: {}", ran.out);
        if !line.starts_with("lint") {
            let ran = weir(&line);
            assert!(
                ran.code != 0 || !ran.out.contains(said),
                "{line}: {}",
                ran.out
            );
        }
    }
    let wrong = weir(&format!("lint {} --namespace Shop", at("in")));
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("is not a namespace"), "{}", wrong.err);
}

#[test]
fn a_folder_of_kustomize_is_read_with_its_namespace_and_a_note() {
    let kustomization = "namespace: shop\nresources: [a.yaml, p.yaml]\n";
    let folder = folder(&[
        ("kustomization.yaml", kustomization),
        ("a.yaml", PODS),
        ("p.yaml", POLICY),
    ]);
    let path = folder.path().display();
    let ran = weir(&format!("lint {path} -o json"));
    assert_eq!(ids(&ran), ["W003 p.yaml:6"]);
    assert_eq!(ran.json()[0]["object"], "NetworkPolicy/shop/p");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let note =
        "kustomization.yaml:1: Weir does not run kustomize: of this only `namespace: shop` is";
    assert!(ran.err.contains(note), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}
