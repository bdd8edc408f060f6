//! Services and their virtual addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::address::Pool;
use crate::names;
use crate::object::Object;

/// The first of the ports that the API server gives.
const NODE_PORTS: u16 = 30000;

#[derive(Debug, Clone)]
pub struct ServicePlan {
    pub namespace: String,
    pub name: String,
    /// Names resolve to the pods themselves.
    pub headless: bool,
    /// Virtual addresses, the first family first; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Whether it has IPv4 and IPv6.
    pub families: [bool; 2],
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
    /// `externalTrafficPolicy: Local`: the client's address stays, and only pods of the node that
    /// it asked are reached.
    pub external_local: bool,
}

#[derive(Debug, Clone)]
pub struct ServicePort {
    pub name: Option<String>,
    pub protocol: String,
    pub port: u16,
    pub target: Target,
    /// The port of every node that leads here.
    pub node_port: Option<u16>,
}

/// Where in a pod a service port leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Number(u16),
    /// The container port of that name, which may differ from pod to pod.
    Name(String),
}

// === impl ServicePlan ===

impl ServicePlan {
    /// `NS/NAME`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn has_family(&self, v6: bool) -> bool {
        self.families[usize::from(v6)]
    }
}

/// All services. New ones get addresses, those that are gone give theirs back.
pub fn plan(
    objects: &[Object],
    pool: &mut Pool,
    given: &mut BTreeMap<String, Vec<IpAddr>>,
) -> Result<Vec<ServicePlan>> {
    let services: Vec<(&Object, api::ServiceSpec)> = objects
        .iter()
        .filter(|object| object.key.kind == "Service")
        .map(|object| {
            Ok((
                object,
                object.parse::<api::Service>()?.spec.unwrap_or_default(),
            ))
        })
        .collect::<Result<_>>()?;
    let mut plans = Vec::new();
    for (object, spec) in services
        .iter()
        .filter(|(_, spec)| spec.type_.as_deref() != Some("ExternalName"))
    {
        plans.push(one(object, spec)?);
    }
    let wanted: BTreeSet<String> = plans.iter().map(ServicePlan::id).collect();
    given.retain(|id, addresses| {
        let keep = wanted.contains(id);
        if !keep {
            addresses.iter().for_each(|address| pool.release(*address));
        }
        keep
    });
    // What people name goes first, or the cursor might give it away.
    for plan in &plans {
        plan.addresses
            .iter()
            .for_each(|address| pool.reserve(*address));
    }
    for plan in plans.iter_mut().filter(|plan| !plan.headless) {
        let id = plan.id();
        let known = given.get(&id);
        let suits = known.is_some_and(|known| {
            plan.addresses.iter().all(|wanted| known.contains(wanted))
                && [false, true].iter().all(|v6| {
                    plan.has_family(*v6) == known.iter().any(|address| address.is_ipv6() == *v6)
                })
        });
        if !suits {
            let host = pool
                .take()
                .context("no virtual address is free for a service")?;
            for v6 in [false, true] {
                let missing = !plan.addresses.iter().any(|a| a.is_ipv6() == v6);
                if plan.has_family(v6) && missing {
                    plan.addresses
                        .push(if v6 { pool.v6(host) } else { pool.v4(host) });
                }
            }
            given.insert(id, plan.addresses.clone());
        } else if let Some(known) = known {
            plan.addresses.clone_from(known);
        }
    }
    Ok(plans)
}

fn one(object: &Object, spec: &api::ServiceSpec) -> Result<ServicePlan> {
    let mut named: Vec<&String> = spec.cluster_ips.iter().flatten().collect();
    if named.is_empty() {
        named.extend(&spec.cluster_ip);
    }
    let headless = named.iter().any(|address| *address == "None");
    let addresses: Vec<IpAddr> = named
        .into_iter()
        .filter(|address| !address.is_empty() && *address != "None")
        .map(|address| {
            let parsed = address.parse();
            parsed.map_err(|error| object.wrong("spec.clusterIP", format!("{address}: {error}")))
        })
        .collect::<Result<_>>()?;
    Ok(ServicePlan {
        namespace: object.key.namespace.clone().unwrap_or_default(),
        name: object.key.name.clone(),
        headless,
        addresses,
        families: families(spec),
        selector: spec.selector.clone().unwrap_or_default(),
        ports: spec
            .ports
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, port)| service_port(object, spec, index, port))
            .collect::<Result<_>>()?,
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
    })
}

/// Both families, unless the service says otherwise: the lab is there to try both.
fn families(spec: &api::ServiceSpec) -> [bool; 2] {
    let listed = spec.ip_families.clone().unwrap_or_default();
    let has = |family: &str| listed.iter().any(|listed| listed == family);
    match (listed.is_empty(), spec.ip_family_policy.as_deref()) {
        (true, Some("SingleStack")) => [true, false],
        (true, _) | (false, Some("PreferDualStack" | "RequireDualStack")) => [true, true],
        (false, _) => [has("IPv4"), has("IPv6")],
    }
}

fn service_port(
    object: &Object,
    spec: &api::ServiceSpec,
    index: usize,
    port: &api::ServicePort,
) -> Result<ServicePort> {
    let number = |field: &str, number: i32| {
        u16::try_from(number)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| {
                let field = format!("spec.ports[{index}].{field}");
                object.wrong(&field, format!("{number} is not a port"))
            })
    };
    let own = number("port", port.port)?;
    let target = match &port.target_port {
        None | Some(IntOrString::Int(0)) => Target::Number(own),
        Some(IntOrString::Int(target)) => Target::Number(number("targetPort", *target)?),
        Some(IntOrString::String(name)) => match name.parse::<u16>() {
            Ok(target) => Target::Number(target),
            Err(_) => Target::Name(name.clone()),
        },
    };
    let exposed = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
    let node_port = match port.node_port {
        _ if !exposed => None,
        Some(chosen) => Some(number("nodePort", chosen)?),
        // Always the same, so that a command that was written down works again.
        None => Some(
            NODE_PORTS + (names::hash(&[&object.key.to_string(), &own.to_string()]) % 2768) as u16,
        ),
    };
    Ok(ServicePort {
        name: port.name.clone(),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
        port: own,
        target,
        node_port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::read;

    fn service(extra: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{ports: [{{port: 80}}]{extra}}}}}"
        )
    }

    fn planned(yaml: &str) -> Result<Vec<ServicePlan>> {
        let objects = read::text(yaml, "x.yaml", "default")?;
        plan(&objects, &mut Pool::services(), &mut BTreeMap::new())
    }

    #[test]
    fn addresses_by_family_and_wish() {
        let text = |yaml: &str| {
            let plan = planned(yaml).unwrap().remove(0);
            let addresses: Vec<String> = plan.addresses.iter().map(IpAddr::to_string).collect();
            addresses.join(" ")
        };
        assert_eq!(text(&service("")), "10.96.1.0 fd00:10:96::100");
        assert_eq!(text(&service(", clusterIP: None")), "");
        assert_eq!(
            text(&service(", clusterIP: 10.96.0.10")),
            "10.96.0.10 fd00:10:96::100"
        );
        assert_eq!(text(&service(", ipFamilies: [IPv6]")), "fd00:10:96::100");
        assert_eq!(text(&service(", ipFamilyPolicy: SingleStack")), "10.96.1.0");
    }

    #[test]
    fn addresses_stay_and_come_back() {
        let (mut pool, mut given) = (Pool::services(), BTreeMap::new());
        let objects = read::text(&service(""), "x.yaml", "default").unwrap();
        let first = plan(&objects, &mut pool, &mut given).unwrap();
        let second = plan(&objects, &mut pool, &mut given).unwrap();
        assert_eq!(first[0].addresses, second[0].addresses);
        plan(&[], &mut pool, &mut given).unwrap();
        assert!(given.is_empty());
        let third = plan(&objects, &mut pool, &mut given).unwrap();
        assert_ne!(first[0].addresses, third[0].addresses);
    }

    #[test]
    fn mistakes_are_named() {
        let error = planned(&service("").replace("port: 80", "port: 0")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.yaml:1: Service default/s: spec.ports[0].port: 0 is not a port"
        );
    }
}
