//! What an operator sees: conditions, events, and the commands.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{
    node::{Node, on_node, serve, wait_for},
    objects::{agents_pod, get_headers, namespace, node, pod},
    runtime::{Sandbox, configure, plugins},
};

/// `weir` about the node's instance.
fn weir(node: &Node, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(words)
        .args(["--name", &node.name])
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn valid(node: &Node, policy: &str, status: &str) -> Value {
    wait_for(&format!("{policy} is valid: {status}"), || {
        let object = node.server.get("CiliumNetworkPolicy", "default", policy)?;
        let condition = object["status"]["conditions"][0].clone();
        let present = condition["observedGeneration"] == object["metadata"]["generation"];
        (condition["status"] == status && present).then_some(object)
    })
}

#[test]
fn policies_tell_whether_they_are_in_force() {
    on_node(async |node_| {
        configure(node_, "ptp");
        // No agent is meant for the second node.
        let mut other = node();
        other["metadata"]["name"] = "node-b".into();
        for object in [namespace(), node(), other, agents_pod(), get_headers()] {
            node_.server.put(object);
        }
        node_.options = &["--pod-name", "weir-1", "--pod-namespace", "weir-system"];
        // What an agent of an older version left is gone once this one is in charge.
        let older = std::path::PathBuf::from(format!("/sys/fs/bpf/weir/{}/v1/links", node_.name));
        std::fs::create_dir_all(&older).expect("bpffs");
        node_.start_agent();
        assert!(!older.parent().unwrap().exists());
        let object = valid(node_, "get-headers", "True");
        assert_eq!(object["status"]["weir"]["enforced"], "1/1", "{object}");
        let config = node_.path("kubeconfig");
        let wait = |policy: &str| {
            Command::new(env!("CARGO_BIN_EXE_weir"))
                .args(["policy", "wait", policy, "--timeout", "30", "--kubeconfig"])
                .arg(&config)
                .output()
                .unwrap()
        };
        // As in the agent's container.
        node_.server.faults(|faults| faults.no_get = true);
        let waited = wait("nothing");
        let sentence = "there is no CiliumNetworkPolicy nothing";
        assert!(said(&waited).contains(sentence), "{waited:?}");
        let waited = wait("get-headers");
        assert!(
            said(&waited).contains("generation 1 is in force on 1 node\n"),
            "{waited:?}"
        );
        // Broken: the good version stays, and everybody is told.
        let mut broken = get_headers();
        broken["spec"]["ingress"][0]["toPorts"][0]["ports"][0]["port"] = "99999".into();
        node_.server.put(broken);
        let object = valid(node_, "get-headers", "False");
        let message = object["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap();
        assert!(
            message.contains("spec.ingress[0].toPorts[0].ports[0].port"),
            "{message}"
        );
        let event = wait_for("an event", || {
            let events = node_.server.all("Event");
            events
                .into_iter()
                .find(|event| event["reason"] == "PolicyRefused")
        });
        assert_eq!(event["regarding"]["name"], "get-headers");
        assert!(event["note"].as_str().unwrap().contains("port"), "{event}");
        let waited = wait("cnp/get-headers");
        assert!(
            !waited.status.success() && said(&waited).contains("refused"),
            "{waited:?}"
        );
        let got = weir(node_, &["policy", "get"]);
        assert!(said(&got).contains("refused: spec.ingress[0]"), "{got:?}");
        let status = weir(node_, &["status"]);
        assert!(!status.status.success(), "a refused policy, and no proxy");
        assert!(said(&status).contains("1 refused"));
        // Mended.
        node_.server.put(get_headers());
        valid(node_, "get-headers", "True");
        node_.start_proxy();
        let status = weir(node_, &["status", "--wait", "--timeout", "30"]);
        assert!(status.status.success(), "{}", said(&status));
    });
}

#[test]
fn pods_are_listed_and_lost_ones_reported() {
    on_node(async |node_| {
        configure(node_, "bridge");
        for object in [
            namespace(),
            node(),
            pod("sleep"),
            pod("httpbin"),
            get_headers(),
        ] {
            node_.server.put(object);
        }
        node_.options = &["--pod-conditions"];
        node_.start_agent();
        wait_for("our plugin in the chain", || {
            (plugins(node_).len() == 2).then_some(())
        });
        let mut server = Sandbox::new(node_, "httpbin");
        server.add(node_).unwrap();
        // This one claims an address that nothing on this node has.
        let mut lost = pod("sleep");
        let ready = json!({"type": "Ready", "status": "True"});
        lost["status"] = json!({"podIP": "10.77.0.200", "podIPs": [{"ip": "10.77.0.200"}],
            "conditions": [ready]});
        node_.server.put(lost);
        let event = wait_for("an event", || {
            let events = node_.server.all("Event");
            events
                .into_iter()
                .find(|event| event["reason"] == "NotUnderPolicy")
        });
        assert_eq!(event["regarding"]["name"], "sleep");
        let condition = |node: &Node, pod: &str, status: &str| {
            wait_for(&format!("{pod} is under policy: {status}"), || {
                let conditions =
                    node.server.get("Pod", "default", pod)?["status"]["conditions"].clone();
                assert_eq!(conditions[0]["type"], "Ready", "{conditions}");
                (conditions[1]["status"] == status).then(|| conditions[1].clone())
            })
        };
        let lost = condition(node_, "sleep", "False");
        assert_eq!(lost["type"], "weir.dev/UnderPolicy");
        assert!(
            lost["message"].as_str().unwrap().contains("no interface"),
            "{lost}"
        );
        let _serving = serve(&server.netns, &node_.path("www"));
        let listed = weir(node_, &["endpoint", "list"]);
        let text = said(&listed);
        let line = text
            .lines()
            .find(|line| line.contains("httpbin"))
            .expect("the pod");
        assert!(line.contains(&server.address()), "{line}");
        assert!(
            line.contains("CiliumNetworkPolicy/default/get-headers"),
            "{line}"
        );
        assert!(line.trim_end().ends_with("open"), "egress: {line}");
        assert!(text.contains("not under policy default/sleep"), "{text}");
        let json = weir(node_, &["endpoint", "list", "-n", "nowhere", "-o", "json"]);
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["endpoints"], json!([]));
        // It has a network after all.
        let mut client = Sandbox::new(node_, "sleep");
        client.add(node_).unwrap();
        let mut found = node_.server.get("Pod", "default", "sleep").unwrap();
        let address = client.address();
        found["status"]["podIP"] = address.clone().into();
        found["status"]["podIPs"] = json!([{"ip": address}]);
        node_.server.put(found);
        condition(node_, "sleep", "True");
        client.del(node_);
        server.del(node_);
    });
}
