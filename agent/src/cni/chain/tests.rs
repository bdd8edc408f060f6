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
        let config = read(&self.chain.configs.join(name)).unwrap();
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
        &json!({"cniVersion": "0.2.0", "name": "n", "plugins": []}),
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

#[test]
fn json_that_is_no_configuration_is_left_alone() {
    let node = Node::new();
    for (name, odd) in [
        ("00-list.conflist", json!([])),
        ("01-text.conf", json!("x")),
    ] {
        node.write(name, &odd);
    }
    node.chain.remove().unwrap();
    let said = node.chain.insert().unwrap_err().to_string();
    assert!(said.contains("00-list.conflist: neither"), "{said}");
}
