//! Folders as people keep them, read without a cluster.

use std::fs;

use tempfile::TempDir;

use crate::{FolderSource, Options};

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}}\n";
const POLICY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n";
const NOTE: &str = "Weir does not run kustomize: ";

struct Folder(TempDir);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// Pods and policies, and the problems without the folder's name.
    fn read(&self, paths: &[&str], namespace: Option<&str>) -> (Vec<String>, Vec<String>) {
        let paths = paths.iter().map(|path| self.0.path().join(path));
        let mut source = FolderSource::new(paths, Options::default());
        if let Some(namespace) = namespace {
            source = source.offline(namespace.to_owned());
        }
        let reading = source.read();
        assert_eq!(reading.whole(), Ok(()));
        let pods = &reading.world.pods;
        let pods = pods
            .iter()
            .map(|pod| format!("{}/{}", pod.namespace, pod.name));
        let policies = &reading.world.policies;
        let policies = policies.iter().map(|policy| policy.object.to_string());
        let folder = format!("{}/", self.0.path().display());
        let problems = reading.problems.iter();
        let problems = problems.map(|problem| problem.to_string().replace(&folder, ""));
        (pods.chain(policies).collect(), problems.collect())
    }
}

#[test]
fn a_kustomizations_namespace_is_that_of_its_resources_that_name_none() {
    let own = "{apiVersion: v1, kind: Pod, metadata: {name: own, namespace: own}}\n";
    let wide = "{apiVersion: v1, kind: Node, metadata: {name: n}}\n";
    let all = format!("{POD}---\n{own}---\n{wide}");
    for head in [
        "",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
    ] {
        let kustomization = format!("{head}namespace: prod\nresources: [./a.yaml, base]\n");
        let folder = Folder::of(&[
            ("kustomization.yaml", &kustomization),
            ("a.yaml", &all),
            ("other.yaml", &POD.replace("web", "other")),
            ("base/kustomization.yml", "resources:\n- ../shared/p.yaml\n"),
            ("base/not-named.yaml", &POD.replace("web", "left")),
            ("shared/p.yaml", POLICY),
        ]);
        let (objects, problems) = folder.read(&[""], Some("default"));
        let expected = [
            "default/left",
            "default/other",
            "own/own",
            "prod/web",
            "NetworkPolicy/prod/p",
        ];
        assert_eq!(objects, expected);
        assert_eq!(problems.len(), 2, "{problems:?}");
        let applied = "of this only `namespace: prod` is applied, to objects of its `resources` that name none";
        let note = format!("kustomization.yaml:1: {NOTE}{applied}; all of it: `kubectl kustomize");
        assert!(problems[1].starts_with(&note), "{problems:?}");
        let none = format!("base/kustomization.yml:1: {NOTE}nothing of this is applied");
        assert!(problems[0].starts_with(&none), "{problems:?}");
    }
}

#[test]
fn what_several_kustomizations_claim_is_told_and_given_to_none() {
    let overlay = |namespace: &str| format!("namespace: {namespace}\nresources: [../base]\n");
    let folder = Folder::of(&[
        ("base/kustomization.yaml", "resources: [p.yaml, ../base]\n"),
        ("base/p.yaml", &format!("{POLICY}---\n{POD}")),
        ("dev/kustomization.yaml", &overlay("dev")),
        ("prod/kustomization.yaml", &overlay("prod")),
        ("wrong/kustomization.yaml", &overlay("Not_A_Name")),
    ]);
    let (objects, problems) = folder.read(&["base", "dev"], Some("default"));
    assert_eq!(objects, ["dev/web", "NetworkPolicy/dev/p"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    let (objects, problems) = folder.read(&[""], Some("other"));
    assert_eq!(objects, ["other/web", "NetworkPolicy/other/p"]);
    let doubts: Vec<_> = problems
        .iter()
        .filter(|told| !told.contains(NOTE))
        .collect();
    assert_eq!(doubts.len(), 2, "{problems:?}");
    assert!(
        doubts[0].starts_with("wrong/kustomization.yaml:1: namespace: "),
        "{doubts:?}"
    );
    assert_eq!(
        doubts[1],
        "base/p.yaml:1: metadata.namespace: several kustomizations give this file's objects a \
         namespace (dev, prod), and none is applied: read one of them"
    );
}

#[test]
fn the_namespace_of_objects_that_name_none_is_given() {
    let clusterwide = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: c}\nspec: {endpointSelector: {}, ingress: [{}]}\n";
    let empty = "{apiVersion: v1, kind: Pod, metadata: {name: empty, namespace: ''}}\n";
    let all = format!("{POD}---\n{empty}---\n{POLICY}---\n{clusterwide}");
    let folder = Folder::of(&[("a.yaml", &all)]);
    let (objects, problems) = folder.read(&[""], Some("shop"));
    assert_eq!(
        objects,
        [
            "shop/empty",
            "shop/web",
            "NetworkPolicy/shop/p",
            "CiliumClusterwideNetworkPolicy/c"
        ]
    );
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(folder.read(&[""], None).0[1], "default/web");
}

#[test]
fn files_of_a_chart_and_of_kustomize_are_no_objects_by_their_names() {
    let folder = Folder::of(&[
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: c\nversion: 1.0.0\n",
        ),
        ("chart/values.yaml", "kind: DaemonSet\nreplicas: 1\n"),
        (
            "chart/values-prod.yaml",
            &format!("replicas: 2\n---\n{POD}"),
        ),
        (
            "component/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
        ),
        ("values.yaml", "replicas: 1\n"),
    ]);
    let (objects, problems) = folder.read(&[""], Some("default"));
    assert_eq!(
        objects,
        ["default/web"],
        "an object is read wherever it stands"
    );
    let problems: Vec<_> = problems
        .iter()
        .filter(|told| !told.contains(NOTE))
        .collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("values.yaml:1: kind: is missing"),
        "no chart's: {problems:?}"
    );
    let unversioned = POLICY.replace("apiVersion: networking.k8s.io/v1\n", "");
    let hidden = Folder::of(&[("kustomization.yaml", &unversioned)]);
    let (objects, problems) = hidden.read(&[""], Some("default"));
    assert_eq!(objects, ["NetworkPolicy/default/p"], "its stand-in");
    assert!(problems[1].contains("apiVersion: must be"), "{problems:?}");
    // An agent is told of all that it does not enforce.
    let told = folder.read(&[""], None).1;
    assert_eq!(told.len(), 5, "{told:?}");
    let none =
        "component/kustomization.yaml:1: Weir does not run kustomize: nothing of this is applied";
    assert!(told[3].starts_with(none), "{told:?}");
}

#[test]
fn an_object_with_a_generated_name_has_a_name_to_be_told_by() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {generateName: job-, name: null}}\n";
    let named = "{apiVersion: v1, kind: Pod, metadata: {generateName: job-, name: job-x1}}\n";
    let elsewhere = pod.replace("name: null", "namespace: other");
    let policy = POLICY.replace("name: p", "generateName: p-");
    let all = [pod, pod, named, &elsewhere, &policy, &policy].join("---\n");
    let folder = Folder::of(&[("a.yaml", &all)]);
    let (objects, problems) = folder.read(&[""], Some("default"));
    let expected = [
        "default/job-generated",
        "default/job-generated-2",
        "default/job-x1",
        "other/job-generated",
        "NetworkPolicy/default/p-generated",
        "NetworkPolicy/default/p-generated-2",
    ];
    assert_eq!(objects, expected);
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn what_an_agent_reads_needs_a_name_and_is_told_why() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {generateName: job-}}\n";
    let policy = POLICY.replace("name: p", "generateName: p-");
    let folder = Folder::of(&[("a.yaml", pod), ("p.yaml", &policy)]);
    let (objects, problems) = folder.read(&[""], None);
    assert_eq!(objects.len(), 1, "the stand-in of the policy: {objects:?}");
    for (told, of) in problems
        .iter()
        .zip(["a.yaml:1: Pod/", "p.yaml:1: NetworkPolicy/"])
    {
        assert!(told.starts_with(of), "{told}");
        assert!(
            told.ends_with(
                "metadata.name: is missing: only an API server makes one of `generateName`, and an \
             object is known by its name when it changes; write a name"
            ),
            "{told}"
        );
    }
    assert_eq!(problems.len(), 2);
}
