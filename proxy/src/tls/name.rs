//! What counts as a server name: what every server reads as the same host name.

use std::net::IpAddr;

/// A name of labels, as sent.
///
/// # Errors
/// Anything else. A NUL ends the name for some servers and not for others; a final dot is no part of
/// it (RFC 6066, 3), and servers differ in whether they forgive it; addresses are no names.
pub(super) fn checked(name: &[u8]) -> Result<String, &'static str> {
    let Ok(text) = std::str::from_utf8(name) else {
        return Err("its server name is not ASCII");
    };
    if text.ends_with('.') {
        return Err("its server name ends with a dot");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    if text.len() > 253 || !text.split('.').all(label) {
        return Err("its server name is not a host name");
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("its server name is an address");
    }
    Ok(text.to_owned())
}
