//! Ports and requests to ask for: what the policies mention, and one that they do not.

use std::collections::BTreeSet;

use super::examples::example;
use crate::{
    model::{Direction, HttpRule, Port, PortMatch, Protocol, Rule, World},
    verdict::HttpRequest,
};

/// Asked for where no policy mentions it.
const OTHER_PATH: &str = "/weir-other";

/// A port, with a request or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub protocol: Protocol,
    pub port: Option<u16>,
    pub http: Option<HttpRequest>,
    /// Stands for every port that is not mentioned.
    other: bool,
}

pub(super) struct Probes {
    all: Vec<Probe>,
    /// Requests to each port that has HTTP rules.
    requests: usize,
}

// === impl Probes ===

impl Probes {
    pub fn of(old: &World, new: &World) -> Self {
        let mut ports: BTreeSet<(Protocol, u16)> = BTreeSet::new();
        let mut http_ports: BTreeSet<u16> = BTreeSet::new();
        let mut requests: Vec<HttpRequest> = Vec::new();
        let mut every_port = false;
        for world in [old, new] {
            for rule in rules(world) {
                let of_rule: Vec<_> = rule.ports.iter().flat_map(|p| numbers(world, p)).collect();
                ports.extend(of_rule.iter().copied());
                for entry in rule.http().into_iter().flatten() {
                    for request in request(entry) {
                        if !requests.contains(&request) {
                            requests.push(request);
                        }
                    }
                    http_ports.extend(of_rule.iter().map(|(_, port)| *port));
                    every_port |= rule.ports.is_empty();
                }
            }
        }
        if !requests.is_empty() {
            requests.push(HttpRequest {
                method: "GET".into(),
                path: OTHER_PATH.into(),
                ..HttpRequest::default()
            });
        }
        let mut all = Vec::new();
        for (protocol, port) in &ports {
            all.push(Probe::port(*protocol, *port, false));
            if *protocol == Protocol::Tcp && (every_port || http_ports.contains(port)) {
                all.extend(requests.iter().map(|http| Probe {
                    http: Some(http.clone()),
                    ..Probe::port(*protocol, *port, false)
                }));
            }
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let free = (1..=u16::MAX)
                .rev()
                .find(|port| !ports.contains(&(protocol, *port)));
            all.extend(free.map(|port| Probe::port(protocol, port, true)));
        }
        all.push(Probe {
            protocol: Protocol::Icmp,
            port: None,
            http: None,
            other: false,
        });
        Self {
            all,
            requests: requests.len(),
        }
    }

    pub fn all(&self) -> &[Probe] {
        &self.all
    }

    /// Some probes in words; a port whose requests are all among them stands alone.
    pub fn shown(&self, probes: &[&Probe]) -> Vec<String> {
        let mut shown = Vec::new();
        for probe in probes {
            let of_port = |other: &&&Probe| {
                other.protocol == probe.protocol && other.port == probe.port && other.http.is_some()
            };
            let alone = probes.iter().any(|other| {
                other.http.is_none() && (other.protocol, other.port) == (probe.protocol, probe.port)
            });
            let whole = probes.iter().filter(of_port).count() == self.requests;
            match &probe.http {
                Some(_) if alone && whole => {}
                _ => shown.push(probe.to_string()),
            }
        }
        shown
    }
}

// === impl Probe ===

impl Probe {
    fn port(protocol: Protocol, port: u16, other: bool) -> Self {
        Self {
            protocol,
            port: Some(port),
            http: None,
            other,
        }
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.protocol)?;
        match (self.port, self.other) {
            (_, true) => f.write_str("/other")?,
            (Some(port), false) => write!(f, "/{port}")?,
            (None, false) => {}
        }
        let Some(http) = &self.http else {
            return Ok(());
        };
        match http.path.as_str() {
            OTHER_PATH => f.write_str(" any other request")?,
            path => write!(f, " {} {path}", http.method)?,
        }
        if let Some(host) = &http.host {
            write!(f, " Host: {host}")?;
        }
        let mut headers = http.headers.iter();
        headers.try_for_each(|(name, value)| write!(f, " {name}: {value}"))
    }
}

fn rules(world: &World) -> impl Iterator<Item = &Rule> {
    let specs = world.policies.iter().flat_map(|policy| &policy.specs);
    specs
        .flat_map(|spec| Direction::BOTH.map(|direction| &spec.section(direction).rules))
        .flatten()
}

/// First and last of a range; of a name every number that some pod gives it.
fn numbers(world: &World, port: &PortMatch) -> Vec<(Protocol, u16)> {
    if matches!(port.protocol, Protocol::Icmp | Protocol::Icmpv6) {
        // Its ports are message types; one echo is asked for in any case.
        return Vec::new();
    }
    let numbers: BTreeSet<u16> = match &port.port {
        Port::All => BTreeSet::new(),
        Port::Range(first, last) => BTreeSet::from([*first, *last]),
        Port::Named(name) => world
            .pods
            .iter()
            .flat_map(|pod| &pod.ports)
            .filter(|given| given.name == *name && given.protocol == port.protocol)
            .map(|given| given.port)
            .collect(),
    };
    numbers.into_iter().map(|n| (port.protocol, n)).collect()
}

/// A request that the rule matches, if one can be thought of, and the same with a query string.
fn request(rule: &HttpRule) -> Vec<HttpRequest> {
    let of = |pattern: &Option<String>, default: &str| match pattern {
        None => Some(default.to_owned()),
        Some(pattern) => example(pattern),
    };
    let (Some(method), Some(path)) = (of(&rule.method, "GET"), of(&rule.path, "/")) else {
        return Vec::new();
    };
    let plain = HttpRequest {
        method,
        path,
        host: rule.host.as_deref().and_then(example),
        headers: rule
            .headers
            .iter()
            .map(|header| {
                let value = header.value.clone().unwrap_or_else(|| "x".to_owned());
                (header.name.clone(), value)
            })
            .collect(),
    };
    let mut requests = vec![plain.clone()];
    if rule.path.is_some() && !plain.path.contains('?') {
        requests.push(HttpRequest {
            path: format!("{}?x=1", plain.path),
            ..plain
        });
    }
    requests
}
