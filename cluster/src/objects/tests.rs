//! Values in, objects out.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn good(value: Value) -> (ObjectKey, Object) {
    match convert(&value) {
        Converted::Good { key, object, .. } => (key, object),
        other => panic!("{other:?}"),
    }
}

fn bad_field(value: Value) -> (String, String) {
    match convert(&value) {
        Converted::Bad { problems, .. } => (problems[0].field.clone(), problems[0].reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_with_everything() {
    let (key, object) = good(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}, "creationTimestamp": null,
            "annotations": {"weir.dev/interface": "lab-web", "weir.dev/netns": "lab-shop-web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "x"}]},
        "spec": {"nodeName": "n1", "serviceAccountName": "robot", "hostNetwork": false,
            "containers": [{"name": "c", "ports": [
                {"name": "http", "containerPort": 8080, "hostPort": 80},
                {"containerPort": 53, "protocol": "UDP"}]}],
            "initContainers": [
                {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 9}]},
                {"ports": [{"name": "gone", "containerPort": 10}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "hostIP": "192.0.2.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "hostIPs": null,
            "conditions": [{"type": "Ready", "status": "False", "reason": "x"}]},
    }));
    assert_eq!(key.to_string(), "Pod/default/web");
    let Object::Pod(object) = object else {
        panic!("pod");
    };
    let port = |name: &str, protocol, port| weir_policy::model::ContainerPort {
        name: name.to_owned(),
        protocol,
        port,
    };
    assert_eq!(
        object.pod,
        weir_policy::model::Pod {
            namespace: "default".into(),
            name: "web".into(),
            labels: Labels::from([("app".into(), "web".into())]),
            service_account: "robot".into(),
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            host_addresses: vec!["192.0.2.1".parse().unwrap()],
            node: "n1".into(),
            host_network: false,
            ports: vec![
                port("http", Protocol::Tcp, 8080),
                port("", Protocol::Udp, 53),
                port("side", Protocol::Tcp, 9),
            ],
            host_ports: vec![(Protocol::Tcp, 80)],
            visibility: None,
        }
    );
    assert_eq!(object.placement.interface.as_deref(), Some("lab-web"));
    assert_eq!(object.placement.netns.as_deref(), Some("lab-shop-web"));
    assert_eq!(
        (object.ready, object.finished, object.owned),
        (Some(false), false, true)
    );
}

#[test]
fn a_pod_and_a_namespace_say_what_is_to_be_seen_of_them() {
    let of = |kind: &str, text: &str| {
        convert(
            &json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x",
            "annotations": {"weir.dev/visibility": text}}}),
        )
    };
    let Converted::Good {
        object: Object::Namespace(namespace),
        problems,
        ..
    } = of("Namespace", "dns")
    else {
        panic!("a namespace");
    };
    assert_eq!(
        (namespace.visibility.http, namespace.visibility.dns),
        (false, true)
    );
    assert_eq!(problems, []);
    let Converted::Good {
        object: Object::Pod(pod),
        problems,
        ..
    } = of("Pod", "http,grpc")
    else {
        panic!("a pod");
    };
    assert!(
        pod.pod
            .visibility
            .is_some_and(|asked| asked.http && !asked.dns)
    );
    assert_eq!(
        problems[0].field,
        "metadata.annotations[weir.dev/visibility]"
    );
    assert!(problems[0].reason.contains("`grpc`"), "{problems:?}");
}

#[test]
fn namespaces_and_nodes() {
    let (key, object) = good(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "a"}}}));
    assert_eq!(key.to_string(), "Namespace/shop");
    let Object::Namespace(namespace) = object else {
        panic!("namespace");
    };
    assert_eq!(namespace.labels.len(), 2);
    assert_eq!(namespace.labels["kubernetes.io/metadata.name"], "shop");
    let (_, object) = good(
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "Hostname", "address": "n1"},
                                 {"type": "InternalIP", "address": "192.0.2.1"}]}}),
    );
    let Object::Node(node) = object else {
        panic!("node");
    };
    assert_eq!(
        node.addresses,
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn other_kinds_are_ignored() {
    for (version, kind) in [
        ("v1", "ConfigMap"),
        ("serving.knative.dev/v1", "Service"),
        ("projectcalico.org/v3", "NetworkPolicy"),
    ] {
        let value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
        assert!(matches!(convert(&value), Converted::Ignored { .. }));
    }
    assert!(matches!(convert(&json!({"a": 1})), Converted::Alien { .. }));
    assert!(matches!(convert(&json!("a")), Converted::Alien { .. }));
}

#[test]
fn what_is_wrong_is_named() {
    let pod = |meta: Value, spec: Value, status: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status});
    let name = json!({"name": "a"});
    for (value, field, reason) in [
        (
            pod(json!({}), json!({}), json!({})),
            "metadata.name",
            "is missing",
        ),
        (
            pod(json!({"name": "a\nb"}), json!({}), json!({})),
            "metadata.name",
            "may have letters, digits, `-` and `.` only",
        ),
        (
            json!({"kind": "Pod", "metadata": {"name": "a"}}),
            "apiVersion",
            "is missing: must be `v1`",
        ),
        (
            pod(
                json!({"name": "a", "labels": {"v": 1}}),
                json!({}),
                json!({}),
            ),
            "metadata.labels.v",
            "invalid type: integer `1`, expected a string",
        ),
        (
            pod(name.clone(), json!({}), json!({"podIP": "x"})),
            "status.podIP",
            "`x` is not an address",
        ),
        (
            pod(name.clone(), json!({}), json!({"podIPs": [{"ip": "x"}]})),
            "status.podIPs[0].ip",
            "`x` is not an address",
        ),
        (
            pod(
                name.clone(),
                json!({"containers": [{"ports": [{"containerPort": 70000}]}]}),
                json!({}),
            ),
            "spec.containers[0].ports[0].containerPort",
            "invalid value: integer `70000`, expected u16",
        ),
        (
            pod(
                name.clone(),
                json!({"containers": [{"ports": [{"containerPort": 7, "protocol": "tcp"}]}]}),
                json!({}),
            ),
            "spec.containers[0].ports[0].protocol",
            "`tcp` must be one of `TCP`, `UDP` or `SCTP`",
        ),
        (
            pod(
                json!({"name": "a", "annotations": {"weir.dev/interface": "../x"}}),
                json!({}),
                json!({}),
            ),
            "metadata.annotations[weir.dev/interface]",
            "`../x` is not the name of an interface",
        ),
    ] {
        assert_eq!(bad_field(value), (field.to_owned(), reason.to_owned()));
    }
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80, "targetPort": []}]}});
    let (field, reason) = bad_field(service);
    assert_eq!(field, "spec.ports[0].targetPort");
    assert_eq!(
        reason,
        "must be a port number or the name of a container port"
    );
}

#[test]
fn a_refused_policy_has_its_stand_in() {
    let value = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": 1}});
    let Converted::Bad { key, stand_in, .. } = convert(&value) else {
        panic!("bad");
    };
    assert_eq!(key.to_string(), "NetworkPolicy/shop/p");
    assert!(matches!(stand_in, Some(Object::Policy(_))));
}

proptest! {
    #[test]
    fn nothing_panics(text in "(?s).{0,40}", kind in "(Pod|Service|Node|EndpointSlice|Endpoints|DaemonSet)") {
        drop(crate::yaml::documents(&text, std::path::Path::new("f")));
        let value = json!({"apiVersion": "v1", "kind": kind, "metadata": text, "spec": [text]});
        drop(convert(&value));
    }
}
