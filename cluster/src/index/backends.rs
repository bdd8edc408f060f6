//! Services with their backends: from EndpointSlices, from Endpoints where there are none, or else
//! from pods.

use std::{collections::BTreeMap, net::IpAddr};

use weir_policy::model::{Service, ServicePort};

use super::{Index, addresses};
use crate::objects::{
    Kind, Object, ObjectKey, PodObject, ServiceObject, ServicePortObject, SliceObject, TargetPort,
};

/// All services; those without a virtual address lead somewhere all the same. With `assign`, those
/// get one that a cluster would give one.
pub(super) fn services(
    objects: &BTreeMap<ObjectKey, Object>,
    pods: &[PodObject],
    assign: bool,
) -> Vec<Service> {
    let given = Index::of_kind(objects, Kind::Service).flat_map(|(_, object)| match object {
        Object::Service(service) => service.addresses.as_slice(),
        _ => &[],
    });
    let mut free = addresses::of_services(given.copied().collect());
    let mut slices: BTreeMap<(&str, &str), Vec<&SliceObject>> = BTreeMap::new();
    for (key, object) in Index::of_kind(objects, Kind::EndpointSlice) {
        if let Object::EndpointSlice(slice) = object {
            let service = (key.namespace.as_str(), slice.service.as_str());
            slices.entry(service).or_default().push(slice);
        }
    }
    for (key, object) in Index::of_kind(objects, Kind::Endpoints) {
        let Object::Endpoints(subsets) = object else {
            continue;
        };
        // Where there are slices, they were made of it.
        let service = (key.namespace.as_str(), key.name.as_str());
        slices
            .entry(service)
            .or_insert_with(|| subsets.iter().collect());
    }
    let mut services = Vec::new();
    for (key, object) in Index::of_kind(objects, Kind::Service) {
        let Object::Service(service) = object else {
            continue;
        };
        let mut addresses = service.addresses.clone();
        if addresses.is_empty() && assign && service.virtual_address {
            addresses.extend(free.next().into_iter().flatten());
        }
        let slices = slices.get(&(key.namespace.as_str(), key.name.as_str()));
        let ports = service
            .ports
            .iter()
            .map(|port| {
                let mut backends = match slices {
                    Some(slices) => of_slices(slices, port),
                    // A cluster always has slices; a folder of plain manifests has none.
                    None => of_pods(service, &key.namespace, port, pods),
                };
                backends.sort_unstable();
                backends.dedup();
                ServicePort {
                    name: port.name.clone(),
                    protocol: port.protocol,
                    port: port.port,
                    node_port: port.node_port,
                    backends,
                }
            })
            .collect();
        services.push(Service {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            labels: service.labels.clone(),
            addresses,
            external: service.external.clone(),
            ports,
            client_affinity: service.client_affinity,
        });
    }
    services
}

fn of_slices(slices: &[&SliceObject], port: &ServicePortObject) -> Vec<(IpAddr, u16)> {
    let mut backends = Vec::new();
    for slice in slices {
        let same = |given: &&crate::objects::SlicePort| {
            given.name == port.name && given.protocol == port.protocol
        };
        for found in slice.ports.iter().filter(same) {
            backends.extend(slice.ready.iter().map(|address| (*address, found.port)));
        }
    }
    backends
}

fn of_pods(
    service: &ServiceObject,
    namespace: &str,
    port: &ServicePortObject,
    pods: &[PodObject],
) -> Vec<(IpAddr, u16)> {
    let Some(selector) = &service.selector else {
        return Vec::new();
    };
    let mut backends = Vec::new();
    for pod in pods {
        let selected = pod.pod.namespace == namespace
            && pod.ready != Some(false)
            && selector
                .iter()
                .all(|(key, value)| pod.pod.labels.get(key) == Some(value));
        if !selected {
            continue;
        }
        let number = match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => pod
                .pod
                .ports
                .iter()
                .find(|given| given.name == *name && given.protocol == port.protocol)
                .map(|given| given.port),
        };
        if let Some(number) = number {
            backends.extend(pod.pod.addresses.iter().map(|address| (*address, number)));
        }
    }
    backends
}
