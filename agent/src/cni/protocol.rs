//! A call of a container runtime: environment, configuration, results and errors.

use std::{fmt, io::Read, net::IpAddr, path::PathBuf};

use serde_json::{Value, json};
use weir_link::Instance;
use weir_policy::model::{PodName, address};

/// Error codes of the specification, and our own from 100 on.
pub const INVALID_ENVIRONMENT: u32 = 4;
pub const UNREADABLE: u32 = 6;
pub const INVALID_CONFIG: u32 = 7;
pub const TRY_AGAIN: u32 = 11;
pub const NOT_AVAILABLE: u32 = 50;
pub const NO_VETH: u32 = 100;

const SUPPORTED: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// A longer configuration is refused.
const LONGEST: u64 = 4 << 20;

/// A call.
#[derive(Debug)]
pub struct Call {
    pub command: String,
    pub container: String,
    pub interface: String,
    pub version: String,
    netns: String,
    arguments: String,
    config: Value,
}

/// Why a call failed.
#[derive(Debug)]
pub struct Fault {
    code: u32,
    message: String,
    /// It failed for want of the agent.
    pub agent_away: bool,
}

/// What the plugin says it can.
pub fn versions() -> Value {
    json!({"cniVersion": "1.1.0", "supportedVersions": SUPPORTED})
}

/// The pod's addresses in the result of the plugin before. A pod without one is refused: nobody
/// would know whose its packets are.
pub fn addresses(previous: &Value) -> Result<Vec<IpAddr>, Fault> {
    let ips = previous
        .get("ips")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if ips.is_empty() {
        let message = "prevResult.ips is missing or empty: the pod has no address";
        return Err(Fault::new(INVALID_CONFIG, message.to_owned()));
    }
    ips.iter()
        .enumerate()
        .map(|(index, ip)| {
            let text = ip
                .get("address")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let text = text.split_once('/').map_or(text, |(address, _)| address);
            address::parse(text).map_err(|error| {
                let message = format!("prevResult.ips[{index}].address: {error}");
                Fault::new(INVALID_CONFIG, message)
            })
        })
        .collect()
}

impl Call {
    /// Reads the environment and the configuration.
    pub fn read(
        environment: &dyn Fn(&str) -> Option<String>,
        input: &mut dyn Read,
    ) -> Result<Self, Fault> {
        let variable = |name: &str| environment(name).unwrap_or_default();
        let command = variable("CNI_COMMAND");
        if command.is_empty() {
            return Err(Fault::new(
                INVALID_ENVIRONMENT,
                "CNI_COMMAND is missing: container runtimes call this plugin".to_owned(),
            ));
        }
        let mut text = String::new();
        input
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(|error| Fault::new(UNREADABLE, format!("the configuration: {error}")))?;
        let config: Value = serde_json::from_str(&text)
            .map_err(|error| Fault::new(UNREADABLE, format!("the configuration: {error}")))?;
        let version = config
            .get("cniVersion")
            .and_then(Value::as_str)
            .unwrap_or("0.1.0")
            .to_owned();
        let call = Self {
            container: variable("CNI_CONTAINERID"),
            interface: variable("CNI_IFNAME"),
            netns: variable("CNI_NETNS"),
            arguments: variable("CNI_ARGS"),
            version,
            command,
            config,
        };
        call.check()
    }

    fn check(self) -> Result<Self, Fault> {
        if self.command != "VERSION" && !SUPPORTED.contains(&self.version.as_str()) {
            return Err(Fault::new(
                1,
                format!(
                    "cniVersion: `{}` is not one of {}",
                    self.version.escape_debug(),
                    SUPPORTED.join(", ")
                ),
            ));
        }
        let needed: &[(&str, &str)] = match self.command.as_str() {
            "ADD" | "CHECK" => &[
                ("CNI_CONTAINERID", &self.container),
                ("CNI_IFNAME", &self.interface),
                ("CNI_NETNS", &self.netns),
            ],
            "DEL" => &[("CNI_CONTAINERID", &self.container)],
            _ => &[],
        };
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(Fault::new(
                INVALID_ENVIRONMENT,
                format!("{name} is missing"),
            )),
            None => Ok(self),
        }
    }

    /// The result of the plugin before this one.
    pub fn previous(&self) -> Result<Value, Fault> {
        match self.config.get("prevResult") {
            Some(previous @ Value::Object(_)) => Ok(previous.clone()),
            _ => Err(Fault::new(
                INVALID_CONFIG,
                "prevResult is missing: weir-cni stands behind another plugin, never alone"
                    .to_owned(),
            )),
        }
    }

    /// The pod's network namespace, a path.
    pub fn netns(&self) -> Result<&str, Fault> {
        match self.netns.starts_with('/') {
            true => Ok(&self.netns),
            false => Err(Fault::new(
                INVALID_ENVIRONMENT,
                format!("CNI_NETNS: `{}` is not a path", self.netns.escape_debug()),
            )),
        }
    }

    /// One of the `CNI_ARGS`.
    pub fn argument(&self, wanted: &str) -> Option<&str> {
        self.arguments
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(name, value)| (name == wanted).then_some(value))
    }

    /// The pod, where it is Kubernetes that calls.
    pub fn pod(&self) -> Option<PodName> {
        let found = |name| self.argument(name).filter(|value| !value.is_empty());
        let (namespace, name) = found("K8S_POD_NAMESPACE").zip(found("K8S_POD_NAME"))?;
        Some(PodName::new(namespace, name))
    }

    /// Where the agent listens.
    pub fn socket(&self) -> PathBuf {
        match self.config.get("socket").and_then(Value::as_str) {
            Some(path) => path.into(),
            None => Instance::default().agent_socket(),
        }
    }

    /// Whether pods start without policy while the agent is away.
    pub fn open_without_agent(&self) -> bool {
        self.config.get("agentAway").is_some_and(|of| of == "open")
    }

    /// The containers that there are, of a GC call.
    pub fn valid_containers(&self) -> Result<Vec<String>, Fault> {
        let attachments = self
            .config
            .get("cni.dev/valid-attachments")
            .and_then(Value::as_array);
        let attachments = attachments.ok_or_else(|| {
            Fault::new(
                INVALID_CONFIG,
                "cni.dev/valid-attachments is missing".to_owned(),
            )
        })?;
        let containers = attachments.iter().map(|attachment| {
            attachment
                .get("containerID")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| {
                    let message = "cni.dev/valid-attachments: an entry without containerID";
                    Fault::new(INVALID_CONFIG, message.to_owned())
                })
        });
        containers.collect()
    }
}

// === impl Fault ===

impl Fault {
    pub fn new(code: u32, message: String) -> Self {
        Self {
            code,
            message,
            agent_away: false,
        }
    }

    /// The agent is away, or does not answer.
    pub fn away(message: String) -> Self {
        Self {
            agent_away: true,
            ..Self::new(TRY_AGAIN, message)
        }
    }

    /// As a runtime reads it.
    pub fn json(&self, version: &str) -> Value {
        json!({"cniVersion": version, "code": self.code, "msg": self.message})
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(environment: &[(&str, &str)], config: &str) -> Result<Call, Fault> {
        let find = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Call::read(&find, &mut config.as_bytes())
    }

    const ADD: [(&str, &str); 5] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/x"),
        (
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=u",
        ),
    ];

    #[test]
    fn a_call_is_read() {
        let config = r#"{"cniVersion": "1.0.0", "prevResult": {"ips": [
            {"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}}"#;
        let call = call(&ADD, config).unwrap();
        assert_eq!(call.pod(), Some(PodName::new("a", "b")));
        assert_eq!(call.argument("K8S_POD_UID"), Some("u"));
        let found = addresses(&call.previous().unwrap()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(!call.open_without_agent());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |environment: &[(&str, &str)], config: &str| {
            call(environment, config)
                .and_then(|call| call.previous())
                .unwrap_err()
                .message
        };
        let good = r#"{"cniVersion": "1.0.0"}"#;
        assert!(said(&[], good).contains("CNI_COMMAND"));
        assert!(said(&ADD[..1], good).contains("CNI_CONTAINERID"));
        assert!(said(&ADD, "{").contains("configuration"));
        assert!(said(&ADD, r#"{"cniVersion": "0.2.0"}"#).contains("cniVersion"));
        assert!(said(&ADD, good).contains("prevResult"));
        for without in [json!({}), json!({"ips": []})] {
            assert!(
                addresses(&without)
                    .unwrap_err()
                    .message
                    .contains("no address")
            );
        }
        let mapped = json!({"ips": [{"address": "::ffff:10.0.0.2/120"}]});
        assert_eq!(addresses(&mapped).unwrap(), [IpAddr::from([10, 0, 0, 2])]);
        let bad = addresses(&json!({"ips": [{"address": "x"}]})).unwrap_err();
        assert!(bad.message.contains("prevResult.ips[0].address"));
    }
}
