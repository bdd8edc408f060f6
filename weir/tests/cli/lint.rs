//! `weir lint`, over the workshop's policies.

use std::fs;

use crate::common::{LAB, Ran, repository, weir};

fn lint(rest: &str) -> Ran {
    weir(&format!(
        "lint -f {LAB}/sleep.yaml -f {LAB}/httpbin.yaml -f {LAB}/visitor.yaml {rest}"
    ))
}

fn found(policy: &str) -> Vec<String> {
    let findings = lint(&format!("-f {LAB}/policies/{policy}.yaml -o json")).json();
    let list = findings.as_array().expect("a list");
    list.iter()
        .map(|finding| {
            let line = finding["line"].as_u64().expect("a line");
            format!("{}:{line}", finding["id"].as_str().expect("an id"))
        })
        .collect()
}

#[test]
fn the_workshops_policies_have_the_mistakes_that_it_teaches() {
    let expected: &[(&str, &[&str])] = &[
        ("allow-dns-egress", &[]),
        ("allow-get-headers", &["W015:21", "W016:20"]),
        ("allow-ingress-from-sleep", &[]),
        // The pods of the visitors' namespace are not labelled as the workshop's are.
        ("allow-ingress-from-sleep-narrowed", &["W003:13"]),
        ("allow-ingress-to-httpbin", &[]),
        ("allow-ns-ingress", &[]),
        ("default-deny-ingress", &[]),
        ("deny-sleep-egress", &[]),
        ("deny-sleep-to-httpbin-egress", &["W009:11"]),
    ];
    for (policy, ids) in expected {
        assert_eq!(found(policy), *ids, "{policy}");
    }
    let all = lint(&format!("-f {LAB}/policies -o json")).json();
    let ids = all.to_string();
    assert!(!ids.contains("W009"), "another policy allows DNS");
    assert!(
        ids.contains("W013"),
        "another policy allows what HTTP rules would decide"
    );
}

#[test]
fn the_exit_code_says_whether_it_is_bad() {
    let warns = format!("-f {LAB}/policies/deny-sleep-to-httpbin-egress.yaml");
    assert_eq!(lint(&warns).code, 0);
    assert_eq!(lint(&format!("{warns} --fail-on warning")).code, 1);
    assert_eq!(lint(&format!("{warns} --fail-on never")).code, 0);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.yaml");
    fs::write(
        &file,
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\nspec:\n  podSelector: {}\n  ingres: []\n",
    )
    .expect("written");
    let bad = lint(&format!("-f {}", file.display()));
    assert_eq!(bad.code, 1);
    assert!(
        bad.out.contains("p.yaml:7  error  W001 refused"),
        "{}",
        bad.out
    );
    assert!(bad.out.contains("unknown field"), "{}", bad.out);
}

#[test]
fn sarif_names_rule_file_and_line() {
    let sarif = lint(&format!(
        "-f {LAB}/policies/allow-get-headers.yaml -o sarif"
    ))
    .json();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "W015");
    assert_eq!(result["level"], "note");
    let index = result["ruleIndex"].as_u64().expect("an index") as usize;
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "W015");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        place["artifactLocation"]["uri"],
        "lab/scenarios/s4/policies/allow-get-headers.yaml"
    );
    assert_eq!(place["region"]["startLine"], 21);
    for rule in run["tool"]["driver"]["rules"].as_array().expect("rules") {
        let help = rule["help"]["markdown"].as_str().expect("a help");
        let id = rule["id"].as_str().expect("an id");
        assert!(
            help.len() > 100 && help.contains(&format!("lint-ignore: {id}`")),
            "{id}: {help}"
        );
        assert!(!rule["help"]["text"].to_string().contains("```"), "{id}");
    }
}

#[test]
fn a_finding_is_known_again_when_lines_move() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.yaml");
    let policy =
        fs::read_to_string(repository().join(format!("{LAB}/policies/allow-get-headers.yaml")))
            .expect("the policy");
    let known = |before: &str| {
        fs::write(&file, format!("{before}{policy}")).expect("written");
        let sarif = weir(&format!("lint -f {} -o sarif", file.display())).json();
        let results = sarif["runs"][0]["results"].as_array().expect("a list");
        let of = |result: &serde_json::Value| {
            let line = result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64();
            let print = result["partialFingerprints"]["weirFinding/v1"].to_string();
            (print, line.expect("a line"))
        };
        results.iter().map(of).collect::<Vec<_>>()
    };
    let (once, later) = (known(""), known("# moved\n# twice\n"));
    assert!(once.len() >= 2 && once[0].0 != once[1].0, "{once:?}");
    let moved: Vec<_> = later
        .into_iter()
        .map(|(print, at)| (print, at - 2))
        .collect();
    assert_eq!(moved, once);
}

#[test]
fn a_lint_is_explained_by_id_and_by_name() {
    for named in ["W013", "w013", "http-shadowed"] {
        let ran = weir(&format!("lint --explain {named}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("W013 http-shadowed"), "{}", ran.out);
        assert!(ran.out.contains("Rules add up"), "{}", ran.out);
    }
    let none = weir("lint --explain W999");
    assert_eq!(none.code, 1);
    assert!(
        none.err.contains("there is no lint \"W999\""),
        "{}",
        none.err
    );
}

#[test]
fn what_is_nested_without_end_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.yaml");
    for open in ["[", "{a: ", "- ", "? "] {
        fs::write(&file, format!("kind: Pod\n---\n{}", open.repeat(100_000))).expect("written");
        let ran = weir(&format!("lint -f {}", file.display()));
        assert_eq!(ran.code, 1);
        let told = "p.yaml:3: is not YAML: is nested too deeply: at most 64";
        assert!(ran.err.contains(told), "{open}: {}", ran.err);
    }
}

/// A CronJob and a service, with the address in `clusterIP`; the policy is about both.
fn nightly(address: &str) -> String {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\nspec:\n  \
                  podSelector:\n    matchLabels: {app: nightly}\n  policyTypes: [Egress]\n  egress:\n  \
                  - to:\n    - ipBlock: {cidr: 10.96.0.1/32}\n    - namespaceSelector: {}\n";
    format!(
        "{policy}---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: nightly}}\nspec:\n  \
         jobTemplate: {{spec: {{template: {{metadata: {{labels: {{app: nightly}}}}}}}}}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  \
         {address}\n  selector: {{app: nightly}}\n  ports: [{{port: 80}}]\n"
    )
}

#[test]
fn a_cronjob_is_a_workload_and_a_made_up_address_is_no_services() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.yaml");
    for (address, expected) in [
        ("clusterIP: 10.96.0.1", vec!["W024"]),
        ("type: ClusterIP", vec![]),
    ] {
        fs::write(&file, nightly(address)).expect("written");
        let found = weir(&format!("lint -f {} -o json", file.display())).json();
        let list = found.as_array().expect("a list");
        let ids: Vec<_> = list
            .iter()
            .map(|f| f["id"].as_str().expect("an id"))
            .collect();
        assert_eq!(ids, expected, "{found}");
    }
}
