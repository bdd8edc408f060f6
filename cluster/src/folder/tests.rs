//! Files in a real folder: read, broken, mended, removed, watched.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;
use weir_policy::model::{Policy, World};

use super::*;

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}, status: {podIP: 10.0.0.1}}\n";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

struct Folder {
    dir: TempDir,
    source: FolderSource,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = FolderSource::new([dir.path().to_owned()], Options::default());
        Self { dir, source }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&mut self) -> Reading {
        self.source.read()
    }

    /// Problems without the folder's own name.
    fn problems(&mut self) -> Vec<String> {
        let folder = format!("{}/", self.dir.path().display());
        let problems = self.read().problems;
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&folder, ""))
            .collect()
    }
}

fn policies(reading: &Reading) -> Vec<String> {
    reading
        .world
        .policies
        .iter()
        .map(|policy| policy.object.to_string())
        .collect()
}

fn rules(policy: &Policy) -> usize {
    policy
        .specs
        .iter()
        .map(|spec| spec.ingress.rules.len())
        .sum()
}

#[test]
fn reads_what_is_yaml_and_nothing_else() {
    let mut folder = Folder::new();
    folder.write("pod.yaml", POD);
    folder.write("deep/er/p.yml", &policy("deep", "{}"));
    folder.write(
        "j.json",
        "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"n\"}}",
    );
    folder.write(
        "list.yaml",
        &format!("kind: List\nitems:\n- {}", POD.replace("web", "two")),
    );
    folder.write(
        "ignored.yaml",
        "{apiVersion: v1, kind: ConfigMap}\n---\n# empty\n",
    );
    for name in [
        "README.md",
        ".hidden.yaml",
        ".git/x.yaml",
        "pod.yaml~",
        "#pod.yaml#",
        ".pod.yaml.swp",
    ] {
        folder.write(name, "][");
    }
    let reading = folder.read();
    assert_eq!(reading.problems, []);
    assert_eq!(policies(&reading), ["NetworkPolicy/default/deep"]);
    assert_eq!(reading.world.pods.len(), 2);
    assert!(reading.world.namespaces.contains_key("n"));
    let documents = read_documents(&[folder.dir.path().to_owned()]).unwrap();
    assert_eq!(documents.len(), 5);
}

#[test]
fn a_broken_object_keeps_its_last_good_version() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{ingress: [{}, {}]}"));
    assert_eq!(rules(&folder.read().world.policies[0]), 2);
    folder.write("a.yaml", &policy("a", "{ingres: [{}]}"));
    assert_eq!(
        folder.problems(),
        [
            "a.yaml:1: NetworkPolicy/default/a: spec.ingres: unknown field; known here: \
          `podSelector`, `policyTypes`, `ingress` or `egress`"
        ]
    );
    assert_eq!(rules(&folder.read().world.policies[0]), 2);
    folder.write("a.yaml", &policy("a", "{ingress: [{}]}"));
    let reading = folder.read();
    assert_eq!(
        (rules(&reading.world.policies[0]), reading.problems.len()),
        (1, 0)
    );
    fs::remove_file(folder.dir.path().join("a.yaml")).unwrap();
    assert_eq!(folder.read().world, World::default());
    // Once gone it is forgotten, too.
    folder.write("a.yaml", &policy("a", "{ingres: [{}]}"));
    let reading = folder.read();
    assert_eq!(rules(&reading.world.policies[0]), 0);
    assert!(reading.world.policies[0].specs[0].ingress.isolates);
}

#[test]
fn a_bad_rule_is_told_and_the_rest_is_in_force() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{ingress: [{}, {x: 1}]}"));
    assert_eq!(rules(&folder.read().world.policies[0]), 1);
    assert_eq!(
        folder.problems(),
        [
            "a.yaml:1: NetworkPolicy/default/a: spec.ingress[1].x: unknown field; known here: \
          `from` or `ports`"
        ]
    );
}

#[test]
fn a_pod_that_breaks_keeps_its_address() {
    let mut folder = Folder::new();
    folder.write("pod.yaml", POD);
    let before = folder.read().world;
    folder.write("pod.yaml", &POD.replace("10.0.0.1", "10.0.0"));
    let reading = folder.read();
    assert_eq!(reading.world, before);
    assert_eq!(reading.problems[0].reason, "`10.0.0` is not an address");
}

#[test]
fn a_file_that_never_was_yaml_is_fatal() {
    let mut folder = Folder::new();
    folder.write("a.yaml", "a: [\n");
    let reading = folder.read();
    assert_eq!(reading.fatal().count(), 1);
    assert!(
        reading.problems[0].to_string().contains("a.yaml:"),
        "{}",
        reading.problems[0]
    );
    assert!(reading.problems[0].reason.starts_with("is not YAML: "));
}

#[test]
fn what_is_not_rendered_says_how_and_takes_nothing_from_the_others() {
    const HELM: &str = "; render the Helm template first: `helm template … | weir lint -f -`";
    const VARIABLES: &str = "; put the variables in first: `envsubst < FILE | weir lint -f -`";
    let template = "kind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n";
    let script = "kind: Pod\na: echo ${HOME}\nb: 1\nc: 1\nd: [\n";
    for (text, end) in [
        (template, HELM),
        ("a: {b: ${VAR}}\n", VARIABLES),
        (&format!("{script}]]"), "]"),
    ] {
        let mut folder = Folder::new();
        folder.write("a.yaml", text);
        folder.write("b.yaml", &policy("b", "{}"));
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("a.yaml:"), "{problems:?}");
        assert!(problems[0].contains(": is not YAML: "), "{problems:?}");
        assert_eq!(
            problems[0].contains("first: "),
            end.len() > 1,
            "{problems:?}"
        );
        assert!(end.len() == 1 || problems[0].ends_with(end), "{problems:?}");
        let reading = folder.read();
        assert_eq!(policies(&reading), ["NetworkPolicy/default/b"]);
        assert_eq!(
            reading.whole().unwrap_err().to_string(),
            "1 file was not read: what is said is without it"
        );
        assert_eq!(folder.source.documents().len(), 1);
    }
    let mut folder = Folder::new();
    folder.write("a.yaml", &POD.replace("10.0.0.1", "\"${ADDRESS}\""));
    folder.write("b.yaml", &policy("\"{{ .x }}\"", "{}"));
    let problems = folder.problems();
    assert!(problems[0].ends_with(VARIABLES), "{problems:?}");
    assert!(problems[1].ends_with(HELM), "{problems:?}");
    assert_eq!(folder.read().whole(), Ok(()));
}

#[test]
fn a_file_that_would_be_read_for_ever_takes_nothing_from_the_others() {
    let deep = "[".repeat(100_000);
    let laughs = "a: &a [x, x, x, x]\n".to_owned()
        + &(0..40)
            .map(|n| {
                format!(
                    "b{n}: &b{n} [{0}, {0}]\n",
                    if n == 0 {
                        "*a".into()
                    } else {
                        format!("*b{}", n - 1)
                    }
                )
            })
            .collect::<String>();
    for (odd, why) in [
        (format!("kind: Pod\nx: {deep}"), "nested too deeply"),
        ("- ".repeat(100_000), "nested too deeply"),
        (laughs, "copy more than the file is worth"),
    ] {
        let mut folder = Folder::new();
        folder.write("a.yaml", &policy("a", "{ingress: [{}, {}]}"));
        folder.write("b.yaml", &policy("b", "{}"));
        assert_eq!(folder.problems(), Vec::<String>::new());
        folder.write("a.yaml", &odd);
        folder.write("b.yaml", &policy("b", "{ingress: [{}]}"));
        folder.write("c.yaml", &policy("c", "{}"));
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("a.yaml:") && problems[0].contains(why));
        assert!(problems[0].ends_with("what the file last said stays in force"));
        let reading = folder.read();
        assert_eq!(reading.fatal().count(), 0);
        let rules: Vec<usize> = reading.world.policies.iter().map(rules).collect();
        assert_eq!(rules, [2, 1, 0], "the old a, the new b, c");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{}"));
    let pipe = folder.dir.path().join("b.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let problems = folder.problems();
    assert_eq!(problems, ["b.yaml: cannot be read: is no regular file"]);
    assert_eq!(policies(&folder.read()), ["NetworkPolicy/default/a"]);
    fs::remove_file(pipe).unwrap();
    fs::File::create(folder.dir.path().join("b.yaml"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let problems = folder.problems();
    assert_eq!(problems, ["b.yaml: cannot be read: is larger than 64 MiB"]);
}

#[test]
fn a_file_that_breaks_keeps_its_content() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{}"));
    let before = folder.read().world;
    for broken in ["a: [\n", "spec: {}\n"] {
        folder.write("a.yaml", broken);
        let reading = folder.read();
        assert_eq!(reading.world, before);
        assert_eq!((reading.problems.len(), reading.fatal().count()), (1, 0));
        assert!(
            reading.problems[0]
                .reason
                .ends_with("what the file last said stays in force")
        );
    }
    fs::write(folder.dir.path().join("a.yaml"), [0xff, 0xfe]).unwrap();
    assert_eq!(folder.read().world, before);
    folder.write("a.yaml", "");
    assert_eq!(folder.read().world, World::default());
}

#[test]
fn breaking_a_file_while_renaming_it_opens_nothing() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{}"));
    let before = folder.read().world;
    fs::remove_file(folder.dir.path().join("a.yaml")).unwrap();
    folder.write("b.yaml", "kind: [\n");
    let reading = folder.read();
    assert_eq!((reading.world, reading.problems.len()), (before, 1));
    folder.write("b.yaml", &policy("b", "{}"));
    assert_eq!(policies(&folder.read()), ["NetworkPolicy/default/b"]);
}

#[test]
fn a_folder_that_vanishes_takes_nothing_away() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("a", "{}"));
    let before = folder.read().world;
    fs::remove_dir_all(folder.dir.path()).unwrap();
    let reading = folder.read();
    assert_eq!(reading.fatal().count(), 0);
    assert_eq!(reading.world, before);
    assert_eq!(reading.problems.len(), 1);
    let never = FolderSource::new(["/does/not/exist".into()], Options::default()).read();
    assert_eq!(never.fatal().count(), 1);
}

#[test]
fn the_first_of_two_wins() {
    let mut folder = Folder::new();
    folder.write("a.yaml", &policy("p", "{ingress: [{}]}"));
    folder.write("b.yaml", &format!("---\n{}", policy("p", "{}")));
    let reading = folder.read();
    assert_eq!(rules(&reading.world.policies[0]), 1);
    assert_eq!(reading.world.policies.len(), 1);
    let folder_name = folder.dir.path().display().to_string();
    assert_eq!(
        folder.problems(),
        [format!("b.yaml:2: NetworkPolicy/default/p: stands here again: the one at {folder_name}/a.yaml:1 is used")
            .replace(&format!("{folder_name}/b"), "b")]
            .map(|text| text.replace(&format!("{folder_name}/"), ""))
    );
}

#[test]
fn objects_without_name_and_foreign_policies_are_told() {
    let mut folder = Folder::new();
    let unnamed = policy("x", "{}").replace("{name: x}", "{}");
    folder.write("a.yaml", &format!("{unnamed}---\n{unnamed}"));
    folder.write("b.yaml", "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: c}}\n---\n{a: 1}\n");
    assert_eq!(folder.read().world.policies.len(), 2, "both stand-ins");
    assert_eq!(
        folder.problems(),
        [
            "a.yaml:1: NetworkPolicy/default/unnamed: metadata.name: must be a string, not nothing",
            "a.yaml:6: NetworkPolicy/default/unnamed: metadata.name: must be a string, not nothing",
            "b.yaml:1: projectcalico.org/v3 NetworkPolicy: kind: is not enforced here: NetworkPolicy \
             (networking.k8s.io/v1), CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (cilium.io/v2), \
             and ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) are",
            "b.yaml:3: kind: is missing: a Kubernetes object has `apiVersion` and `kind`",
        ]
    );
}

async fn changed(changes: &mut Changes) {
    tokio::time::timeout(Duration::from_secs(20), changes.changed())
        .await
        .expect("a change in time")
        .expect("the watch goes on");
}

/// Reads after each signal until the source says what it should.
async fn until(source: &mut FolderSource, changes: &mut Changes, expected: &[&str]) {
    while policies(&source.read()) != expected {
        changed(changes).await;
    }
}

#[tokio::test]
async fn changes_are_seen() {
    let Folder { dir, mut source } = Folder::new();
    let mut changes = source.watch().unwrap();
    let at = |name: &str| dir.path().join(name);
    source.read();

    fs::write(at("a.yaml"), policy("a", "{}")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/a"]).await;

    // Renamed over, as careful writers do.
    fs::write(at(".a.tmp"), policy("b", "{}")).unwrap();
    fs::rename(at(".a.tmp"), at("a.yaml")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/b"]).await;

    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/c.yaml"), policy("c", "{}")).unwrap();
    until(
        &mut source,
        &mut changes,
        &["NetworkPolicy/default/b", "NetworkPolicy/default/c"],
    )
    .await;

    fs::remove_file(at("a.yaml")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/c"]).await;

    // The folder itself is deleted and made again.
    fs::remove_dir_all(dir.path()).unwrap();
    changed(&mut changes).await;
    fs::create_dir(dir.path()).unwrap();
    fs::write(at("d.yaml"), policy("d", "{}")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/d"]).await;
    fs::write(at("d.yaml"), policy("e", "{}")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/e"]).await;
}

#[tokio::test]
async fn a_single_file_is_watched_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a.yaml"), policy("a", "{}")).unwrap();
    let mut source = FolderSource::new([at("a.yaml")], Options::default());
    let mut changes = source.watch().unwrap();
    assert_eq!(policies(&source.read()), ["NetworkPolicy/default/a"]);
    fs::write(at("neighbour.yaml"), policy("n", "{}")).unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
    assert!(quiet.is_err(), "a neighbour is no change");
    fs::write(at("new.yaml"), policy("b", "{}")).unwrap();
    fs::rename(at("new.yaml"), at("a.yaml")).unwrap();
    until(&mut source, &mut changes, &["NetworkPolicy/default/b"]).await;
}

#[tokio::test]
async fn reading_is_no_change() {
    let Folder { dir, mut source } = Folder::new();
    fs::write(dir.path().join("a.yaml"), policy("a", "{}")).unwrap();
    let mut changes = source.watch().unwrap();
    for _ in 0..3 {
        source.read();
    }
    let quiet = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
    assert!(quiet.is_err());
    assert!(Path::new(dir.path()).exists());
}
