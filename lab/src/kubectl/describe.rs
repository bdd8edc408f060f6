//! `describe`: an object in sentences. What it says of a policy is what the policy does.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::print::emit;
use super::table::{each, or_none, pairs, selector, service_type, text};
use super::{Scope, select};
use crate::object::read;

mod policy;

const EXAMPLES: &str = "Examples:
  weir lab describe netpol default-deny-ingress
  weir lab describe pod bb1
  weir lab describe svc/httpbin
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Describe {
    #[command(flatten)]
    scope: Scope,
    /// A kind, KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND/NAME")]
    words: Vec<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// Lines of a name and what stands behind it.
pub struct Lines(String);

// === impl Describe ===

impl Describe {
    pub fn run(self) -> Result<()> {
        let objects = self.scope.open()?.view()?;
        let namespace = (!self.all_namespaces).then_some(self.scope.namespace.as_str());
        let mut texts = Vec::new();
        for asked in select::asked(&self.words)? {
            for object in select::find(&objects, &asked, namespace)? {
                texts.push(described(object, &objects)?);
            }
        }
        if texts.is_empty() {
            eprintln!("No resources found");
        }
        emit(&texts.join("\n\n"))
    }
}

fn described(object: &Value, objects: &[Value]) -> Result<String> {
    let mut lines = Lines(String::new());
    lines.line("Name", &text(object, "/metadata/name"));
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() {
        lines.line("Namespace", &namespace);
    }
    lines.line("Created on", &text(object, "/metadata/creationTimestamp"));
    lines.line("Labels", &pairs(&object["metadata"]["labels"]));
    lines.line("Annotations", &pairs(&object["metadata"]["annotations"]));
    match object["kind"].as_str().unwrap_or_default() {
        "NetworkPolicy" => policy::spec(&object["spec"], &mut lines),
        "Pod" => pod(object, &mut lines),
        "Service" => service(object, objects, &mut lines),
        _ => {
            for part in ["spec", "specs", "status"] {
                if !object[part].is_null() {
                    lines.text(&format!("{}:", capital(part)));
                    lines.indented(2, &read::value_to_yaml(&object[part])?);
                }
            }
        }
    }
    Ok(lines.0)
}

fn pod(pod: &Value, lines: &mut Lines) {
    lines.line("Node", &text(pod, "/spec/nodeName"));
    lines.line("Status", &text(pod, "/status/phase"));
    lines.line("IP", &text(pod, "/status/podIP"));
    lines.line("IPs", &each(&pod["status"]["podIPs"], "/ip", ""));
    if let Some(owner) = pod.pointer("/metadata/ownerReferences/0") {
        let owner = format!("{}/{}", text(owner, "/kind"), text(owner, "/name"));
        lines.line("Controlled By", &owner);
    }
    for (title, list) in [
        ("Init Containers", "initContainers"),
        ("Containers", "containers"),
    ] {
        let Some(containers) = pod["spec"][list].as_array() else {
            continue;
        };
        lines.text(&format!("{title}:"));
        for container in containers {
            lines.text(&format!("  {}:", text(container, "/name")));
            lines.line("    Image", &text(container, "/image"));
            lines.line(
                "    Ports",
                &or_none(each(&container["ports"], "/containerPort", "")),
            );
            let words = each(&container["command"], "", "");
            lines.line("    Command", &or_none(words.replace(',', " ")));
        }
    }
    lines.text("Conditions:");
    for condition in pod["status"]["conditions"].as_array().into_iter().flatten() {
        let kind = text(condition, "/type");
        lines.line(&format!("  {kind}"), &text(condition, "/status"));
    }
}

fn service(service: &Value, objects: &[Value], lines: &mut Lines) {
    let spec = &service["spec"];
    lines.line("Selector", &pairs(&spec["selector"]));
    lines.line("Type", &service_type(service));
    if !spec["externalName"].is_null() {
        lines.line("External Name", &text(service, "/spec/externalName"));
        return;
    }
    lines.line("IP Families", &each(&spec["ipFamilies"], "", ""));
    lines.line("IP", &text(service, "/spec/clusterIP"));
    lines.line("IPs", &each(&spec["clusterIPs"], "", ""));
    let own = |slice: &&Value| {
        slice["kind"] == "EndpointSlice"
            && slice["metadata"]["namespace"] == service["metadata"]["namespace"]
            && slice["metadata"]["labels"]["kubernetes.io/service-name"]
                == service["metadata"]["name"]
    };
    for port in spec["ports"].as_array().into_iter().flatten() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let name = port["name"].as_str().unwrap_or("<unset>");
        lines.line("Port", &format!("{name}  {}/{protocol}", port["port"]));
        let target = match &port["targetPort"] {
            Value::Null => &port["port"],
            target => target,
        };
        let target = target
            .as_str()
            .map_or_else(|| target.to_string(), str::to_owned);
        lines.line("TargetPort", &format!("{target}/{protocol}"));
        if let Some(node) = port["nodePort"].as_u64() {
            lines.line("NodePort", &format!("{name}  {node}/{protocol}"));
        }
        let mut backends = Vec::new();
        for slice in objects.iter().filter(own) {
            let named = |of: &&Value| {
                of["name"].as_str().unwrap_or_default() == port["name"].as_str().unwrap_or_default()
            };
            let ports = slice["ports"].as_array().into_iter().flatten();
            for number in ports.filter(named).map(|of| of["port"].to_string()) {
                for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                    let address = text(endpoint, "/addresses/0");
                    backends.push(match address.contains(':') {
                        true => format!("[{address}]:{number}"),
                        false => format!("{address}:{number}"),
                    });
                }
            }
        }
        lines.line("Endpoints", &or_none(backends.join(",")));
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// A selector, or what its absence means.
fn selected(value: &Value) -> Option<String> {
    let text = selector(value);
    (text != "<none>").then_some(text)
}

// === impl Lines ===

impl Lines {
    fn line(&mut self, name: &str, value: &str) {
        let name = format!("{name}:");
        self.text(format!("{name:16}{value}").trim_end());
    }

    fn text(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn indented(&mut self, blanks: usize, text: &str) {
        for line in text.lines() {
            self.text(&format!("{:blanks$}{line}", ""));
        }
    }
}
