//! `icmps`: message types of ICMP and ICMPv6.
//!
//! Names as Cilium writes them (`pkg/policy/api/icmp.go`), numbers from the IANA registries.

use serde_json::Value;

use crate::model::{Port, PortMatch, Protocol};
use crate::objects::{
    field::{Fault, Field, Object, quoted},
    none_of,
};

/// More in one entry is refused, as Cilium does.
const MAX_FIELDS: usize = 40;

const V4: &[(&str, u16)] = &[
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEchoReply", 43),
];
const V6: &[(&str, u16)] = &[
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];

/// What an entry without `fields` means: every message of both families.
const EVERY: [PortMatch; 2] = [
    PortMatch {
        protocol: Protocol::Icmp,
        port: Port::All,
    },
    PortMatch {
        protocol: Protocol::Icmpv6,
        port: Port::All,
    },
];

/// The message types of a rule; `None` where it has no `icmps`.
pub(super) fn types(rule: &Object<'_>) -> Result<Option<Vec<PortMatch>>, Fault> {
    let Some(icmps) = rule.get("icmps") else {
        return Ok(None);
    };
    if let Some(ports) = rule.get("toPorts") {
        return Err(ports.fault("cannot stand beside `icmps`: write a rule for each"));
    }
    let mut types = Vec::new();
    for entry in icmps.list()? {
        let object = entry.object()?;
        object.only(&["fields"], &[])?;
        if object.get("fields").is_none() {
            types.extend(EVERY);
        }
        let fields = object.items("fields")?;
        if fields.len() > MAX_FIELDS {
            return Err(object.field("fields").fault(format!(
                "{} types are too many: at most {MAX_FIELDS}, write another entry of `icmps`",
                fields.len()
            )));
        }
        for field in &fields {
            types.push(message_type(field)?);
        }
    }
    if types.is_empty() {
        return Err(icmps.fault("names no message type"));
    }
    types.sort_unstable();
    types.dedup();
    Ok(Some(types))
}

fn message_type(field: &Field<'_>) -> Result<PortMatch, Fault> {
    let object = field.object()?;
    object.only(&["family", "type"], &[])?;
    let (protocol, names) = match object.get("family") {
        None => (Protocol::Icmp, V4),
        Some(family) => match family.text()? {
            "IPv4" => (Protocol::Icmp, V4),
            "IPv6" => (Protocol::Icmpv6, V6),
            _ => return Err(none_of(&family, &["IPv4", "IPv6"])),
        },
    };
    let given = object.field("type");
    let number = match given.value {
        Value::String(name) => named(&given, name, names)?,
        _ => {
            let value = given.integer()?;
            u8::try_from(value)
                .map(u16::from)
                .map_err(|_| given.fault(format!("`{value}` is not a message type: 0 to 255")))?
        }
    };
    Ok(PortMatch {
        protocol,
        port: Port::Range(number, number),
    })
}

fn named(field: &Field<'_>, name: &str, names: &[(&str, u16)]) -> Result<u16, Fault> {
    // A number in quotes is what Kubernetes makes of an int-or-string field.
    if let Ok(number) = name.parse::<u8>() {
        return Ok(u16::from(number));
    }
    names
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .ok_or_else(|| {
            field.fault(format!(
                "{} is not a message type of this family: a number or a name such as `EchoRequest`",
                quoted(name)
            ))
        })
}
