//! The one form of an address. Every address that comes from outside (objects, answers of DNS
//! servers, files, plugins) goes through here: the kernel keeps IPv4 addresses as IPv4-mapped
//! ones, so two forms of one address would be one key with two meanings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Why something is not used as an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not read as an address (a zone, as in `fe80::1%eth0`, belongs to none).
    #[error("`{0}` is not an address")]
    Text(String),
    /// It does not read as a prefix.
    #[error(
        "`{0}` is not a CIDR: write an address and a prefix length, as in `10.0.0.0/8` or `fd00::/8`"
    )]
    Prefix(String),
    /// An IPv4-compatible IPv6 address (RFC 4291, 2.5.5.1: no longer used).
    #[error("`{0}` is an IPv4-compatible address: write it as IPv4")]
    Compatible(IpAddr),
    /// A prefix of IPv4-mapped addresses: packets never carry them, so it would match nothing.
    #[error("`{0}` is a prefix of IPv4-mapped addresses: write it as IPv4")]
    Mapped(IpNet),
    /// An address that no name can have.
    #[error("{0} is {1}")]
    Special(IpAddr, &'static str),
}

/// The one form of an address: IPv4-mapped ones (RFC 4291, 2.5.5.2) become IPv4.
///
/// # Errors
/// [`AddressError::Compatible`].
pub fn canonical(address: IpAddr) -> Result<IpAddr, AddressError> {
    let IpAddr::V6(v6) = address else {
        return Ok(address);
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Ok(IpAddr::V4(v4));
    }
    // `::` and `::1` are in that range, and are what they are.
    match v6.to_bits() {
        0 | 1 => Ok(address),
        bits if bits >> 32 == 0 => Err(AddressError::Compatible(address)),
        _ => Ok(address),
    }
}

/// Reads an address.
///
/// # Errors
/// [`AddressError::Text`] and those of [`canonical`].
pub fn parse(text: &str) -> Result<IpAddr, AddressError> {
    let address = text
        .parse()
        .map_err(|_| AddressError::Text(text.escape_debug().to_string()))?;
    canonical(address)
}

/// Reads a prefix; host bits are cleared.
///
/// # Errors
/// [`AddressError::Prefix`], [`AddressError::Mapped`], [`AddressError::Compatible`].
pub fn parse_prefix(text: &str) -> Result<IpNet, AddressError> {
    let net: IpNet = text
        .parse()
        .map_err(|_| AddressError::Prefix(text.escape_debug().to_string()))?;
    canonical_prefix(net)
}

/// The one form of a prefix. Unlike an address, one of IPv4-mapped addresses is refused: it is a
/// mistake of whoever wrote it, and would be one of fewer bits as IPv4.
///
/// # Errors
/// [`AddressError::Mapped`], [`AddressError::Compatible`].
pub fn canonical_prefix(net: IpNet) -> Result<IpNet, AddressError> {
    if let IpNet::V6(v6) = net {
        if v6.addr().to_ipv4_mapped().is_some() {
            return Err(AddressError::Mapped(net));
        }
        // Prefixes that hold more than the compatible addresses do not mean these.
        if v6.prefix_len() > 96 {
            canonical(net.addr())?;
        }
    }
    Ok(net.trunc())
}

/// The one form of an address that a name may resolve to.
///
/// # Errors
/// It is not an address of a host elsewhere: [`AddressError::Special`] says what it is.
pub fn learnable(address: IpAddr) -> Result<IpAddr, AddressError> {
    let address = canonical(address)?;
    let special = match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    match special {
        Some(what) => Err(AddressError::Special(address, what)),
        None => Ok(address),
    }
}

/// For `deserialize_with`: a list of addresses, each in its one form.
///
/// # Errors
/// One of them has none.
pub fn deserialize_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let list = Vec::<IpAddr>::deserialize(from)?;
    let list = list.into_iter().map(canonical).collect::<Result<_, _>>();
    list.map_err(D::Error::custom)
}

/// RFC 6890 and RFC 5771, as far as a host cannot have it or only the own link has it.
fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("no address of a host"),
        [127, ..] => Some("a loopback address"),
        // Cloud providers' metadata service, 169.254.169.254, among them.
        [169, 254, ..] => Some("a link-local address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved or broadcast address"),
        _ => None,
    }
}

/// RFC 4291, and RFC 6052 for addresses that stand for an IPv4 address.
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("no address of a host");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    let bits = address.to_bits();
    let embedded = bits as u32;
    (bits >> 32 == 0x0064_ff9b_u128 << 64)
        .then(|| special_v4(Ipv4Addr::from(embedded)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_other_forms_are_refused() {
        assert_eq!(parse("::ffff:10.244.0.7"), Ok(ip("10.244.0.7")));
        assert_eq!(parse("::ffff:af4:7"), Ok(ip("10.244.0.7")));
        for same in ["10.244.0.7", "fd00::7", "::", "::1", "64:ff9b::a00:1"] {
            assert_eq!(parse(same), Ok(ip(same)));
        }
        let compatible = AddressError::Compatible(ip("::10.244.0.7"));
        assert_eq!(parse("::10.244.0.7"), Err(compatible));
        for text in ["fe80::1%eth0", "010.0.0.1", "10.0.0", "10.0.0.1/8", ""] {
            assert_eq!(parse(text), Err(AddressError::Text(text.into())));
        }
    }

    #[test]
    fn prefixes_of_other_forms_are_refused() {
        let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
        assert_eq!(parse_prefix("10.1.2.3/8"), Ok(net("10.0.0.0/8")));
        assert_eq!(parse_prefix("::/0"), Ok(net("::/0")));
        assert_eq!(parse_prefix("::1/128"), Ok(net("::1/128")));
        for mapped in ["::ffff:10.0.0.0/104", "::ffff:0:0/96", "::ffff:0:0/90"] {
            assert_eq!(parse_prefix(mapped), Err(AddressError::Mapped(net(mapped))));
        }
        let compatible = AddressError::Compatible(ip("::10.0.0.0"));
        assert_eq!(parse_prefix("::10.0.0.0/104"), Err(compatible));
        assert!(matches!(
            parse_prefix("fe80::1%eth0/64"),
            Err(AddressError::Prefix(_))
        ));
    }

    #[test]
    fn a_name_never_has_an_address_of_this_machine_this_link_or_nobody() {
        for no in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::8.8.8.8",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(learnable(ip(no)).is_err(), "{no}");
        }
        for yes in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "64:ff9b::808:808"] {
            assert_eq!(learnable(ip(yes)), Ok(ip(yes)));
        }
        assert_eq!(learnable(ip("::ffff:192.0.2.1")), Ok(ip("192.0.2.1")));
    }

    proptest! {
        /// Two addresses of one form are one key of the kernel's maps only if they are equal.
        #[test]
        fn the_one_form_is_one_key(bits in any::<u128>(), high in 0u32..3) {
            let bits = match high {
                0 => bits,
                1 => bits & 0xffff_ffff,
                _ => 0xffff_0000_0000 | (bits & 0xffff_ffff),
            };
            let key = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
                IpAddr::V6(v6) => v6.to_bits(),
            };
            let v6 = IpAddr::V6(Ipv6Addr::from_bits(bits));
            if let Ok(one) = canonical(v6) {
                prop_assert_eq!(canonical(one), Ok(one));
                prop_assert_eq!(key(one), bits, "the same packets");
                prop_assert_eq!(one.is_ipv4(), bits >> 32 == 0xffff);
                prop_assert_eq!(parse(&v6.to_string()), Ok(one));
                prop_assert_eq!(parse(&one.to_string()), Ok(one));
            } else {
                prop_assert_eq!(bits >> 32, 0);
            }
        }
    }
}
