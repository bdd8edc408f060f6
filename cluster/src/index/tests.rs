//! Objects in, one world out.

use std::{net::IpAddr, path::Path};

use weir_policy::model::{Protocol, Service};

use super::*;
use crate::{objects::Converted, yaml};

fn world(text: &str, options: &Options) -> (World, Vec<PodPlacement>) {
    let mut index = Index::default();
    for document in yaml::documents(text, Path::new("f")).expect("yaml") {
        match crate::convert(&document.value) {
            Converted::Good { key, object, .. } => assert!(index.apply(key, object)),
            other => panic!("{other:?}"),
        }
    }
    index.world(options)
}

fn names(world: &World) -> Vec<String> {
    world.pods.iter().map(|pod| pod.id().to_string()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: web}}, status: {podIP: 10.0.0.2},
 spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: web}}, status: {podIP: 10.0.0.1},
 spec: {containers: [{ports: [{name: http, containerPort: 8081}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, labels: {app: web}}, status: {podIP: 10.0.0.1, phase: Succeeded}}
---
{apiVersion: v1, kind: Pod, metadata: {name: sick, labels: {app: web}},
 status: {podIP: 10.0.0.9, conditions: [{type: Ready, status: 'False'}]}}
";

fn services(text: &str) -> Vec<Service> {
    world(&format!("{PODS}---{text}"), &Options::default())
        .0
        .services
}

#[test]
fn finished_pods_are_left_out() {
    let (world, placements) = world(PODS, &Options::default());
    assert_eq!(names(&world), ["default/a", "default/b", "default/sick"]);
    assert_eq!(placements.len(), 3);
    assert_eq!(placements[0].pod.name, "a");
}

#[test]
fn without_slices_a_service_leads_to_the_pods_it_selects() {
    let found = services("
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: web}, clusterIP: 10.96.0.1,
 clusterIPs: [10.96.0.1, 'fd00:96::1'], sessionAffinity: ClientIP,
 ports: [{name: n, port: 80, targetPort: http}, {name: m, port: 90}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {selector: {app: web}, clusterIP: None, ports: [{port: 1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: a.b}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-hand}, spec: {clusterIP: 10.96.0.2, ports: [{port: 1}]}}
");
    let names: Vec<_> = found.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["by-hand", "headless", "outside", "s"]);
    assert!(found[0].ports[0].backends.is_empty());
    let service = &found[3];
    assert!(service.client_affinity);
    assert_eq!(service.addresses, [ip("10.96.0.1"), ip("fd00:96::1")]);
    assert_eq!(
        service.ports[0].backends,
        [(ip("10.0.0.1"), 8081), (ip("10.0.0.2"), 8080)]
    );
    assert_eq!(
        service.ports[1].backends,
        [(ip("10.0.0.1"), 90), (ip("10.0.0.2"), 90)]
    );
}

#[test]
fn a_service_has_external_addresses_and_node_ports() {
    let found = services("
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, selector: {app: web}, clusterIP: 10.96.0.1,
 externalIPs: [203.0.113.5], ports: [{port: 80, nodePort: 30080}, {port: 90, protocol: UDP, nodePort: 0}]},
 status: {loadBalancer: {ingress: [{ip: 203.0.113.6, ipMode: VIP}, {ip: 203.0.113.7, ipMode: Proxy},
 {hostname: lb.example}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: t}, spec: {clusterIP: None, selector: {app: web}, externalIPs: [203.0.113.8],
 ports: [{port: 80, nodePort: 30081}]}}
");
    let service = &found[0];
    assert_eq!(service.addresses, [ip("10.96.0.1")]);
    // In mode `Proxy` traffic goes to the load balancer itself.
    assert_eq!(service.external, [ip("203.0.113.5"), ip("203.0.113.6")]);
    assert_eq!(service.ports[0].node_port, Some(30080));
    assert_eq!(service.ports[1].node_port, None);
    // Nobody translates what has no virtual address.
    assert!(found[1].external.is_empty());
    assert_eq!(found[1].ports[0].node_port, None);
}

#[test]
fn endpoints_decide_where_there_are_no_slices() {
    let text = "
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.96.0.1,
 ports: [{name: n, port: 80}, {name: u, port: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: s}, subsets: [
 {addresses: [{ip: 10.1.0.1}], notReadyAddresses: [{ip: 10.1.0.2}], ports: [{name: n, port: 8000}]},
 {addresses: [{ip: 10.1.0.3}], ports: [{name: n, port: 8001}, {name: u, port: 5353, protocol: UDP}]}]}
";
    let found = services(text);
    assert_eq!(
        found[0].ports[0].backends,
        [(ip("10.1.0.1"), 8000), (ip("10.1.0.3"), 8001)]
    );
    assert_eq!(found[0].ports[1].backends, [(ip("10.1.0.3"), 5353)]);
    let found = services(&format!("{text}---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s-1, labels: {{kubernetes.io/service-name: s}}}},
 addressType: IPv4, ports: [{{name: n, port: 9000}}], endpoints: [{{addresses: [10.1.0.9]}}]}}
"));
    assert_eq!(found[0].ports[0].backends, [(ip("10.1.0.9"), 9000)]);
}

#[test]
fn ranges_of_pods_are_those_of_nodes_and_those_that_addresses_are_given_from() {
    let text = "
{apiVersion: v1, kind: Node, metadata: {name: n}, spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, 'fd01::/64']}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p}}
";
    let given = Options {
        assign_addresses: true,
        ..Options::default()
    };
    let (plain, _) = world(text, &Options::default());
    let ranges: Vec<String> = plain.nodes[0]
        .pod_ranges
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ranges, ["10.1.0.0/24", "fd01::/64"]);
    assert!(plain.pod_ranges.is_empty());
    let (assigned, _) = world(text, &given);
    let ranges: Vec<String> = assigned
        .pod_ranges
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ranges, ["10.244.0.0/16", "fd00:10:244::/48"]);
    // Every pod has an address: nothing is said of others.
    let (told, _) = world(
        "{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {podIP: 10.244.0.9}}",
        &given,
    );
    assert!(told.pod_ranges.is_empty());
}

#[test]
fn slices_decide_where_there_are_any() {
    let found = services("
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: web}, clusterIP: 10.96.0.1,
 ports: [{name: n, port: 80}, {name: u, port: 53, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, labels: {kubernetes.io/service-name: s}},
 addressType: IPv4, ports: [{name: n, port: 8000, protocol: TCP}, {name: u, port: 5353, protocol: UDP}],
 endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2], conditions: {ready: false}}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-2, labels: {kubernetes.io/service-name: s}},
 addressType: IPv6, ports: [{name: n, port: 8000}], endpoints: [{addresses: ['fd01::1'], conditions: {ready: true}}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: other, namespace: x, labels: {kubernetes.io/service-name: s}},
 addressType: IPv4, ports: [{name: n, port: 1}], endpoints: [{addresses: [10.1.0.9]}]}
");
    let service = &found[0];
    assert_eq!(
        service.ports[0].backends,
        [(ip("10.1.0.1"), 8000), (ip("fd01::1"), 8000)]
    );
    assert_eq!(service.ports[1].protocol, Protocol::Udp);
    assert_eq!(service.ports[1].backends, [(ip("10.1.0.1"), 5353)]);
}

#[test]
fn addresses_are_given_in_order_and_never_twice() {
    let text = "
{apiVersion: v1, kind: Pod, metadata: {name: z}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}}
---
{apiVersion: v1, kind: Pod, metadata: {name: fixed}, status: {podIP: 10.244.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {hostNetwork: true, nodeName: n}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 10.244.0.3}]}}
";
    let options = Options {
        assign_addresses: true,
        ..Options::default()
    };
    let (given, _) = world(text, &options);
    let addresses: Vec<_> = given.pods.iter().map(|pod| pod.addresses.clone()).collect();
    assert_eq!(
        addresses,
        [
            vec![ip("10.244.0.2"), ip("fd00:10:244::2")],
            vec![ip("10.244.0.1")],
            vec![ip("10.244.0.3")],
            vec![ip("10.244.0.4"), ip("fd00:10:244::4")],
        ]
    );
    assert_eq!(world(text, &options).0, given);
    assert!(
        world(text, &Options::default()).0.pods[0]
            .addresses
            .is_empty()
    );
}

#[test]
fn workloads_become_pods_on_demand() {
    let template = "template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: robot}}";
    let text = format!("
{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d}}, spec: {{replicas: 2, {template}}}}}
---
{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: s, namespace: x}}, spec: {{{template}}}}}
---
{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: e, namespace: y}}, spec: {{{template}}}}}
---
{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: r, ownerReferences: [{{kind: Deployment}}]}}, spec: {{{template}}}}}
---
{{apiVersion: v1, kind: Node, metadata: {{name: n1}}}}
---
{{apiVersion: v1, kind: Node, metadata: {{name: n2}}}}
---
{{apiVersion: v1, kind: Pod, metadata: {{name: d-0}}}}
");
    let options = Options {
        expand_workloads: true,
        ..Options::default()
    };
    let (made, placements) = world(&text, &options);
    assert_eq!(
        names(&made),
        ["default/d-0", "default/d-1", "x/s-0", "y/e-0", "y/e-1"]
    );
    assert_eq!(made.pods[1].labels["app"], "web");
    assert_eq!(made.pods[1].service_account, "robot");
    assert_eq!(placements[4].node, "n2");
    assert_eq!(names(&world(&text, &Options::default()).0), ["default/d-0"]);

    // Those that a cluster has made already are enough.
    let text = format!("{text}---
{{apiVersion: v1, kind: Pod, metadata: {{name: d-5c-x, labels: {{app: web, hash: '5c'}}, ownerReferences: [{{kind: ReplicaSet}}]}}}}
");
    let (made, _) = world(&text, &options);
    assert_eq!(
        names(&made),
        ["default/d-0", "default/d-5c-x", "x/s-0", "y/e-0", "y/e-1"]
    );
}

#[test]
fn jobs_and_cronjobs_become_pods_like_other_workloads() {
    let template = "template: {metadata: {labels: {app: seed}}, spec: {serviceAccountName: robot}}";
    let text = format!("
{{apiVersion: batch/v1, kind: Job, metadata: {{name: seed}}, spec: {{parallelism: 2, {template}}}}}
---
{{apiVersion: batch/v1, kind: Job, metadata: {{name: done}}, spec: {{{template}}}, status: {{completionTime: '2026-11-29T00:00:00Z'}}}}
---
{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: nightly, namespace: x}}, spec: {{jobTemplate: {{spec: {{{template}}}}}}}}}
---
{{apiVersion: batch/v1, kind: Job, metadata: {{name: nightly-1, namespace: x, ownerReferences: [{{kind: CronJob}}]}}, spec: {{{template}}}}}
");
    let options = Options {
        expand_workloads: true,
        ..Options::default()
    };
    let (made, _) = world(&text, &options);
    assert_eq!(
        names(&made),
        ["default/seed-0", "default/seed-1", "x/nightly-0"]
    );
    let pod = |index: usize| &made.pods[index];
    assert_eq!(pod(0).labels["app"], "seed");
    assert_eq!(pod(0).labels["batch.kubernetes.io/job-name"], "seed");
    assert_eq!(pod(2).service_account, "robot");
    assert_eq!(pod(2).labels.get("job-name"), None);
    assert_eq!(names(&world(&text, &Options::default()).0), [] as [&str; 0]);
}

#[test]
fn only_change_is_change() {
    let mut index = Index::default();
    let document = yaml::documents(PODS, Path::new("f")).unwrap().remove(0);
    let Converted::Good { key, object, .. } = crate::convert(&document.value) else {
        panic!("good");
    };
    assert!(index.apply(key.clone(), object.clone()));
    assert!(!index.apply(key.clone(), object));
    assert!(index.get(&key).is_some());
    assert!(index.remove(&key));
    assert!(!index.remove(&key));
}

#[test]
fn services_get_an_address_where_a_cluster_would_give_one() {
    let text = format!(
        "{PODS}---
{{apiVersion: v1, kind: Service, metadata: {{name: fixed}}, spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}], selector: {{app: web}}}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: headless}}, spec: {{clusterIP: None, ports: [{{port: 80}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: plain}}, spec: {{ports: [{{port: 80}}], selector: {{app: web}}}}}}
"
    );
    let options = Options {
        assign_addresses: true,
        ..Options::default()
    };
    let (assigned, _) = world(&text, &options);
    let found: Vec<_> = assigned
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.addresses.first().copied()))
        .collect();
    assert_eq!(
        found,
        [
            ("fixed", Some(ip("10.96.0.1"))),
            ("headless", None),
            ("plain", Some(ip("10.96.0.2"))),
        ]
    );
    let (plain, _) = world(&text, &Options::default());
    assert!(plain.services[2].addresses.is_empty());
}

#[test]
fn a_namespace_that_only_pods_tell_of_has_its_name_as_a_label() {
    let (world, _) = world(PODS, &Options::default());
    let labels = &world.namespaces["default"].labels;
    assert_eq!(labels["kubernetes.io/metadata.name"], "default");
}
