//! Objects by key, and the world that they make together.

use std::collections::BTreeMap;

use weir_policy::model::{ClusterName, Namespace, Pod, Problem, World};

use crate::objects::{Kind, NAMESPACE_NAME_LABEL, Object, ObjectKey, PodObject, PodPlacement};

mod addresses;
mod backends;
mod workloads;

/// What a reader wants besides the objects as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Give pods and services without an address one of each family, always the same for the
    /// same objects.
    pub assign_addresses: bool,
    /// Make the pods of Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs.
    pub expand_workloads: bool,
    /// The cluster's own name.
    pub cluster: ClusterName,
}

/// The objects of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    objects: BTreeMap<ObjectKey, Object>,
}

impl Index {
    /// Puts an object in; tells whether anything changed.
    pub fn apply(&mut self, key: ObjectKey, object: Object) -> bool {
        if self.objects.get(&key) == Some(&object) {
            return false;
        }
        self.objects.insert(key, object);
        true
    }

    /// Takes an object out; tells whether it was there.
    pub fn remove(&mut self, key: &ObjectKey) -> bool {
        self.objects.remove(key).is_some()
    }

    /// An object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Everything that policy depends on, and where the pods sit. Sorted, so that equal objects
    /// make equal worlds.
    pub fn world(&self, options: &Options) -> (World, Vec<PodPlacement>) {
        let mut world = World {
            cluster: options.cluster.clone(),
            ..World::default()
        };
        let mut pods: Vec<PodObject> = Vec::new();
        for (key, object) in &self.objects {
            match object {
                Object::Namespace(namespace) => {
                    world.namespaces.insert(key.name.clone(), namespace.clone());
                }
                Object::Node(node) => world.nodes.push(node.clone()),
                Object::CidrGroup(group) => {
                    world.cidr_groups.insert(key.name.clone(), group.clone());
                }
                Object::Pod(pod) if !pod.finished => pods.push((**pod).clone()),
                Object::Policy(_)
                | Object::Pod(_)
                | Object::Service(_)
                | Object::EndpointSlice(_)
                | Object::Endpoints(_)
                | Object::Workload(_) => {}
            }
        }
        for object in self.objects.values() {
            if let Object::Policy(of) = object {
                world
                    .policies
                    .push(of.policy.with_groups(&world.cidr_groups));
                if !of.logs.is_empty() {
                    let name = of.policy.object.to_string();
                    world.logs.insert(name, of.logs.clone());
                }
            }
        }
        if options.expand_workloads {
            workloads::expand(&self.objects, &world.nodes, &mut pods);
        }
        for pod in &pods {
            named_namespace(&mut world, &pod.pod.namespace);
        }
        for pod in &mut pods {
            host_addresses(&mut pod.pod, &world);
        }
        if options.assign_addresses {
            world.pod_ranges = addresses::assign(&mut pods, &world.nodes);
        }
        world.services = backends::services(&self.objects, &pods, options.assign_addresses);
        let (pods, placements) = pods.into_iter().map(|pod| (pod.pod, pod.placement)).unzip();
        world.pods = pods;
        (world, placements)
    }

    /// Policies of which a rule names a CIDR group that is not there, with what is said of it.
    pub fn missing_groups(
        &self,
        world: &World,
    ) -> impl Iterator<Item = (&ObjectKey, Vec<Problem>)> {
        self.objects.iter().filter_map(|(key, object)| {
            let Object::Policy(of) = object else {
                return None;
            };
            let problems = of.policy.missing_groups(&world.cidr_groups);
            (!problems.is_empty()).then_some((key, problems))
        })
    }

    fn of_kind(
        objects: &BTreeMap<ObjectKey, Object>,
        kind: Kind,
    ) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        objects.iter().filter(move |(key, _)| key.kind == kind)
    }
}

/// A namespace that only its pods tell of has the label that a cluster gives every namespace.
fn named_namespace(world: &mut World, name: &str) {
    let namespaces = &mut world.namespaces;
    if !namespaces.contains_key(name) {
        let labels = [(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())];
        let labels = labels.into_iter().collect();
        let namespace = Namespace {
            labels,
            ..Namespace::default()
        };
        namespaces.insert(name.to_owned(), namespace);
    }
}

/// A pod that does not say its host's addresses has those of its node; with the host's network
/// these are its own.
fn host_addresses(pod: &mut Pod, world: &World) {
    if pod.host_addresses.is_empty()
        && let Some(node) = world.nodes.iter().find(|node| node.name == pod.node)
    {
        pod.host_addresses.clone_from(&node.addresses);
    }
    if pod.host_network && pod.addresses.is_empty() {
        pod.addresses.clone_from(&pod.host_addresses);
    }
}

#[cfg(test)]
mod tests;
