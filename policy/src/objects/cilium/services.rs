//! `toServices`: the backends of services, by name or by label.

use crate::model::{NamespaceScope, Peer, ServiceSelector, WhichServices};
use crate::objects::{
    field::{Fault, Field},
    labels,
};

/// One entry of `toServices`. Without a namespace it means the policy's own; a clusterwide policy
/// means every one.
pub(super) fn service(field: &Field<'_>, scope: &NamespaceScope) -> Result<Peer, Fault> {
    let object = field.object()?;
    object.only(&["k8sService", "k8sServiceSelector"], &[])?;
    let (given, which) = match (object.get("k8sService"), object.get("k8sServiceSelector")) {
        (Some(named), None) => {
            let service = named.object()?;
            service.only(&["serviceName", "namespace"], &[])?;
            let name = service.field("serviceName").text()?;
            if name.is_empty() {
                return Err(service.field("serviceName").fault("is empty"));
            }
            (service, WhichServices::Named(name.to_owned()))
        }
        (None, Some(selector)) => {
            let service = selector.object()?;
            service.only(&["selector", "namespace"], &[])?;
            let selector = labels::selector(&service.field("selector"), |key| {
                labels::qualified(key)?;
                Ok(crate::model::Key::Label(key.to_owned()))
            })?;
            (service, WhichServices::Matching(selector))
        }
        (None, None) => return Err(field.fault("needs `k8sService` or `k8sServiceSelector`")),
        (Some(_), Some(other)) => {
            return Err(other.fault("cannot stand beside `k8sService`: write an entry for each"));
        }
    };
    let namespace = match (given.get("namespace"), scope) {
        (Some(namespace), _) if !namespace.text()?.is_empty() => Some(namespace.text()?.to_owned()),
        (_, NamespaceScope::Named(own)) => Some(own.clone()),
        _ => None,
    };
    Ok(Peer::Service(ServiceSelector { namespace, which }))
}
