//! Ports and requests to ask for: what the policies mention, and one that they do not.

use std::collections::{BTreeMap, BTreeSet};

use super::examples::example;
use crate::{
    model::{HttpRule, Port, PortMatch, Protocol, Rule, World},
    verdict::HttpRequest,
};

/// Asked for where no policy mentions it.
const OTHER_PATH: &str = "/weir-other";
/// Requests of a rule without ports are asked for here where no port is mentioned.
const HTTP_PORT: u16 = 80;

/// A port, with a request or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub protocol: Protocol,
    pub port: Option<u16>,
    pub http: Option<HttpRequest>,
    /// Stands for every port that is not mentioned.
    other: bool,
}

/// What some rules mention.
#[derive(Debug, Clone, Default)]
pub(super) struct Mentioned {
    ports: BTreeSet<(Protocol, u16)>,
    /// Requests by port; those of rules without ports under `None`.
    requests: BTreeMap<Option<u16>, Vec<HttpRequest>>,
}

// === impl Mentioned ===

impl Mentioned {
    /// Adds what a rule mentions.
    pub fn add(&mut self, world: &World, rule: &Rule) {
        let ports: Vec<_> = rule
            .ports
            .iter()
            .flat_map(|port| numbers(world, port))
            .collect();
        self.ports.extend(ports.iter().copied());
        let requests: Vec<HttpRequest> = rule
            .http()
            .unwrap_or_default()
            .iter()
            .flat_map(request)
            .collect();
        if requests.is_empty() {
            return;
        }
        if rule.ports.is_empty() {
            self.ports.insert((Protocol::Tcp, HTTP_PORT));
            self.add_requests(None, &requests);
        }
        for (_, port) in ports {
            self.add_requests(Some(port), &requests);
        }
    }

    fn add_requests(&mut self, port: Option<u16>, requests: &[HttpRequest]) {
        let known = self.requests.entry(port).or_default();
        for request in requests {
            if !known.contains(request) {
                known.push(request.clone());
            }
        }
    }

    /// What these and the others mention together.
    pub fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.ports.extend(&other.ports);
        for (port, requests) in &other.requests {
            both.add_requests(*port, requests);
        }
        both
    }

    /// What is to be asked.
    pub fn probes(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (protocol, port) in &self.ports {
            probes.push(Probe::port(*protocol, *port, false));
            if *protocol != Protocol::Tcp {
                continue;
            }
            let mut requests: Vec<&HttpRequest> = Vec::new();
            for list in [self.requests.get(&Some(*port)), self.requests.get(&None)] {
                requests.extend(list.into_iter().flatten());
            }
            let other = HttpRequest {
                method: "GET".into(),
                path: OTHER_PATH.into(),
                ..HttpRequest::default()
            };
            if !requests.is_empty() {
                requests.push(&other);
            }
            probes.extend(requests.into_iter().map(|http| Probe {
                http: Some(http.clone()),
                ..Probe::port(*protocol, *port, false)
            }));
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut numbers = (1..=u16::MAX).rev();
            let free = numbers.find(|port| !self.ports.contains(&(protocol, *port)));
            probes.extend(free.map(|port| Probe::port(protocol, port, true)));
        }
        probes.push(Probe {
            protocol: Protocol::Icmp,
            port: None,
            http: None,
            other: false,
        });
        probes
    }
}

/// Some of all probes in words; a port whose requests are all among them stands alone.
pub(super) fn shown(some: &[&Probe], all: &[Probe]) -> Vec<String> {
    let same = |a: &Probe, b: &Probe| (a.protocol, a.port) == (b.protocol, b.port);
    let whole = |probe: &Probe| {
        let of_port = |other: &&Probe| same(other, probe);
        let alone = some
            .iter()
            .copied()
            .filter(of_port)
            .any(|p| p.http.is_none());
        let asked = all.iter().filter(of_port).count();
        alone && some.iter().copied().filter(of_port).count() == asked
    };
    some.iter()
        .filter(|probe| probe.http.is_none() || !whole(probe))
        .map(ToString::to_string)
        .collect()
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
    let plain = rule.headers.iter().map(|header| {
        let value = header.value.clone().unwrap_or_else(|| "x".to_owned());
        (header.name.clone(), value)
    });
    let wanted = rule.header_rules.iter();
    let wanted = wanted.map(|header| (header.name.to_ascii_lowercase(), header.value.clone()));
    let plain = HttpRequest {
        method,
        path,
        host: rule.host.as_deref().and_then(example),
        headers: plain.chain(wanted).collect(),
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
