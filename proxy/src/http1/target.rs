//! The request target (RFC 9112 section 3.2) and the host it is for.

use std::borrow::Cow;

use super::Refusal;

/// What a request line asks for, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// Path with query; `None` for CONNECT.
    pub path: Option<Cow<'a, str>>,
    /// The target's own authority (absolute form and CONNECT).
    pub authority: Option<&'a str>,
}

/// Reads a request target in the forms that its method allows.
///
/// # Errors
/// Any other form, a scheme other than `http`, a fragment, bytes outside ASCII, a bad escape in
/// the path, or an authority that is not a plain host.
pub fn target<'a>(method: &str, text: &'a str) -> Result<Target<'a>, Refusal> {
    if !text.is_ascii() {
        return Err(Refusal::NonAscii);
    }
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Refusal::Target);
    }
    if text.contains('#') {
        return Err(Refusal::Fragment);
    }
    if method == "CONNECT" {
        check_host(text)?;
        // CONNECT names its port always (RFC 9110 section 9.3.6).
        return match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.is_empty() && !port.ends_with(']') => {
                Ok(Target {
                    path: None,
                    authority: Some(text),
                })
            }
            _ => Err(Refusal::Target),
        };
    }
    if text.starts_with('/') {
        check_path(text)?;
        return Ok(Target {
            path: Some(Cow::Borrowed(text)),
            authority: None,
        });
    }
    if text == "*" && method == "OPTIONS" {
        return Ok(Target {
            path: Some(Cow::Borrowed("*")),
            authority: None,
        });
    }
    let (scheme, rest) = text.split_once("://").ok_or(Refusal::Target)?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Refusal::Target);
    }
    let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Refusal::Target)?;
    check_host(authority)?;
    check_path(path)?;
    // An empty path is the root (RFC 9110 section 4.2.3).
    let path = if path.starts_with('/') {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("/{path}"))
    };
    Ok(Target {
        path: Some(path),
        authority: Some(authority),
    })
}

/// Escapes in the path (not in the query) must be whole and must not hide a NUL.
fn check_path(path: &str) -> Result<(), Refusal> {
    let path = path.split('?').next().unwrap_or_default();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            match (bytes.next(), bytes.next()) {
                (Some(b'0'), Some(b'0')) => return Err(Refusal::Escape),
                (Some(high), Some(low)) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
                _ => return Err(Refusal::Escape),
            }
        }
    }
    Ok(())
}

/// The longest name that DNS has (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// A host as DNS, IPv4 or a bracketed IPv6 address, with an optional port; no user information.
///
/// # Errors
/// Everything else, the empty host too: there would be nothing to judge.
pub fn check_host(host: &str) -> Result<(), Refusal> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(Refusal::Host)?;
        address
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| Refusal::Host)?;
        (address, rest)
    } else {
        let end = host.find(':').unwrap_or(host.len());
        let (name, rest) = host.split_at_checked(end).ok_or(Refusal::Host)?;
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if !name.bytes().all(plain) {
            return Err(Refusal::Host);
        }
        (name, rest)
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    if name.is_empty() || name.len() > MAX_NAME || !port_is_good {
        Err(Refusal::Host)
    } else {
        Ok(())
    }
}

/// Whether two checked hosts are one: case does not count, nor the default port (RFC 9110 section
/// 4.2.3).
pub fn same_host(one: &str, other: &str) -> bool {
    let bare = |host: &'_ str| host.strip_suffix(":80").map_or(host.len(), str::len);
    let (one, other) = (one.get(..bare(one)), other.get(..bare(other)));
    one.zip(other)
        .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, text: &str) -> Result<(Option<String>, Option<String>), Refusal> {
        target(method, text).map(|found| {
            (
                found.path.map(Cow::into_owned),
                found.authority.map(str::to_owned),
            )
        })
    }

    #[test]
    fn forms() {
        let ok = |path: Option<&str>, authority: Option<&str>| {
            Ok((path.map(str::to_owned), authority.map(str::to_owned)))
        };
        assert_eq!(parts("GET", "/a?b=%zz"), ok(Some("/a?b=%zz"), None));
        assert_eq!(parts("OPTIONS", "*"), ok(Some("*"), None));
        assert_eq!(parts("GET", "http://h:80/a"), ok(Some("/a"), Some("h:80")));
        assert_eq!(parts("GET", "HTTP://h"), ok(Some("/"), Some("h")));
        assert_eq!(parts("GET", "http://h?x"), ok(Some("/?x"), Some("h")));
        assert_eq!(parts("CONNECT", "h:443"), ok(None, Some("h:443")));
        assert_eq!(parts("CONNECT", "[::1]:443"), ok(None, Some("[::1]:443")));
    }

    #[test]
    fn refused_forms() {
        use Refusal::*;
        for (method, text, why) in [
            ("GET", "*", Target),
            ("GET", "a", Target),
            ("GET", "", Target),
            ("GET", "h:80", Target),
            ("GET", "https://h/", Target),
            ("GET", "http://u@h/", Host),
            ("GET", "http:///a", Host),
            ("GET", "/a#b", Fragment),
            ("GET", "/a\u{e9}", NonAscii),
            ("GET", "/%", Escape),
            ("GET", "/%2", Escape),
            ("GET", "/%zz", Escape),
            ("GET", "/%00", Escape),
            ("CONNECT", "/", Host),
            ("CONNECT", "h", Target),
            ("CONNECT", "[::1]", Target),
            ("CONNECT", "u@h:1", Host),
        ] {
            assert_eq!(parts(method, text), Err(why), "{method} {text}");
        }
    }

    #[test]
    fn the_default_port_does_not_tell_hosts_apart() {
        for (one, other, same) in [
            ("web", "WEB", true),
            ("web:80", "web", true),
            ("web", "web:80", true),
            ("[::1]:80", "[::1]", true),
            ("web:8080", "web", false),
            ("web:80", "web:8080", false),
            ("web", "web2", false),
            ("[::80]", "[::]", false),
        ] {
            assert_eq!(same_host(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["a", "a.b-c_d:8080", "10.0.0.1", "[::1]", "[fe80::1]:80"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "u@h", "a/b", "[::1", "[x]:1", "a:", "a:x", "a:+1", "a:70000",
            "a:1:2", "::1",
        ] {
            assert_eq!(check_host(bad), Err(Refusal::Host), "{bad}");
        }
        assert_eq!(check_host(&"a".repeat(MAX_NAME)), Ok(()));
        assert_eq!(check_host(&"a".repeat(MAX_NAME + 1)), Err(Refusal::Host));
    }
}
