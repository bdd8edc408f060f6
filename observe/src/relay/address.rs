//! Where an observer answers.

use std::{fmt, path::PathBuf, str::FromStr};

use super::Forwarded;

/// A Unix socket, a place on the network, or what is dialled in another way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A socket's path.
    Socket(PathBuf),
    /// A host's name or address, and its port.
    Tcp(String, u16),
    /// Dialled in another way; never read from a text.
    Forwarded(Forwarded),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of an observer: {reason}")]
pub struct AddressError {
    /// What was given.
    text: String,
    /// What is wrong with it.
    reason: &'static str,
}

impl AddressError {
    pub(super) fn new(text: &str, reason: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            reason,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// `unix:///PATH`, `HOST:PORT`, `[IPv6]:PORT`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError::new(text, reason);
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self::Socket(path.into())),
                false => Err(wrong(
                    "a socket's path begins with /, as in unix:///run/x.sock",
                )),
            };
        }
        if text.contains("://") {
            return Err(wrong("write HOST:PORT or unix:///PATH"));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("it has no port; write HOST:PORT"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
                .ok_or_else(|| wrong("there is no IPv6 address in the brackets"))?,
            None if host.contains(':') => {
                return Err(wrong("an IPv6 address needs brackets, as in [::1]:4244"));
            }
            None => host,
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(letter) {
            return Err(wrong("its host is no name and no address"));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self::Tcp(host.to_owned(), port)),
            _ => Err(wrong("its port is no number from 1 to 65535")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(formatter, "{host}:{port}"),
            Self::Forwarded(forwarded) => forwarded.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in [
            "unix:///run/weir/weir/hubble.sock",
            "node-1.example:4244",
            "192.0.2.1:1",
            "[2001:db8::1]:4244",
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        for (text, reason) in [
            ("node", "no port"),
            ("node:0", "port"),
            ("node:x", "port"),
            (":4244", "host"),
            ("a b:1", "host"),
            ("::1:4244", "brackets"),
            ("[x]:1", "IPv6"),
            ("unix:x.sock", "begins with /"),
            ("http://node:1", "HOST:PORT"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(
                error.contains(reason) && error.contains(&format!("{text:?}")),
                "{error}"
            );
        }
    }
}
