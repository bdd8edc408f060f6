//! What a container runtime does to a node's CNI plugins: the first list of the folder, its
//! plugins one after the other, each with the result of the one before.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::node::{Node, ip};

/// A pod's sandbox: a network namespace with a container's id.
pub struct Sandbox {
    pub netns: String,
    container: String,
    pod: String,
    uid: String,
    /// The result of the last ADD.
    pub result: Option<Value>,
}

impl Sandbox {
    /// A network namespace for a pod of the API.
    pub fn new(node: &Node, pod: &str) -> Self {
        let netns = format!("{}{pod}", node.name);
        ip(&["netns", "add", &netns]);
        ip(&["-n", &netns, "link", "set", "lo", "up"]);
        let uid = node.server.get("Pod", "default", pod).map_or_else(
            || "unknown".to_owned(),
            |pod| pod["metadata"]["uid"].as_str().unwrap().to_owned(),
        );
        Self {
            container: format!("container-of-{netns}"),
            netns,
            pod: pod.to_owned(),
            uid,
            result: None,
        }
    }

    /// Makes the network. What fails is undone, as runtimes do.
    pub fn add(&mut self, node: &Node) -> Result<(), Value> {
        let mut previous = None;
        for plugin in plugins(node) {
            match self.call(node, "ADD", &plugin, previous.take(), &json!({})) {
                Ok(result) => previous = Some(result),
                Err(error) => {
                    self.del(node);
                    return Err(error);
                }
            }
        }
        self.result = previous;
        Ok(())
    }

    pub fn check(&self, node: &Node) -> Result<(), Value> {
        for plugin in plugins(node) {
            self.call(node, "CHECK", &plugin, self.result.clone(), &json!({}))?;
        }
        Ok(())
    }

    /// Whether the agent knows it.
    pub fn is_known(&self, node: &Node) -> bool {
        let answer = node.ask(&json!({"command": "attached", "container": self.container}));
        answer.expect("a running agent")["ok"].as_bool() == Some(true)
    }

    /// Has our plugin told of the container's end, and no other.
    pub fn told_of_the_end(&self, node: &Node) -> Value {
        let plugins = plugins(node);
        let ours = plugins.last().unwrap();
        self.call(node, "DEL", ours, self.result.clone(), &json!({}))
            .unwrap()
    }

    pub fn del(&self, node: &Node) {
        for plugin in plugins(node).iter().rev() {
            self.call(node, "DEL", plugin, self.result.clone(), &json!({}))
                .unwrap();
        }
    }

    /// Tells our plugin which sandboxes there are.
    pub fn gc(node: &Node, valid: &[&Sandbox]) {
        let valid: Vec<Value> = valid
            .iter()
            .map(|of| json!({"containerID": of.container, "ifname": "eth0"}))
            .collect();
        let of = Self {
            netns: String::new(),
            container: String::new(),
            pod: String::new(),
            uid: String::new(),
            result: None,
        };
        let plugins = plugins(node);
        let ours = plugins.last().unwrap();
        let more = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid});
        of.call(node, "GC", ours, None, &more).unwrap();
    }

    pub fn address(&self) -> String {
        let result = self.result.as_ref().expect("a network");
        let address = result["ips"][0]["address"].as_str().unwrap();
        address.split_once('/').unwrap().0.to_owned()
    }

    fn call(
        &self,
        node: &Node,
        command: &str,
        plugin: &Value,
        previous: Option<Value>,
        more: &Value,
    ) -> Result<Value, Value> {
        let kind = plugin["type"].as_str().unwrap();
        let ours = node.path("bin").join(kind);
        let program = match ours.exists() {
            true => ours,
            false => PathBuf::from("/usr/lib/cni").join(kind),
        };
        let mut config = plugin.clone();
        config["cniVersion"] = "1.0.0".into();
        config["name"] = "net".into();
        if let Some(previous) = previous {
            config["prevResult"] = previous;
        }
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={};K8S_POD_UID={}",
            self.pod, self.uid
        );
        let mut child = Command::new(&program)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &self.container)
            .env("CNI_NETNS", format!("/run/netns/{}", self.netns))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni")
            .env("CNI_ARGS", arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        child
            .stdin
            .take()
            .unwrap()
            .write_all(config.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        match output.status.success() {
            true => Ok(answer),
            false => Err(answer),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.netns.is_empty() {
            ip(&["netns", "del", &self.netns]);
        }
    }
}

/// The plugins of the first list.
pub fn plugins(node: &Node) -> Vec<Value> {
    let folder = node.path("net.d");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "conflist"));
    files.sort();
    let config: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    config["plugins"].as_array().unwrap().clone()
}

/// Writes the node's own CNI configuration, as its CNI's installer would.
pub fn configure(node: &Node, kind: &str) {
    let mut plugin = json!({
        "type": kind,
        "ipam": {
            "type": "host-local",
            "dataDir": node.path("ipam"),
            "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd77::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    });
    if kind == "bridge" {
        plugin["bridge"] = "cni0".into();
        plugin["isGateway"] = true.into();
    }
    let list = json!({"cniVersion": "1.0.0", "name": "net", "plugins": [plugin]});
    fs::write(node.path("net.d").join("10-net.conflist"), list.to_string()).unwrap();
}
