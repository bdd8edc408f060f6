//! Address prefixes with their exceptions.

use std::net::IpAddr;

use ipnet::IpNet;

use super::field::{Fault, Field};
use crate::model::address;

/// A prefix in its one form, host bits cleared.
pub(super) fn prefix(field: &Field<'_>) -> Result<IpNet, Fault> {
    address::parse_prefix(field.text()?).map_err(|error| field.fault(error.to_string()))
}

/// A prefix or a plain address, as Cilium's `fromCIDR` and `toCIDR` allow.
pub(super) fn prefix_or_address(field: &Field<'_>) -> Result<IpNet, Fault> {
    match field.text()?.parse::<IpAddr>() {
        Ok(address) => address::canonical_prefix(address.into())
            .map_err(|error| field.fault(error.to_string())),
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
