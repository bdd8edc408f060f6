//! The page of the threat model and the tests that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/threat-model.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the page links as ``[`test`](file)``: the test and its file, seen from the root.
fn named() -> BTreeSet<(String, String)> {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let links = page.split("[`").skip(1);
    links
        .filter_map(|rest| {
            let (name, rest) = rest.split_once("`](../")?;
            let (file, _) = rest.split_once(')')?;
            (file.ends_with(".rs") && !name.contains('`'))
                .then(|| (file.to_owned(), name.to_owned()))
        })
        .collect()
}

#[test]
fn every_test_of_the_page_exists() {
    let named = named();
    assert!(named.len() > 30, "the page names {} tests", named.len());
    for (file, name) in named {
        let text = fs::read_to_string(root().join(&file));
        let text = text.unwrap_or_else(|error| panic!("{PAGE}: {file}: {error}"));
        let made = [format!("fn {name}("), format!("fn {name}<")];
        let there = made.iter().any(|made| text.contains(made));
        assert!(there, "{PAGE}: {file} has no {name}");
    }
}

/// And each test of this suite stands on the page.
#[test]
fn every_test_of_the_suite_is_on_the_page() {
    let named = named();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adversary");
    for entry in fs::read_dir(folder).expect("the suite").flatten() {
        let path = entry.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !path.is_file() || !file.ends_with(".rs") || file == "page.rs" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file of the suite");
        for test in tests_of(&text) {
            let place = (format!("weir/tests/adversary/{file}"), test.clone());
            assert!(
                named.contains(&place),
                "{PAGE} does not name {file}: {test}"
            );
        }
    }
}

/// The names in `in_both_topologies!(...)` and those of functions with `#[test]`.
fn tests_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((_, rest)) = text.split_once("in_both_topologies!(") {
        let (list, _) = rest.split_once(");").expect("the end of the list");
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        found.extend(names.map(str::to_owned));
    }
    for rest in text.split("#[test]\nfn ").skip(1) {
        let (name, _) = rest.split_once('(').expect("a function");
        found.push(name.to_owned());
    }
    found
}
