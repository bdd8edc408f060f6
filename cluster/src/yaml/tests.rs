//! Texts in, documents out; and texts that only want to be read for ever.

use std::{sync::mpsc, thread, time::Duration};

use serde_json::json;

use super::*;

fn read(text: &str) -> Vec<(Value, String)> {
    documents(text, Path::new("f.yaml"))
        .expect("yaml")
        .into_iter()
        .map(|document| (document.value, document.place))
        .collect()
}

#[test]
fn documents_know_their_line() {
    let text = "# hello\n---\na: 1\n---\n# empty\n---\n\n# comment\nb: |\n  --- no marker\n  x\n--- {c: 3}\n...\n";
    assert_eq!(
        read(text),
        [
            (json!({"a": 1}), "f.yaml:3".to_owned()),
            (json!({"b": "--- no marker\nx\n"}), "f.yaml:9".to_owned()),
            (json!({"c": 3}), "f.yaml:12".to_owned()),
        ]
    );
    assert_eq!(read("%YAML 1.2\n---\na: 1\n")[0].1, "f.yaml:3");
    assert_eq!(read(""), []);
    assert_eq!(read("---\n---\n"), []);
}

#[test]
fn json_is_taken_too() {
    assert_eq!(
        read("{\n\t\"a\": [1, \"x\"]\n}")[0].0,
        json!({"a": [1, "x"]})
    );
}

#[test]
fn lists_are_taken_apart() {
    let text = "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a}\n- {kind: Other}\n---\nkind: List\nitems: [{kind: X}]\n";
    assert_eq!(
        read(text),
        [
            (
                json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}),
                "f.yaml:1 (item 1)".to_owned()
            ),
            (
                json!({"kind": "Other", "apiVersion": "v1"}),
                "f.yaml:1 (item 2)".to_owned()
            ),
            (json!({"kind": "X"}), "f.yaml:7 (item 1)".to_owned()),
        ]
    );
    assert_eq!(read("kind: List\nitems: null\n"), []);
}

#[test]
fn a_broken_file_says_where() {
    let error = |text: &str| documents(text, Path::new("d/f.yaml")).unwrap_err();
    let broken = error("a: 1\n---\nb:\n  - x\n c: [\n");
    assert_eq!(
        (broken.line, broken.file.as_path()),
        (5, Path::new("d/f.yaml"))
    );
    assert!(broken.to_string().starts_with("d/f.yaml:5: "), "{broken}");
    let twice = error("spec:\n  ingress: []\n  ingress: [{}]\n");
    assert!(twice.reason.contains("duplicate entry"), "{twice}");
}

#[test]
fn brackets_may_close_left_of_their_key_as_kubectl_takes_it() {
    assert_eq!(
        read("a:\n  args: [\n    x\n]\n")[0].0,
        json!({"a": {"args": ["x"]}})
    );
}

#[test]
fn aliases_are_values() {
    assert_eq!(
        read(
            "a: &a {b: 1}\nc: [*a, *a]\n*a : 1\n"
                .replace("*a : 1\n", "")
                .as_str()
        )[0]
        .0,
        json!({"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]})
    );
}

/// The error of a text; fails where it is not there within a minute.
fn refused(text: String) -> YamlError {
    let (tell, told) = mpsc::channel();
    let head: String = text.chars().take(20).collect();
    thread::spawn(move || tell.send(documents(&text, Path::new("f.yaml"))));
    match told.recv_timeout(Duration::from_secs(60)) {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => panic!("{head}: taken"),
        Err(_) => panic!("{head}: still being read"),
    }
}

#[test]
fn a_text_that_is_nested_too_deeply_is_refused_before_it_costs_anything() {
    const DEEP: usize = 100_000;
    for (open, close) in [
        ("[", ""),
        ("[", "]"),
        ("[\n", "]"),
        ("{a: ", ""),
        ("{a: ", "}"),
        ("{\"a\":", "1}"),
        ("- ", ""),
        ("? ", ""),
        ("- ? ", ""),
        ("{? ", ""),
        ("&a [", "]"),
    ] {
        for before in ["", "a: 1\nb: ", "\t", "]\n---\n", "a:\n  b: [\n]\n---\n"] {
            let deep = format!("{before}{}{}", open.repeat(DEEP), close.repeat(DEEP));
            refused(deep);
        }
        let deep = format!("{}x{}", open.repeat(80), close.repeat(80));
        let error = refused(format!("a: 1\n---\n{deep}"));
        if open != "&a [" && !close.is_empty() {
            assert!(error.reason.contains("nested too deeply"), "{error}");
            assert_eq!(error.line, if open == "[\n" { 67 } else { 3 }, "{error}");
        }
    }
    let indented: String = (0..600).map(|depth| " ".repeat(depth) + "a:\n").collect();
    assert_eq!(refused(indented).line, 65);
    let most = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    assert_eq!(read(&most).len(), 1);
}

#[test]
fn aliases_that_copy_without_end_are_refused() {
    let list = |item: &str, times: usize| vec![item; times].join(", ");
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..50 {
        let inner = list(&format!("*a{}", level - 1), 9);
        laughs += &format!("a{level}: &a{level} [{inner}]\n");
    }
    let wide = format!(
        "a: &a [{}]\nb: [{}]\n",
        list("x", 20_000),
        list("*a", 20_000)
    );
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(90_000),
        list("*a", 30_000)
    );
    let small = format!("---\na: &a [{}]\nb: [{}]\n", list("x", 50), list("*a", 50));
    for text in [laughs, wide, long, small.repeat(3_000)] {
        let error = refused(text);
        assert!(error.reason.contains("copy more"), "{error}");
    }
    let own = refused("a: &a [*a]\n".to_owned());
    assert!(own.reason.contains("inside what it names"), "{own}");
}

#[test]
fn merge_keys_take_over_what_the_map_does_not_say() {
    for (text, expected) in [
        (
            "a: &a {x: 1, y: {z: 2}}\nb: {x: 3, <<: *a}\n",
            json!({"x": 3, "y": {"z": 2}}),
        ),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  x: 3\n", json!({"x": 3})),
        (
            "a: [&a {x: 1}, &b {x: 2, y: 2}]\nb: {<<: [*a, *b]}\n",
            json!({"x": 1, "y": 2}),
        ),
        ("b: {<<: {x: 1}, y: 2}\n", json!({"x": 1, "y": 2})),
        ("b: {!!merge <<: {x: 1}}\n", json!({"x": 1})),
        // A merge of what is merged itself.
        (
            "a: &a {x: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c}\n",
            json!({"x": 1, "y": 2}),
        ),
        ("b: {\"<<\": {x: 1}}\n", json!({"<<": {"x": 1}})),
    ] {
        assert_eq!(read(text)[0].0["b"], expected, "{text}");
    }
}

#[test]
fn a_merge_that_cannot_be_is_refused_with_its_line() {
    for merged in ["x", "7", "[x]"] {
        let text = format!("kind: Pod\nspec:\n  list:\n  - <<: {merged}\n    a: 1\n");
        assert_eq!(
            refused(text).to_string(),
            "f.yaml:4: `<<` merges a map (`<<: *name`) or a list of maps (`<<: [*a, *b]`)"
        );
    }
    // Of two merges the first wins, as in a list of them.
    let twice = read("a: &a {x: 1}\nc: &c {x: 2, y: 2}\nb:\n  <<: *a\n  <<: *c\n");
    assert_eq!(twice[0].0["b"], json!({"x": 1, "y": 2}));
}

#[test]
fn what_objects_do_not_have_is_refused() {
    for (text, what) in [
        ("a: !x 1\n", "unsupported tag"),
        ("a: !x {b: 1}\n", "unsupported tag"),
        ("a: !!int x\n", "invalid"),
        ("? [a]\n: 1\n", "string"),
        ("null: 1\n", "null"),
        ("a: 1\n...\nb: 2\n", "multiple"),
        ("a: *nobody\n", "anchor"),
    ] {
        let error = refused(text.to_owned());
        assert!(error.reason.contains(what), "{text}: {error}");
    }
}

#[test]
fn scalars_are_those_of_the_core_schema() {
    for (text, value) in [
        ("", json!(null)),
        ("~", json!(null)),
        ("True", json!(true)),
        ("FALSE", json!(false)),
        ("80", json!(80)),
        ("+1", json!(1)),
        ("-5", json!(-5)),
        ("0x1F", json!(31)),
        ("-0x1F", json!(-31)),
        ("0o17", json!(15)),
        ("0b101", json!(5)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1.50", json!(1.5)),
        ("1e3", json!(1000.0)),
        (".5", json!(0.5)),
        ("-.inf", json!(null)),
        (".nan", json!(null)),
        ("!!str 80", json!("80")),
    ] {
        assert_eq!(read(&format!("a: {text}\n"))[0].0["a"], value, "{text}");
    }
    for text in [
        "yes",
        "on",
        "tRue",
        "007",
        "-08",
        "1_000",
        "0x",
        "0x-1",
        "+-1",
        "inf",
        "nan",
        "infinity",
        "1.2.3",
        "10.0.0.0/8",
        "1 2",
        "12:30:45",
    ] {
        assert_eq!(
            read(&format!("a: {text}\n"))[0].0["a"],
            json!(text),
            "{text}"
        );
    }
}

#[test]
fn merges_are_held_to_the_bounds_of_aliases() {
    let list = |item: &str, times: usize| vec![item; times].join(", ");
    let keys: Vec<String> = (0..2_000).map(|n| format!("k{n}: x")).collect();
    let wide = format!(
        "a: &a {{{}}}\nb: {{<<: [{}]}}\n",
        keys.join(", "),
        list("*a", 2_000)
    );
    let error = refused(wide);
    assert!(error.reason.contains("copy more"), "{error}");
    for step in ["[*aN]", "{x: *aN}", "{<<: {x: *aN}}"] {
        let mut nested = "a0: &a0 [x]\n".to_owned();
        for level in 1..70 {
            let inner = step.replace("*aN", &format!("*a{}", level - 1));
            nested += &format!("a{level}: &a{level} {inner}\n");
        }
        let error = refused(nested);
        assert!(
            error.reason.contains("nested too deeply"),
            "{step}: {error}"
        );
    }
}
