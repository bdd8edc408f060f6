//! The labs' texts as scenarios, with real traffic, as `weir lab run` plays them.
//!
//! Needs root, and fails without it.

mod command;
mod typed;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_lab::Topology;
use weir_lab::scenario::{self, Options, Played, Telling};

/// Makes a test of each scenario for each topology.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod routed {
            $(#[test] fn $name() {
                super::play(stringify!($name), weir_lab::Topology::Routed);
            })*
        }
        mod bridge {
            $(#[test] fn $name() {
                super::play(stringify!($name), weir_lab::Topology::Bridge);
            })*
        }
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios!(nodes, s0, s1, s2, s3, s4);

fn play(name: &str, topology: Topology) {
    let loaded = scenario::load(name).unwrap_or_else(|error| panic!("{error:#}"));
    if !loaded.scenario.topologies.contains(&topology) {
        return; // it says so itself
    }
    let index = NAMES.iter().position(|known| *known == name);
    let number = index.unwrap_or(0) * 2 + usize::from(topology == Topology::Bridge);
    let options = Options {
        // The end-to-end tests take labs of such names down when their process is gone.
        lab: format!("t{}n{number}", std::process::id()),
        topology,
        keep: false,
        telling: Telling::Nothing,
        program: Some(env!("CARGO_BIN_EXE_weir").into()),
    };
    let outcome = scenario::run(loaded, &options);
    let outcome = outcome.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    assert!(outcome.checks > 10, "{name} checks nothing");
    assert_eq!(outcome.differences, 0, "{}", differences(&outcome));
}

fn differences(outcome: &Played) -> String {
    let mut text = String::new();
    for step in &outcome.steps {
        for done in step.commands.iter().filter(|done| !done.as_expected) {
            writeln!(text, "{}: {}\n{}", step.name, done.command, done.output).expect("a String");
        }
        for checked in &step.checks {
            for one in checked.tries.iter().filter(|one| !one.as_expected) {
                writeln!(
                    text,
                    "{}: {} {:?}: {}, expected {}\n{}",
                    step.name, checked.command, one.family, one.came, one.expected, one.output
                )
                .expect("a String");
            }
        }
    }
    text
}

/// The mistakes that the scenarios' notes explain by a lint are found by it.
#[test]
fn lints_explain_the_mistakes() {
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/scenarios");
    for (lint, files) in [
        (
            "W002 cross-namespace",
            &[
                "s1/utils.yaml",
                "s1/webapp-balanced.yaml",
                "s1/policies/allow-pods-utils.yaml",
            ][..],
        ),
        (
            "W002 cross-namespace",
            &[
                "s3/shop.yaml",
                "s3/policies/allow-order-ingress-fail-debug.yaml",
            ],
        ),
        (
            "W013 http-shadowed",
            &[
                "s4/sleep.yaml",
                "s4/httpbin.yaml",
                "s4/policies/allow-get-headers.yaml",
                "s4/policies/allow-ingress-to-httpbin.yaml",
            ],
        ),
    ] {
        let mut weir = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.arg("lint");
        for file in files {
            weir.args(["-f", &format!("{scenarios}/{file}")]);
        }
        let output = weir.output().expect("the weir binary");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(lint), "{files:?}: {output:?}");
    }
}

/// Every scenario is played, and every behaviour of the labs' texts has its place.
#[test]
fn nothing_is_left_out() {
    let built_in: Vec<&str> = scenario::list()
        .expect("the built-in scenarios")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(built_in, NAMES);
    let mut rows = BTreeSet::new();
    for name in NAMES {
        let scenario = scenario::load(name).expect("a built-in scenario").scenario;
        rows.extend(scenario.steps.into_iter().flat_map(|step| step.rows));
        rows.extend(scenario.elsewhere.into_iter().flat_map(|other| other.rows));
    }
    let missing: Vec<u32> = (1..=74).filter(|row| !rows.contains(row)).collect();
    assert!(missing.is_empty(), "rows without a place: {missing:?}");
}
