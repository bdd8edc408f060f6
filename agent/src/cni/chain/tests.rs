use super::*;

struct Node {
    _folder: tempfile::TempDir,
    chain: Chain,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let chain = Chain {
            programs: at("bin"),
            configs: at("net.d"),
            socket: "/run/weir/weir/agent.sock".into(),
            open_without_agent: false,
        };
        Self {
            _folder: folder,
            chain,
        }
    }

    fn write(&self, name: &str, config: &Value) {
        fs::write(self.chain.configs.join(name), config.to_string()).unwrap();
    }

    fn types(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.chain.configs.join(name)).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let plugins = config["plugins"].as_array().unwrap().iter();
        plugins
            .map(|plugin| plugin["type"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn list(plugin: &str) -> Value {
    json!({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": plugin}]})
}

#[test]
fn what_its_owner_writes_meanwhile_is_not_written_over() {
    let node = Node::new();
    node.write("10-net.conflist", &list("ptp"));
    let plan = node.chain.plan().unwrap().unwrap();
    node.write("10-net.conflist", &list("bridge"));
    assert_eq!(node.chain.carry_out(plan).unwrap(), None);
    assert_eq!(node.types("10-net.conflist"), ["bridge"]);
    node.chain.insert().unwrap();
    assert_eq!(node.types("10-net.conflist"), ["bridge", NAME]);
}

#[test]
fn the_plugin_is_the_last_of_the_first_list() {
    let node = Node::new();
    assert_eq!(node.chain.insert().unwrap(), Insertion::Nothing);
    node.write("20-other.conflist", &list("other"));
    node.write("10-net.conflist", &list("ptp"));
    node.write("05-not.txt", &json!({}));
    let inserted = Insertion::Inserted(node.chain.configs.join("10-net.conflist"));
    assert_eq!(node.chain.insert().unwrap(), inserted);
    assert_eq!(node.types("10-net.conflist"), ["ptp", NAME]);
    assert_eq!(node.types("20-other.conflist"), ["other"]);
    assert_eq!(node.chain.insert().unwrap(), Insertion::Kept);
    // Rewritten by its owner.
    node.write("10-net.conflist", &list("bridge"));
    assert_eq!(node.chain.insert().unwrap(), inserted);
    assert_eq!(node.types("10-net.conflist"), ["bridge", NAME]);
    node.chain.install().unwrap();
    assert!(node.chain.programs.join(NAME).exists());
    node.chain.remove().unwrap();
    assert_eq!(node.types("10-net.conflist"), ["bridge"]);
    assert!(!node.chain.programs.join(NAME).exists());
}

#[test]
fn a_single_plugin_gets_a_list_that_follows_it() {
    let node = Node::new();
    node.write(
        "10-net.conf",
        &json!({"cniVersion": "0.3.1", "name": "net", "type": "ptp"}),
    );
    node.chain.insert().unwrap();
    assert_eq!(node.types(OURS), ["ptp", NAME]);
    node.write(
        "10-net.conf",
        &json!({"cniVersion": "0.3.1", "name": "net", "type": "bridge"}),
    );
    node.chain.insert().unwrap();
    assert_eq!(node.types(OURS), ["bridge", NAME]);
    // A real list that comes before it takes over.
    node.write("01-net.conflist", &list("calico"));
    node.chain.insert().unwrap();
    assert!(!node.chain.configs.join(OURS).exists());
    assert_eq!(node.types("01-net.conflist"), ["calico", NAME]);
}

#[test]
fn what_cannot_be_used_is_said_and_left_alone() {
    let node = Node::new();
    fs::write(node.chain.configs.join("01-broken.conflist"), "{").unwrap();
    node.write(
        "10-old.conflist",
        &json!({"cniVersion": "0.2.0", "name": "n", "plugins": [{"type": "ptp"}]}),
    );
    let said = format!("{:#}", node.chain.insert().unwrap_err());
    assert!(
        said.contains("10-old.conflist") && said.contains("0.2.0"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(node.chain.configs.join("01-broken.conflist")).unwrap(),
        "{"
    );
    let nowhere = Chain {
        configs: node.chain.configs.join("missing"),
        ..node.chain.clone()
    };
    assert!(format!("{:#}", nowhere.insert().unwrap_err()).contains("missing"));
}

/// What no runtime uses neither becomes a list of ours alone nor hides what one does.
#[test]
fn what_is_no_configuration_is_passed_over() {
    let node = Node::new();
    let odd = [
        ("00-list.conflist", json!([])),
        ("01-text.conf", json!("x")),
        ("02-null.conflist", json!(null)),
        ("03-empty.conflist", json!({})),
        (
            "04-none.conflist",
            json!({"cniVersion": "1.0.0", "name": "n", "plugins": []}),
        ),
        (
            "05-untyped.conflist",
            json!({"cniVersion": "1.0.0", "name": "n", "plugins": [{}]}),
        ),
        (
            "06-odd.conflist",
            json!({"cniVersion": "1.0.0", "name": "n", "plugins": "ptp"}),
        ),
        (
            "07-unnamed.conflist",
            json!({"cniVersion": "1.0.0", "plugins": [{"type": "ptp"}]}),
        ),
        (
            "08-single.conflist",
            json!({"cniVersion": "1.0.0", "name": "n", "type": "ptp"}),
        ),
        ("09-list.conf", list("ptp")),
        ("10-ours.conflist", list(NAME)),
    ];
    for (name, config) in &odd {
        node.write(name, config);
    }
    fs::create_dir(node.chain.configs.join("11-folder.conflist")).unwrap();
    let fifo = node.chain.configs.join("12-fifo.conflist");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(node.chain.insert().unwrap(), Insertion::Nothing);
    node.write("50-net.conflist", &list("bridge"));
    node.chain.insert().unwrap();
    assert_eq!(node.types("50-net.conflist"), ["bridge", NAME]);
    for (name, config) in &odd {
        let text = fs::read_to_string(node.chain.configs.join(name)).unwrap();
        assert_eq!(text, config.to_string(), "{name}");
    }
    assert!(!node.chain.configs.join(OURS).exists());
    node.chain.remove().unwrap();
    assert_eq!(node.types("50-net.conflist"), ["bridge"]);
}

#[test]
fn numbers_keep_their_digits() {
    const LARGE: &str = "123456789012345678901234567890.10";
    let node = Node::new();
    let config = |name: &str| fs::read_to_string(node.chain.configs.join(name)).unwrap();
    let write = |name: &str, text: String| fs::write(node.chain.configs.join(name), text).unwrap();
    let plugin = format!(r#"{{"type": "ptp", "mtu": {LARGE}}}"#);
    let head = r#""cniVersion": "1.0.0", "name": "n""#;
    write(
        "10-net.conflist",
        format!(r#"{{{head}, "x": {LARGE}, "plugins": [{plugin}]}}"#),
    );
    node.chain.insert().unwrap();
    assert_eq!(node.types("10-net.conflist"), ["ptp", NAME]);
    assert_eq!(config("10-net.conflist").matches(LARGE).count(), 2);
    assert_eq!(node.chain.insert().unwrap(), Insertion::Kept);
    fs::remove_file(node.chain.configs.join("10-net.conflist")).unwrap();
    write(
        "10-net.conf",
        format!(r#"{{{head}, "type": "ptp", "mtu": {LARGE}}}"#),
    );
    node.chain.insert().unwrap();
    assert_eq!(node.types(OURS), ["ptp", NAME]);
    assert_eq!(config(OURS).matches(LARGE).count(), 1);
}

#[test]
fn a_planted_link_is_not_followed() {
    let node = Node::new();
    let theirs = node.chain.programs.join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    node.write("10-net.conflist", &list("ptp"));
    // Under the names that were written to before, and at the places themselves.
    for at in [
        node.chain.configs.join("10-net.weir-partial"),
        node.chain.programs.join("weir-cni.weir-partial"),
        node.chain.programs.join(NAME),
    ] {
        std::os::unix::fs::symlink(&theirs, at).unwrap();
    }
    node.chain.install().unwrap();
    node.chain.insert().unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(node.types("10-net.conflist"), ["ptp", NAME]);
    let program = node.chain.programs.join(NAME);
    assert!(fs::symlink_metadata(program).unwrap().is_file());
}

/// Writers that race: whatever comes last is whole, with what its owner wrote last.
#[test]
fn a_file_that_others_write_all_the_time_stays_whole() {
    let node = Node::new();
    node.write("10-net.conflist", &list("ptp"));
    let path = node.chain.configs.join("10-net.conflist");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..300 {
                let of = if turn % 2 == 0 { "bridge" } else { "ptp" };
                let config = serde_json::to_vec(&list(of)).unwrap();
                replace(&path, &config, 0o600).unwrap();
            }
        });
        for _ in 0..100 {
            // It gives up for the moment where its owner never rests.
            node.chain.insert().ok();
            let text = fs::read_to_string(&path).unwrap();
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
    });
    node.chain.insert().unwrap();
    assert_eq!(node.types("10-net.conflist"), ["ptp", NAME]);
}
