//! Ports of both kinds of policy.

use serde_json::Value;

use super::{
    field::{Fault, Field, Object, quoted},
    none_of,
};
use crate::model::{Port, PortMatch, Protocol};

/// More in one `toPorts` entry is refused, as Cilium does.
const MAX_PORTS: usize = 40;
/// Of an IANA service name.
const MAX_NAME: usize = 15;

/// The ports of a Cilium `toPorts` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CiliumPorts {
    /// Port `0` of any protocol: everything, ICMP too.
    Everything,
    /// These; never empty.
    These(Vec<PortMatch>),
}

/// One entry of `ports` in a NetworkPolicy rule.
pub(super) fn network(field: &Field<'_>) -> Result<PortMatch, Fault> {
    let object = field.object()?;
    object.only(&["port", "protocol", "endPort"], &[])?;
    let protocol = match object.get("protocol") {
        None => Protocol::Tcp,
        Some(given) => match given.text()? {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return Err(none_of(&given, &["TCP", "UDP", "SCTP"])),
        },
    };
    let port = match object.get("port") {
        None => match object.get("endPort") {
            Some(end) => return Err(end.fault("needs `port` beside it, the first of the range")),
            None => Port::All,
        },
        Some(given) => match given.value {
            Value::String(name) => {
                no_end(&object)?;
                Port::Named(kubernetes_name(&given, name)?)
            }
            _ => {
                let first = number(&given, given.integer()?)?;
                Port::Range(first, end(&object, first)?.unwrap_or(first))
            }
        },
    };
    Ok(PortMatch { protocol, port })
}

/// What the rules of a `toPorts` entry ask of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// Each is a TCP port and says so.
    Http,
    /// Each is a single TCP or UDP port.
    Dns,
}

/// The `ports` of a Cilium `toPorts` entry.
pub(super) fn cilium(entry: &Object<'_>, need: Need) -> Result<CiliumPorts, Fault> {
    let http = need == Need::Http;
    let list = entry.field("ports");
    let items = entry.items("ports")?;
    if items.is_empty() {
        return Err(list.fault("needs at least one port; `port: \"0\"` means all of them"));
    }
    if items.len() > MAX_PORTS {
        return Err(list.fault(format!(
            "{} ports are too many: at most {MAX_PORTS}, write another entry of `toPorts`",
            items.len()
        )));
    }
    let mut matches = Vec::new();
    let mut everything = false;
    for item in &items {
        let object = item.object()?;
        object.only(&["port", "endPort", "protocol"], &[])?;
        let protocols = cilium_protocols(&object)?;
        if http && protocols != [Protocol::Tcp] {
            return Err(object
                .field("protocol")
                .fault("HTTP rules need `protocol: TCP` on each port"));
        }
        let port = cilium_port(&object)?;
        if http && port == Port::All {
            return Err(object
                .field("port")
                .fault("HTTP rules need a port that is not `0`"));
        }
        if need == Need::Dns {
            if protocols == [Protocol::Sctp] {
                return Err(object
                    .field("protocol")
                    .fault("DNS rules need `protocol: UDP`, `TCP` or `ANY`"));
            }
            match port {
                Port::Range(first, last) if first == last => {}
                Port::Named(_) => {}
                Port::All | Port::Range(..) => {
                    return Err(object
                        .field("port")
                        .fault("DNS rules need a single port that is not `0`"));
                }
            }
        }
        everything |= port == Port::All && protocols.len() > 1;
        matches.extend(protocols.iter().map(|protocol| PortMatch {
            protocol: *protocol,
            port: port.clone(),
        }));
    }
    if everything {
        return Ok(CiliumPorts::Everything);
    }
    matches.sort_unstable();
    matches.dedup();
    Ok(CiliumPorts::These(matches))
}

fn cilium_protocols(object: &Object<'_>) -> Result<&'static [Protocol], Fault> {
    const ANY: &[Protocol] = &[Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let Some(given) = object.get("protocol") else {
        return Ok(ANY);
    };
    Ok(match given.text()? {
        "TCP" => &[Protocol::Tcp],
        "UDP" => &[Protocol::Udp],
        "SCTP" => &[Protocol::Sctp],
        "ANY" => ANY,
        other @ ("ICMP" | "ICMPv6" | "VRRP" | "IGMP" | "GRE" | "IPIP" | "IPV6" | "ESP" | "AH") => {
            return Err(given.fault(format!("`{other}` is not supported here yet")));
        }
        _ => return Err(none_of(&given, &["TCP", "UDP", "SCTP", "ANY"])),
    })
}

fn cilium_port(object: &Object<'_>) -> Result<Port, Fault> {
    let field = object.field("port");
    let text = field.text()?;
    if is_service_name(&text.to_ascii_lowercase()) {
        no_end(object)?;
        // Names of Cilium policies compare without case; container port names are lower case.
        return Ok(Port::Named(text.to_ascii_lowercase()));
    }
    // No sign, no leading zero: `0x50` and `010` mean different numbers to different readers.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parsed = match text.parse::<i64>() {
        Ok(parsed) if digits && (text == "0" || !text.starts_with('0')) => parsed,
        _ => {
            return Err(field.fault(format!(
                "{} is neither a port number nor a port name",
                quoted(text)
            )));
        }
    };
    if parsed == 0 {
        return match object.get("endPort") {
            Some(end) if end.integer()? != 0 => {
                Err(end.fault("port `0` means all ports and has no `endPort`"))
            }
            _ => Ok(Port::All),
        };
    }
    let first = number(&field, parsed)?;
    Ok(Port::Range(first, end(object, first)?.unwrap_or(first)))
}

pub(super) fn number(field: &Field<'_>, value: i64) -> Result<u16, Fault> {
    u16::try_from(value)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| field.fault(format!("`{value}` is not a port: 1 to 65535")))
}

/// The last port of a range; zero is the same as missing, as in the Kubernetes API.
fn end(object: &Object<'_>, first: u16) -> Result<Option<u16>, Fault> {
    let Some(field) = object.get("endPort") else {
        return Ok(None);
    };
    let value = field.integer()?;
    if value == 0 {
        return Ok(None);
    }
    let last = number(&field, value)?;
    if last < first {
        return Err(field.fault(format!("`{last}` is less than `port`, `{first}`")));
    }
    Ok(Some(last))
}

fn no_end(object: &Object<'_>) -> Result<(), Fault> {
    match object.get("endPort") {
        Some(field) if field.integer()? != 0 => {
            Err(field.fault("needs a number as `port`, not a name"))
        }
        _ => Ok(()),
    }
}

fn kubernetes_name(field: &Field<'_>, name: &str) -> Result<String, Fault> {
    if is_service_name(name) {
        return Ok(name.to_owned());
    }
    if name.parse::<u16>().is_ok() {
        return Err(field.fault(format!(
            "{} in quotes is a name, and no good one: write the number without quotes",
            quoted(name)
        )));
    }
    Err(field.fault(format!(
        "{} is not a port name: at most 15 lower-case letters, digits and single `-` between \
         them, at least one letter",
        quoted(name)
    )))
}

/// RFC 6335, lower case.
pub(super) fn is_service_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}
