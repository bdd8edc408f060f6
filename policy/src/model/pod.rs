//! Pods, and how they are named.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{policy::Protocol, selector::Labels, visibility::Visibility};

/// Names a pod; `NAMESPACE/NAME` wherever it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodName {
    /// Namespace.
    pub namespace: String,
    /// Name in it.
    pub name: String,
}

/// Not `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pod; NAMESPACE/NAME is")]
pub struct NotAPodName(String);

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Service account; `default` where the object names none.
    pub service_account: String,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `status.hostIPs` of the node it runs on.
    pub host_addresses: Vec<IpAddr>,
    /// `spec.nodeName`, empty where unknown.
    pub node: String,
    /// Shares the node's network: neither subject of a policy nor matched by a pod selector.
    pub host_network: bool,
    /// Named container ports.
    pub ports: Vec<ContainerPort>,
    /// Ports of its node that lead to it (`hostPort`).
    #[serde(default)]
    pub host_ports: Vec<(Protocol, u16)>,
    /// What is to be seen of its traffic; `None`: what its namespace asks for.
    #[serde(default)]
    pub visibility: Option<Visibility>,
}

/// A named port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Its name; empty where the object names none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

// === impl PodName ===

impl PodName {
    /// The pod of a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As a whole, so that widths hold.
        f.pad(&format!("{}/{}", self.namespace, self.name))
    }
}

impl PartialEq<str> for PodName {
    fn eq(&self, text: &str) -> bool {
        text.split_once('/') == Some((&self.namespace, &self.name))
    }
}

impl FromStr for PodName {
    type Err = NotAPodName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotAPodName(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PodName {
    type Error = NotAPodName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PodName> for String {
    fn from(pod: PodName) -> Self {
        pod.to_string()
    }
}

/// A pod on links and in files where namespace and name are two fields: of a struct's field with
/// `#[serde(flatten, with = "two_fields")]`.
pub mod two_fields {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PodName;

    #[derive(Serialize, Deserialize)]
    struct TwoFields<S> {
        namespace: S,
        name: S,
    }

    /// Writes both fields.
    pub fn serialize<S: Serializer>(pod: &PodName, serializer: S) -> Result<S::Ok, S::Error> {
        let (namespace, name) = (&pod.namespace, &pod.name);
        TwoFields { namespace, name }.serialize(serializer)
    }

    /// Reads both fields.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PodName, D::Error> {
        let TwoFields::<String> { namespace, name } = TwoFields::deserialize(deserializer)?;
        Ok(PodName { namespace, name })
    }
}

// === impl Pod ===

impl Pod {
    /// What it is called.
    pub fn id(&self) -> PodName {
        PodName::new(&self.namespace, &self.name)
    }

    /// Whether it stands for a node, as [`World::host`](super::World::host) makes it: a node is in
    /// no namespace, and every pod is.
    pub fn is_node(&self) -> bool {
        self.namespace.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(flatten, with = "two_fields")]
        pod: PodName,
        others: Vec<PodName>,
    }

    #[test]
    fn a_pod_is_written_in_one_way() {
        let pod = PodName::new("shop", "cart");
        assert_eq!(pod.to_string(), "shop/cart");
        assert_eq!("shop/cart".parse(), Ok(pod.clone()));
        assert!(pod == *"shop/cart" && pod != *"shop/carts" && pod != *"shop");
        for wrong in ["", "cart", "/cart", "shop/"] {
            let error = wrong.parse::<PodName>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{wrong}` is no pod")),
                "{error}"
            );
        }
        let others = vec![pod.clone()];
        let text = r#"{"namespace":"shop","name":"cart","others":["shop/cart"]}"#;
        let holder = Holder { pod, others };
        assert_eq!(serde_json::to_string(&holder).unwrap(), text);
        assert_eq!(serde_json::from_str::<Holder>(text).unwrap(), holder);
    }
}
