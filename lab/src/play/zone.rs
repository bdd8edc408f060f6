//! The names that the lab's DNS answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::endpoints::{Ready, selected};
use super::service::ServicePlan;
use crate::layout::WORLD;
use crate::object::Object;

/// Names without the last dot, in lower case, and their addresses of both families.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Services of type `ExternalName`, and the names that they stand for.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
}

// === impl Zone ===

impl Zone {
    /// Services by name: their virtual address, or their pods where they are headless.
    pub fn of(objects: &[Object], services: &[ServicePlan], pods: &[Ready<'_>]) -> Self {
        let mut zone = Self {
            aliases: objects.iter().filter_map(alias).collect(),
            ..Self::default()
        };
        for (name, v4, v6) in WORLD {
            zone.add(name, v4.into());
            zone.add(name, v6.into());
        }
        for service in services {
            let name = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
            zone.names.entry(name.clone()).or_default();
            for address in &service.addresses {
                zone.add(&name, *address);
            }
            if !service.headless {
                continue;
            }
            for pod in selected(service, pods) {
                let own = hostname(pod.plan, service).map(|host| format!("{host}.{name}"));
                for address in pod.addresses {
                    if service.has_family(address.is_ipv6()) {
                        zone.add(&name, *address);
                        if let Some(own) = &own {
                            zone.add(own, *address);
                        }
                    }
                }
            }
        }
        zone
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        self.names
            .entry(name.to_lowercase())
            .or_default()
            .insert(address);
    }

    /// The name that a name stands for.
    pub fn alias(&self, name: &str) -> Option<&str> {
        let name = name.trim_end_matches('.').to_lowercase();
        self.aliases.get(&name).map(String::as_str)
    }

    /// The addresses of a name; `None` when neither it nor anything below it exists.
    pub fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = name.trim_end_matches('.').to_lowercase();
        if let Some(addresses) = self.names.get(&name) {
            return Some(addresses.iter().copied().collect());
        }
        let below = format!(".{name}");
        let has_children = self.names.keys().any(|known| known.ends_with(&below));
        has_children.then(Vec::new)
    }
}

/// A service of type `ExternalName` by its name, and the name that it stands for.
fn alias(object: &Object) -> Option<(String, String)> {
    let spec = object
        .value
        .get("spec")
        .filter(|_| object.key.kind == "Service")?;
    if spec.get("type")?.as_str() != Some("ExternalName") {
        return None;
    }
    let (name, namespace) = (&object.key.name, object.key.namespace.as_deref()?);
    let target = spec.get("externalName")?.as_str()?.trim_end_matches('.');
    Some((
        format!("{name}.{namespace}.svc.cluster.local"),
        target.to_lowercase(),
    ))
}

/// Pods with a name of their own below a headless service: those of its StatefulSet, and those
/// that say so.
fn hostname(pod: &super::pods::PodPlan, service: &ServicePlan) -> Option<String> {
    let of_set = pod
        .owner
        .as_deref()
        .is_some_and(|owner| owner.starts_with("StatefulSet/"));
    if of_set {
        return Some(pod.name.clone());
    }
    let subdomain = pod.spec.subdomain.as_deref()?;
    (subdomain == service.name)
        .then(|| pod.spec.hostname.clone())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_below_them() {
        let mut zone = Zone::default();
        zone.add("a.default.svc.cluster.local", "10.96.1.0".parse().unwrap());
        assert_eq!(
            zone.find("A.default.svc.cluster.local.").map(|a| a.len()),
            Some(1)
        );
        assert_eq!(zone.find("default.svc.cluster.local"), Some(vec![]));
        assert_eq!(zone.find("b.default.svc.cluster.local"), None);
        assert_eq!(zone.find("ault.svc.cluster.local"), None);
    }
}
