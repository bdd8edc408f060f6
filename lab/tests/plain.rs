//! A node without Weir: what the lab itself plays must be right before a verdict means anything.
//!
//! Needs root, iproute2, nftables, curl, ping and nc, and `cargo build -p weir` before.

use std::process::Output;
use std::time::{Duration, Instant};

use weir_lab::{Lab, Topology, UpOptions};

const MANIFESTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec:
  replicas: 2
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: c, image: kennethreitz/httpbin, ports: [{containerPort: 80, name: web}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: web}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: data}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: 'mysql:latest', ports: [{containerPort: 3306}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: data}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 3306}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec: {containers: [{name: c, image: me/app, ports: [{containerPort: 8888}, {containerPort: 9999, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: curlimages/curl}]}
";

fn up(name: &str, topology: Topology) -> Lab {
    let options = UpOptions {
        name: name.into(),
        topology,
        yaml: vec![MANIFESTS.into()],
        weir: false,
        ..UpOptions::default()
    };
    Lab::up(options).expect("the lab comes up").0
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a shell line in the client pod.
fn client(lab: &Lab, line: &str) -> (Option<i32>, String) {
    let output = lab
        .exec("client", &["sh", "-c", line])
        .expect("the command runs");
    (output.status.code(), text(&output))
}

/// The client is done before the server has written its line.
fn wait_for_line(lab: &Lab, pod: &str, line: &str) {
    let path = lab.log_path(pod, "default").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = std::fs::read_to_string(&path).unwrap();
        if log.contains(line) {
            return;
        }
        assert!(Instant::now() < deadline, "no {line:?} in {log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn exists(prefix: &str) -> bool {
    std::fs::read_dir("/run/netns").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
    })
}

fn services_names_and_addresses(name: &str, topology: Topology) {
    let lab = up(name, topology);
    let own = lab.pod("client").unwrap().addresses;
    for (family, address) in [("-4", own[0]), ("-6", own[1])] {
        let (_, body) = client(&lab, &format!("curl {family} -s -m 5 httpbin:8000/get?a=1"));
        let seen: serde_json::Value = serde_json::from_str(&body).expect("httpbin's JSON");
        assert_eq!(
            seen["origin"],
            address.to_string(),
            "the server sees the client"
        );
        assert_eq!(seen["args"]["a"], "1");
        assert_eq!(seen["url"], "http://httpbin:8000/get?a=1");
        let nobody = client(&lab, &format!("curl {family} -s -m 5 nobody"));
        assert_eq!(nobody.0, Some(7), "no endpoints: refused at once");
    }
    let banner = client(
        &lab,
        "timeout 5 nc -w 1 db-0.db.data 3306 </dev/null | tr -d '\\0'",
    )
    .1;
    assert!(banner.contains("8.0.36"), "{banner:?}");
    assert_eq!(
        client(&lab, "curl -s -m 5 client2").0,
        Some(6),
        "a pod's name is no service's"
    );
    let echo = lab.pod("echo").unwrap().addresses;
    for address in &echo {
        let udp = format!("echo hello | nc -u -w 1 {address} 9999");
        assert_eq!(client(&lab, &udp).1, "hello\n");
        assert_eq!(
            client(&lab, &format!("ping -c 1 -W 2 {address}")).0,
            Some(0)
        );
    }
    client(&lab, &format!("nc -z -w 2 {} 8888", echo[0]));
    let line = format!(
        "connect to [::ffff:{}]:8888 from [::ffff:{}]:",
        echo[0], own[0]
    );
    wait_for_line(&lab, "echo", &line);
    let hairpin = [
        "curl",
        "-4",
        "-s",
        "-m",
        "5",
        "-o",
        "/dev/null",
        "httpbin:8000/ip",
    ];
    for _ in 0..4 {
        let output = lab.exec("deploy/httpbin", &hairpin).unwrap();
        assert!(
            output.status.success(),
            "a pod reaches itself through its service"
        );
    }
    let world = client(&lab, "curl -4 -s -m 5 www.google.com").1;
    assert!(world.contains("client: 172.18.0.2:"), "{world}");
    lab.down().expect("the lab goes down");
    assert!(!exists(&format!("weir-lab-{name}-")));
}

#[test]
fn routed_node() {
    services_names_and_addresses("plainr", Topology::Routed);
}

#[test]
fn bridged_node() {
    services_names_and_addresses("plainb", Topology::Bridge);
}

#[test]
fn objects_change_as_kubectl_changes_them() {
    let lab = up("plainc", Topology::Routed);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: late}\nspec: {containers: [{name: c, image: nginx}]}";
    let changes = lab.apply(pod).unwrap().changes;
    assert_eq!(
        (changes[0].resource.as_str(), changes[0].what),
        ("pod/late", "created")
    );
    assert_eq!(lab.apply(pod).unwrap().changes[0].what, "unchanged");
    let address = lab.pod("late").unwrap().addresses[0];
    let welcome = client(&lab, &format!("curl -s -m 5 {address}")).1;
    assert!(welcome.contains("Welcome to nginx!"));

    let before = lab.pod("deploy/httpbin").unwrap();
    lab.rollout_restart("Deployment", "default", "httpbin")
        .unwrap();
    let after = lab.pod("deploy/httpbin").unwrap();
    assert_ne!(
        (before.name, &before.addresses),
        (after.name.clone(), &after.addresses)
    );
    lab.delete("Pod", "default", &after.name).unwrap();
    assert_eq!(
        client(&lab, "curl -s -m 5 -o /dev/null httpbin:8000/ip").0,
        Some(0)
    );

    lab.delete("Pod", "default", "late").unwrap();
    assert!(lab.pod("late").is_err());
    assert!(!exists("weir-lab-plainc-default-late"));
    let wrong = lab
        .apply(&pod.replace("name: c,", "name: 1,"))
        .unwrap_err()
        .to_string();
    assert!(
        wrong.starts_with("text:1: Pod default/late: spec.containers[0].name:"),
        "{wrong}"
    );
    assert!(lab.pod("late").is_err(), "a mistake changes nothing");
}

#[test]
fn commands_keep_their_status_and_a_failed_up_leaves_nothing() {
    let lab = up("plaind", Topology::Routed);
    assert_eq!(client(&lab, "exit 42").0, Some(42));
    assert_eq!(client(&lab, "hostname").1, "client\n");
    let again = Lab::up(UpOptions {
        name: "plaind".into(),
        weir: false,
        ..UpOptions::default()
    });
    assert!(again.unwrap_err().to_string().contains("exists already"));
    assert!(lab.pod("client").is_ok(), "the first lab is untouched");
    let failed = Lab::up(UpOptions {
        name: "plainf".into(),
        weir: false,
        // Two servers want one port of the pod.
        yaml: vec!["apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: nginx}, {name: b, image: nginx}]}".into()],
        ..UpOptions::default()
    });
    assert!(format!("{:#}", failed.unwrap_err()).contains("the workload of pod default/p"));
    assert!(!exists("weir-lab-plainf-"));
}
