//! Address prefixes with their exceptions.

use std::net::IpAddr;

use ipnet::IpNet;

use super::field::{Fault, Field, quoted};

/// A prefix, host bits cleared.
pub(super) fn prefix(field: &Field<'_>) -> Result<IpNet, Fault> {
    let text = field.text()?;
    let net: IpNet = text.parse().map_err(|_| {
        field.fault(format!(
            "{} is not a CIDR: write an address and a prefix length, as in `10.0.0.0/8` or `fd00::/8`",
            quoted(text)
        ))
    })?;
    no_mapped(field, net.addr())?;
    Ok(net.trunc())
}

/// A prefix or a plain address, as Cilium's `fromCIDR` and `toCIDR` allow.
pub(super) fn prefix_or_address(field: &Field<'_>) -> Result<IpNet, Fault> {
    match field.text()?.parse::<IpAddr>() {
        Ok(address) => {
            no_mapped(field, address)?;
            Ok(IpNet::from(address))
        }
        Err(_) => prefix(field),
    }
}

/// The exceptions of a prefix. `strict`: none may be the whole prefix (NetworkPolicy).
pub(super) fn except(fields: &[Field<'_>], cidr: IpNet, strict: bool) -> Result<Vec<IpNet>, Fault> {
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let part = prefix(field)?;
        if !cidr.contains(&part) {
            return Err(field.fault(format!("`{part}` is not inside `{cidr}`")));
        }
        if strict && part == cidr {
            return Err(field.fault(format!(
                "`{part}` is all of `{cidr}`: an exception must be a part of it"
            )));
        }
        parts.push(part);
    }
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

/// Packets never carry IPv4-mapped addresses, so a prefix of them would silently match nothing
/// (and as an exception would silently except nothing).
fn no_mapped(field: &Field<'_>, address: IpAddr) -> Result<(), Fault> {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(field.fault(format!(
            "{} is an IPv4-mapped address: write it as IPv4",
            quoted(&address.to_string())
        ))),
        _ => Ok(()),
    }
}
