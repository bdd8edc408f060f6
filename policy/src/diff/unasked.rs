//! Policies that differ and select no pod of both worlds: nothing can be said of what they change.

use std::collections::BTreeSet;

use super::ends::End;
use crate::{
    compile::subject,
    model::{Labels, Pod, Policy, World},
};

/// Their objects, as `Kind/NAMESPACE/NAME`, sorted.
pub(super) fn unasked(old: &World, new: &World, ends: &[End]) -> Vec<String> {
    let groups = ends.iter().filter(|end| !end.outside);
    let (olds, news): (Vec<&Pod>, Vec<&Pod>) = groups
        .filter_map(|end| {
            let (before, after) = end.first();
            Some((pod(old, before)?, pod(new, after)?))
        })
        .unzip();
    let differ = differing(old, new).chain(differing(new, old));
    let objects: BTreeSet<String> = differ.map(|policy| policy.object.to_string()).collect();
    let asked = |world: &World, pods: &[&Pod], object: &str| {
        let mut policies = world.policies.iter();
        policies.any(|policy| policy.object.to_string() == *object && selects(world, policy, pods))
    };
    objects
        .into_iter()
        .filter(|object| !asked(old, &olds, object) && !asked(new, &news, object))
        .collect()
}

/// The policies of one world that the other has not, or not as they are.
fn differing<'a>(one: &'a World, other: &World) -> impl Iterator<Item = &'a Policy> {
    let policies = one.policies.iter();
    policies.filter(|policy| !other.policies.contains(policy))
}

fn pod<'a>(world: &'a World, name: &str) -> Option<&'a Pod> {
    world.pods.iter().find(|pod| pod.id() == *name)
}

fn selects(world: &World, policy: &Policy, pods: &[&Pod]) -> bool {
    let no_labels = Labels::new();
    policy.specs.iter().any(|spec| {
        let mut pods = pods.iter();
        pods.any(|pod| spec.subject.matches(subject(world, pod, &no_labels)))
    })
}
