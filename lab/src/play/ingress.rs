//! Ingress objects: which host and path lead to which pods, for the controller that the lab plays.

use anyhow::Result;
use k8s_openapi::api::networking::v1 as api;
use serde::{Deserialize, Serialize};

use super::endpoints::{Ready, backends};
use super::service::ServicePlan;
use crate::layout::bracketed;
use crate::object::Object;

/// One path of an Ingress, and the service that it means.
#[derive(Debug, Clone)]
pub struct IngressPlan {
    namespace: String,
    host: Option<String>,
    path: String,
    service: String,
    port: Port,
}

#[derive(Debug, Clone)]
enum Port {
    Number(i32),
    Name(String),
}

/// What the controller reads: longer paths first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Without one, every host.
    pub host: Option<String>,
    pub path: String,
    /// `ADDRESS:PORT` of the pods, both families.
    pub backends: Vec<String>,
}

/// Every path of every Ingress. The class is not looked at: there is one controller.
pub fn plan(objects: &[Object]) -> Result<Vec<IngressPlan>> {
    let mut plans = Vec::new();
    for object in objects.iter().filter(|object| object.key.kind == "Ingress") {
        let namespace = object.key.namespace.clone().unwrap_or_default();
        let spec = object.parse::<api::Ingress>()?.spec.unwrap_or_default();
        let mut add =
            |field: &str, host: Option<&String>, path: String, to: &api::IngressBackend| {
                let Some(service) = &to.service else {
                    return Err(object.wrong(field, "a service is wanted"));
                };
                let port = service.port.clone().unwrap_or_default();
                let port = match (port.number, port.name) {
                    (Some(number), _) => Port::Number(number),
                    (None, Some(name)) => Port::Name(name),
                    (None, None) => {
                        let field = format!("{field}.service.port");
                        return Err(object.wrong(&field, "a number or a name is wanted"));
                    }
                };
                plans.push(IngressPlan {
                    namespace: namespace.clone(),
                    host: host.map(|host| host.to_lowercase()),
                    path,
                    service: service.name.clone(),
                    port,
                });
                Ok(())
            };
        for (index, rule) in spec.rules.iter().flatten().enumerate() {
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            for (at, path) in paths.enumerate() {
                let field = format!("spec.rules[{index}].http.paths[{at}].backend");
                let prefix = path.path.clone().unwrap_or_else(|| "/".into());
                add(&field, rule.host.as_ref(), prefix, &path.backend)?;
            }
        }
        if let Some(backend) = &spec.default_backend {
            add("spec.defaultBackend", None, "/".into(), backend)?;
        }
    }
    Ok(plans)
}

/// The routes with the pods that are ready now. A service that does not exist has none.
pub fn routes(plans: &[IngressPlan], services: &[ServicePlan], pods: &[Ready<'_>]) -> Vec<Route> {
    let mut routes: Vec<Route> = plans
        .iter()
        .map(|plan| Route {
            host: plan.host.clone(),
            path: plan.path.clone(),
            backends: pods_behind(plan, services, pods),
        })
        .collect();
    // A stable sort: of two paths of one length the first one written counts.
    routes.sort_by_key(|route| (route.host.is_none(), usize::MAX - route.path.len()));
    routes
}

fn pods_behind(plan: &IngressPlan, services: &[ServicePlan], pods: &[Ready<'_>]) -> Vec<String> {
    let service = services
        .iter()
        .find(|service| service.namespace == plan.namespace && service.name == plan.service);
    let port = service.and_then(|service| {
        service.ports.iter().find(|port| match &plan.port {
            Port::Number(number) => i32::from(port.port) == *number,
            Port::Name(name) => port.name.as_ref() == Some(name),
        })
    });
    let (Some(service), Some(port)) = (service, port) else {
        return Vec::new();
    };
    [false, true]
        .into_iter()
        .flat_map(|v6| backends(service, port, v6, pods))
        .map(|backend| format!("{}:{}", bracketed(backend.address), backend.port))
        .collect()
}

// === impl Route ===

impl Route {
    /// Whether a request for a host, without its port, and a path goes here.
    pub fn takes(&self, host: &str, path: &str) -> bool {
        let prefix = self.path.trim_end_matches('/');
        let rest = path.strip_prefix(prefix);
        self.host
            .as_ref()
            .is_none_or(|own| own.eq_ignore_ascii_case(host))
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths() {
        let route = |host: Option<&str>, path: &str| Route {
            host: host.map(Into::into),
            path: path.into(),
            backends: Vec::new(),
        };
        assert!(route(Some("foo.bar"), "/").takes("Foo.Bar", "/x"));
        assert!(!route(Some("foo.bar"), "/").takes("bar", "/x"));
        assert!(route(None, "/a").takes("any", "/a/b"));
        assert!(!route(None, "/a").takes("any", "/ab"));
    }
}
