//! Policy objects from YAML: whatever the text, a policy is understood or closed, never opened.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use weir_cluster::yaml::{documents, place_of};
use weir_policy::{
    model::{Action, L7, Policy, PolicyKind, Problem, Rule},
    objects::{closed, kind_of, parse, pattern},
};

const KINDS: [PolicyKind; 4] = [
    PolicyKind::NetworkPolicy,
    PolicyKind::CiliumNetworkPolicy,
    PolicyKind::CiliumClusterwideNetworkPolicy,
    PolicyKind::ClusterNetworkPolicy,
];

fuzz_target!(|text: &str| -> Corpus {
    // No such file: the line of a field is then that of its document.
    let Ok(documents) = documents(text, Path::new("/nonexistent/f.yaml")) else {
        return Corpus::Keep;
    };
    for document in documents {
        let meant = kind_of(&document.value);
        for kind in KINDS {
            let problems = check(kind, &document.value);
            for problem in problems.iter().filter(|_| meant == Some(kind)) {
                assert!(
                    place_of(&document, &problem.field).is_some(),
                    "{}: {problem} has no place",
                    document.place
                );
            }
        }
    }
    Corpus::Keep
});

fn check(kind: PolicyKind, value: &Value) -> Vec<Problem> {
    allows_nothing(&closed(kind, value));
    let parsed = parse(kind, value);
    assert_eq!(parsed, parse(kind, value), "not the same twice");
    let problems = match parsed {
        Ok(parsed) => {
            keeps_its_invariants(&parsed.policy);
            parsed.problems
        }
        Err(refused) => {
            assert!(!refused.problems.is_empty(), "refused without a word");
            keeps_its_invariants(&refused.stand_in);
            allows_only_good_parts(&refused.stand_in, value);
            refused.problems
        }
    };
    for problem in &problems {
        let line = problem.to_string();
        assert!(
            !line.chars().any(char::is_control),
            "a problem that breaks its log line: {line:?}"
        );
    }
    problems
}

/// A stand-in keeps the parts that are understood, and closes the others.
fn allows_only_good_parts(policy: &Policy, value: &Value) {
    for rule in rules(policy).filter(|rule| rule.action == Action::Allow) {
        let part = rule.place.split('.').next().unwrap_or_default();
        let index = part
            .strip_prefix("specs[")
            .and_then(|i| i.strip_suffix(']'));
        let part = match index {
            Some(index) => &value["specs"][index.parse::<usize>().expect("an index")],
            None => &value["spec"],
        };
        let mut alone = value.clone();
        if let Some(object) = alone.as_object_mut() {
            object.remove("specs");
            object.insert("spec".to_owned(), part.clone());
        }
        if let Err(refused) = parse(policy.object.kind, &alone) {
            panic!("{rule:?} of a part that is refused: {refused}");
        }
    }
}

/// The stand-in of a whole object.
fn allows_nothing(policy: &Policy) {
    keeps_its_invariants(policy);
    for spec in &policy.specs {
        let sections = [&spec.ingress, &spec.egress];
        assert!(
            sections
                .iter()
                .any(|section| section.isolates || !section.rules.is_empty()),
            "a stand-in that closes nothing: {policy:?}"
        );
        for section in sections {
            assert!(
                section.rules.iter().all(|rule| rule.action == Action::Deny),
                "a stand-in allows: {policy:?}"
            );
        }
    }
}

fn rules(policy: &Policy) -> impl Iterator<Item = &Rule> {
    let sections = policy.specs.iter().flat_map(|s| [&s.ingress, &s.egress]);
    sections.flat_map(|section| &section.rules)
}

fn keeps_its_invariants(policy: &Policy) {
    for rule in rules(policy) {
        assert!(
            rule.action == Action::Allow || rule.l7.is_none(),
            "a deny rule that looks into flows: {rule:?}"
        );
        let Some(L7::Http(requests)) = &rule.l7 else {
            continue;
        };
        for request in requests {
            for text in [&request.method, &request.path, &request.host]
                .into_iter()
                .flatten()
            {
                assert!(pattern::compile(text).is_ok(), "{text:?} does not compile");
            }
        }
    }
}
