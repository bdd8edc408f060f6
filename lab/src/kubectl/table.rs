//! Tables as an API server prints them: columns by kind, more of them with `-o wide`.

use serde_json::Value;

use super::age::age;
use crate::object::Object;

const NONE: &str = "<none>";

/// What a table shows.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub wide: bool,
    /// A column for the namespace.
    pub namespaces: bool,
    pub labels: bool,
    pub headers: bool,
    /// Names with their kind, where there are several.
    pub kinds: bool,
}

/// A column: its title, and a cell of an object.
type Column = (&'static str, fn(&Value) -> String);

// === impl Look ===

impl Look {
    /// The table of objects of one kind.
    pub fn table(&self, objects: &[&Value]) -> String {
        let Some(first) = objects.first() else {
            return String::new();
        };
        let (always, wide) = columns(first["kind"].as_str().unwrap_or_default());
        let mut columns: Vec<Column> = Vec::new();
        if self.namespaces && !text(first, "/metadata/namespace").is_empty() {
            columns.push(("NAMESPACE", |object| text(object, "/metadata/namespace")));
        }
        let own_name: fn(&Value) -> String = |object| text(object, "/metadata/name");
        columns.push(("NAME", if self.kinds { name } else { own_name }));
        columns.extend(always);
        if self.wide {
            columns.extend(wide);
        }
        if self.labels {
            columns.push(("LABELS", |object| pairs(&object["metadata"]["labels"])));
        }
        let mut rows: Vec<Vec<String>> = Vec::new();
        if self.headers {
            rows.push(
                columns
                    .iter()
                    .map(|(title, _)| (*title).to_owned())
                    .collect(),
            );
        }
        for object in objects {
            rows.push(columns.iter().map(|(_, cell)| cell(object)).collect());
        }
        aligned(&rows)
    }
}

/// `deployment.apps/httpbin`.
pub fn name(object: &Value) -> String {
    let kind = Object::resource_kind_of(object);
    format!("{kind}/{}", text(object, "/metadata/name"))
}

/// Cells in columns with three blanks between.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn columns(kind: &str) -> (Vec<Column>, Vec<Column>) {
    match kind {
        "Pod" => (
            vec![
                ("READY", ready_containers),
                ("STATUS", |pod| text(pod, "/status/phase")),
                ("RESTARTS", |_| "0".to_owned()),
                ("AGE", age),
            ],
            vec![
                ("IP", |pod| or_none(text(pod, "/status/podIP"))),
                ("NODE", |pod| or_none(text(pod, "/spec/nodeName"))),
                ("NOMINATED NODE", |_| NONE.to_owned()),
                ("READINESS GATES", |_| NONE.to_owned()),
            ],
        ),
        "Service" => (
            vec![
                ("TYPE", service_type),
                ("CLUSTER-IP", |service| {
                    or_none(text(service, "/spec/clusterIP"))
                }),
                ("EXTERNAL-IP", |service| {
                    or_none(text(service, "/spec/externalName"))
                }),
                ("PORT(S)", service_ports),
                ("AGE", age),
            ],
            vec![("SELECTOR", |service| pairs(&service["spec"]["selector"]))],
        ),
        "Deployment" => (
            vec![
                ("READY", ready_replicas),
                ("UP-TO-DATE", |of| number(of, "/status/updatedReplicas")),
                ("AVAILABLE", |of| number(of, "/status/availableReplicas")),
                ("AGE", age),
            ],
            workload_columns(),
        ),
        "StatefulSet" => (
            vec![("READY", ready_replicas), ("AGE", age)],
            workload_columns(),
        ),
        "DaemonSet" => (
            vec![
                ("DESIRED", |of| number(of, "/status/desiredNumberScheduled")),
                ("CURRENT", |of| number(of, "/status/currentNumberScheduled")),
                ("READY", |of| number(of, "/status/numberReady")),
                ("UP-TO-DATE", |of| {
                    number(of, "/status/updatedNumberScheduled")
                }),
                ("AVAILABLE", |of| number(of, "/status/numberAvailable")),
                ("AGE", age),
            ],
            workload_columns(),
        ),
        "NetworkPolicy" => (
            vec![
                ("POD-SELECTOR", |policy| {
                    selector(&policy["spec"]["podSelector"])
                }),
                ("AGE", age),
            ],
            vec![],
        ),
        "Namespace" => (
            vec![("STATUS", |of| text(of, "/status/phase")), ("AGE", age)],
            vec![],
        ),
        "Node" => (
            vec![
                ("STATUS", |_| "Ready".to_owned()),
                ("ROLES", |_| NONE.to_owned()),
                ("AGE", age),
            ],
            vec![("INTERNAL-IP", |node| {
                or_none(text(node, "/status/addresses/0/address"))
            })],
        ),
        "Ingress" => (
            vec![
                ("CLASS", |of| or_none(text(of, "/spec/ingressClassName"))),
                ("HOSTS", |of| each(&of["spec"]["rules"], "/host", "*")),
                ("ADDRESS", |_| String::new()),
                ("PORTS", |of| match of["spec"]["tls"].is_array() {
                    true => "80, 443".to_owned(),
                    false => "80".to_owned(),
                }),
                ("AGE", age),
            ],
            vec![],
        ),
        "EndpointSlice" => (
            vec![
                ("ADDRESSTYPE", |of| text(of, "/addressType")),
                ("PORTS", |of| each(&of["ports"], "/port", NONE)),
                ("ENDPOINTS", |of| {
                    each(&of["endpoints"], "/addresses/0", NONE)
                }),
                ("AGE", age),
            ],
            vec![],
        ),
        _ => (vec![("AGE", age)], vec![]),
    }
}

fn workload_columns() -> Vec<Column> {
    vec![
        ("CONTAINERS", |of| each(containers(of), "/name", NONE)),
        ("IMAGES", |of| each(containers(of), "/image", NONE)),
        ("SELECTOR", |of| selector(&of["spec"]["selector"])),
    ]
}

fn containers(of: &Value) -> &Value {
    &of["spec"]["template"]["spec"]["containers"]
}

fn ready_containers(pod: &Value) -> String {
    let of = |list: &str| pod["status"][list].as_array().cloned().unwrap_or_default();
    let all = [of("initContainerStatuses"), of("containerStatuses")].concat();
    let ready = all
        .iter()
        .filter(|container| container["ready"] == true)
        .count();
    format!("{ready}/{}", all.len())
}

fn ready_replicas(of: &Value) -> String {
    let ready = number(of, "/status/readyReplicas");
    format!("{ready}/{}", number(of, "/spec/replicas"))
}

/// A service's type, which is `ClusterIP` where it says none.
pub fn service_type(service: &Value) -> String {
    service["spec"]["type"]
        .as_str()
        .unwrap_or("ClusterIP")
        .to_owned()
}

fn service_ports(service: &Value) -> String {
    let ports = service["spec"]["ports"].as_array();
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_u64() {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<String> = ports.into_iter().flatten().map(port).collect();
    or_none(ports.join(","))
}

/// A label selector in one line; `<none>` selects everything.
pub fn selector(selector: &Value) -> String {
    let mut parts = match pairs(&selector["matchLabels"]) {
        none if none == NONE => Vec::new(),
        pairs => vec![pairs],
    };
    for term in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = term["key"].as_str().unwrap_or_default();
        let values = each(&term["values"], "", "");
        parts.push(match term["operator"].as_str().unwrap_or_default() {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({values})", operator.to_lowercase()),
        });
    }
    or_none(parts.join(","))
}

/// `a=b,c=d`, or `<none>`.
pub fn pairs(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(labels.join(","))
}

/// One field of each entry of a list, with commas between.
pub fn each(list: &Value, pointer: &str, otherwise: &str) -> String {
    let entries = list.as_array().into_iter().flatten();
    let found: Vec<String> = entries
        .map(|entry| match entry.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => otherwise.to_owned(),
            Some(other) => other.to_string(),
        })
        .collect();
    match found.is_empty() {
        true => otherwise.to_owned(),
        false => found.join(","),
    }
}

/// A text within an object; empty where there is none.
pub fn text(object: &Value, pointer: &str) -> String {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn number(object: &Value, pointer: &str) -> String {
    let found = object.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or(0).to_string()
}

pub fn or_none(text: String) -> String {
    match text.is_empty() {
        true => NONE.to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Look = Look {
        wide: false,
        namespaces: false,
        labels: false,
        headers: true,
        kinds: false,
    };

    #[test]
    fn columns_of_kinds() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "a"},
            "spec": {"clusterIP": "10.96.0.1", "selector": {"app": "web"},
                     "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]},
        });
        let wide = Look {
            wide: true,
            namespaces: true,
            kinds: true,
            ..LOOK
        };
        assert_eq!(
            wide.table(&[&service]),
            "NAMESPACE   NAME          TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)               AGE         SELECTOR\n\
             a           service/web   ClusterIP   10.96.0.1    <none>        80:30080/TCP,53/UDP   <unknown>   app=web\n"
        );
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"},
            "spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}},
        });
        assert_eq!(name(&policy), "networkpolicy.networking.k8s.io/p");
        let plain = Look {
            headers: false,
            ..LOOK
        };
        assert_eq!(plain.table(&[&policy]), "p   a in (b,c)   <unknown>\n");
    }
}
