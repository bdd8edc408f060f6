//! `deploy/` against what the binary asks for.

use std::{collections::BTreeSet, fs};

use serde::Deserialize as _;
use serde_json::Value;
use weir_cluster::kubernetes::RESOURCES;

use crate::common::{repository, weir};

fn documents(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .collect()
}

fn file(path: &str) -> Vec<Value> {
    documents(&fs::read_to_string(repository().join(path)).expect(path))
}

#[test]
fn the_definitions_are_those_of_this_binary() {
    let printed = weir("crds");
    assert_eq!(printed.code, 0, "{}", printed.err);
    let printed = documents(&printed.out);
    assert_eq!(printed.len(), 3);
    for definition in printed {
        let plural = definition["spec"]["names"]["plural"].as_str();
        let path = format!("deploy/crds/{}.yaml", plural.expect("a plural"));
        assert_eq!(
            file(&path),
            [definition],
            "{path}: run weir crds --output deploy/crds"
        );
    }
}

#[test]
fn the_schemas_for_editors_are_those_of_this_binary() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = weir(&format!(
        "crds --json-schema --output {}",
        folder.path().display()
    ));
    assert_eq!(printed.code, 0, "{}", printed.err);
    let kinds = [
        "ciliumcidrgroup",
        "ciliumnetworkpolicy",
        "ciliumclusterwidenetworkpolicy",
    ];
    for kind in kinds {
        let path = format!("cilium.io/{kind}_v2.json");
        let made = fs::read_to_string(folder.path().join(&path)).expect("a schema");
        let kept = fs::read_to_string(repository().join("deploy/schemas").join(&path));
        assert!(
            kept.is_ok_and(|kept| kept == made),
            "deploy/schemas/{path}: run weir crds --json-schema --output deploy/schemas"
        );
    }
}

/// The agent may read what it watches, and nothing else.
#[test]
fn the_role_has_the_kinds_that_are_watched() {
    let role = file("deploy/base/weir.yaml")
        .into_iter()
        .find(|object| object["kind"] == "ClusterRole")
        .expect("a ClusterRole");
    let words = |rule: &Value, list: &str| -> Vec<String> {
        let list = rule[list].as_array().expect("a list");
        let word = |value: &Value| value.as_str().expect("a word").to_owned();
        list.iter().map(word).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        let verbs = words(rule, "verbs");
        let writes = verbs
            .iter()
            .any(|verb| !["get", "list", "watch"].contains(&verb.as_str()));
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                if writes {
                    let allowed = [
                        ("cilium.io", "ciliumnetworkpolicies/status"),
                        ("cilium.io", "ciliumclusterwidenetworkpolicies/status"),
                        ("events.k8s.io", "events"),
                    ];
                    let pair = (group.as_str(), resource.as_str());
                    assert!(allowed.contains(&pair), "{pair:?} may be written");
                } else {
                    granted.insert((group.clone(), resource));
                }
            }
        }
    }
    let watched: BTreeSet<_> = RESOURCES
        .iter()
        .map(|kind| (kind.group.to_owned(), kind.plural.to_owned()))
        .collect();
    assert_eq!(granted, watched);
}
