//! What records tell of the cluster beside its pods: which addresses are nodes', and which the
//! Kubernetes API's.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Placer, Recorded};
use crate::model::{Entity, Node, Place, Protocol, Service, ServicePort, World, address};

/// The port of the Kubernetes API; who is meant by `kube-apiserver` is told by addresses only.
const API_PORT: u16 = 443;

/// The world with the nodes and the API servers that flows were seen with, as far as it does not
/// have them: manifests of workloads have neither.
pub fn completed(world: &World, flows: &[Recorded]) -> World {
    let placer = Placer::new(world);
    let mut ends: BTreeMap<IpAddr, (BTreeSet<Entity>, String)> = BTreeMap::new();
    for flow in flows {
        for (end, other) in [(&flow.from, &flow.to), (&flow.to, &flow.from)] {
            let entities = placer.entities(end);
            let Some(address) = address::parse(&end.address)
                .ok()
                .filter(|_| !entities.is_empty())
            else {
                continue;
            };
            let (known, node) = ends.entry(address).or_default();
            if entities.contains(&Entity::Host) {
                // Its own node is the one that the other end runs on.
                *node = placer
                    .pod(other)
                    .map_or_else(String::new, |pod| pod.node.clone());
            } else if !known.contains(&Entity::Host) {
                *node = address.to_string();
            }
            known.extend(entities);
        }
    }
    let taken: BTreeSet<IpAddr> = world
        .pods
        .iter()
        .filter(|pod| !pod.host_network)
        .flat_map(|pod| pod.addresses.iter().copied())
        .collect();
    let mut world = world.clone();
    for (address, (entities, node)) in ends {
        // Pods of manifests have addresses that were made up.
        if taken.contains(&address) {
            continue;
        }
        let is_node = entities.contains(&Entity::Host) || entities.contains(&Entity::RemoteNode);
        if is_node && !matches!(world.place(address, ""), Place::Node { .. }) {
            add_node(&mut world, node, address);
        }
        if entities.contains(&Entity::KubeApiserver) && !world.is_apiserver(address) {
            add_apiserver(&mut world, address);
        }
    }
    world
}

fn add_node(world: &mut World, name: String, address: IpAddr) {
    match world.nodes.iter_mut().find(|node| node.name == name) {
        Some(node) => node.addresses.push(address),
        None => world.nodes.push(Node {
            name,
            addresses: vec![address],
            ..Node::default()
        }),
    }
}

fn add_apiserver(world: &mut World, address: IpAddr) {
    let port = ServicePort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port: API_PORT,
        node_port: None,
        backends: vec![(address, API_PORT)],
    };
    match world.services.iter_mut().find(|of| of.is_apiserver()) {
        Some(service) => service.ports.push(port),
        None => world.services.push(Service {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            ports: vec![port],
            ..Service::default()
        }),
    }
}
