use super::*;

const RIGHT: &str = "
title: A title
manifests: pods.yaml
steps:
- name: first
  rows: [1, 2]
  do: apply -f x.yaml
  check:
  - { from: a, run: curl b, expect: HTTP 403, says: [x, y] }
  - { log: agent, says: x }
";

fn error(text: &str) -> String {
    read(text, "x/scenario.yaml").unwrap_err().to_string()
}

#[test]
fn reads_what_is_right() {
    let scenario = read(RIGHT, "x").unwrap();
    assert_eq!(scenario.manifests, ["pods.yaml"]);
    assert_eq!(scenario.families.len(), 2);
    let step = &scenario.steps[0];
    assert_eq!(step.commands, ["apply -f x.yaml"]);
    assert_eq!(step.check[0].expect, Some(Expect::Http(403)));
    assert_eq!(step.check[0].says, ["x", "y"]);
}

#[test]
fn mistakes_are_named_with_file_and_field() {
    let wrong = error(&RIGHT.replace("rows:", "row:"));
    assert!(
        wrong.starts_with("x/scenario.yaml: steps[0].row: unknown field `row`"),
        "{wrong}"
    );
    let wrong = error(&RIGHT.replace("HTTP 403", "HTTP"));
    assert!(
        wrong.starts_with("x/scenario.yaml: steps[0].check[0].expect: \"HTTP\" is none of"),
        "{wrong}"
    );
    let wrong = error(&RIGHT.replace("from: a, ", ""));
    assert_eq!(
        wrong,
        "x/scenario.yaml: steps[0].check[0]: one of `from`, `pod` and `log` is needed"
    );
    let wrong = error(&RIGHT.replace("do: apply -f x.yaml", "says: x"));
    assert_eq!(
        wrong,
        "x/scenario.yaml: steps[0].says: there is no `do` to say it"
    );
}
