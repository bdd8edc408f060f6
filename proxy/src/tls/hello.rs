//! The body of a ClientHello (RFC 8446, 4.1.2; before TLS 1.3 RFC 5246, 7.4.1.2): cut into its
//! vectors, whose lengths must add up; only server_name is looked into.

use std::collections::BTreeSet;

use super::name::checked;

/// Extension type of the server name (RFC 6066, 3).
const SERVER_NAME: u16 = 0;
/// The only type of name that is defined (RFC 6066, 3).
const HOST_NAME: u8 = 0;

/// What is wrong.
type Fault = &'static str;

const LENGTHS: Fault = "its lengths do not add up";

/// The name that a ClientHello asks for.
///
/// # Errors
/// Lengths that do not add up, an extension that comes twice, and every server_name extension that
/// is not exactly one name: servers choose differently then.
pub(super) fn server_name(body: &[u8]) -> Result<Option<String>, Fault> {
    let mut rest = body;
    let version = take(&mut rest, 2)?;
    if version.first() != Some(&3) {
        return Err("its first message has no version of TLS");
    }
    take(&mut rest, 32)?;
    if vector(&mut rest, 1)?.len() > 32 {
        return Err(LENGTHS);
    }
    let suites = vector(&mut rest, 2)?;
    if suites.is_empty() || !suites.len().is_multiple_of(2) || vector(&mut rest, 1)?.is_empty() {
        return Err(LENGTHS);
    }
    // Clients older than extensions end here.
    if rest.is_empty() {
        return Ok(None);
    }
    let mut extensions = vector(&mut rest, 2)?;
    if !rest.is_empty() {
        return Err(LENGTHS);
    }
    let mut name = None;
    let mut seen = BTreeSet::new();
    while let [high, low, ..] = extensions {
        let kind = u16::from_be_bytes([*high, *low]);
        take(&mut extensions, 2)?;
        let content = vector(&mut extensions, 2)?;
        if !seen.insert(kind) {
            return Err("an extension comes twice");
        }
        if kind == SERVER_NAME {
            name = Some(one_name(content)?);
        }
    }
    if extensions.is_empty() {
        Ok(name)
    } else {
        Err(LENGTHS)
    }
}

/// The name in a server_name extension.
fn one_name(mut content: &[u8]) -> Result<String, Fault> {
    let mut list = vector(&mut content, 2)?;
    if !content.is_empty() {
        return Err(LENGTHS);
    }
    match take(&mut list, 1)? {
        [HOST_NAME] => {}
        _ => return Err("its server name is of an unknown type"),
    }
    let name = vector(&mut list, 2)?;
    if !list.is_empty() {
        return Err("it has more than one server name");
    }
    checked(name)
}

/// A vector with its length, of `width` bytes, before it.
fn vector<'a>(rest: &mut &'a [u8], width: usize) -> Result<&'a [u8], Fault> {
    let length = take(rest, width)?;
    let length = length
        .iter()
        .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    take(rest, length)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let (taken, after) = rest.split_at_checked(length).ok_or(LENGTHS)?;
    *rest = after;
    Ok(taken)
}
