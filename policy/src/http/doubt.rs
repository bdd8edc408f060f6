//! What of a request servers may take differently, where it depends on the rules of its flow
//! whether that matters. What is uncertain for every flow is refused before any rule is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::Request;
use crate::model::HttpRule;

/// Why a request that rules allow is refused all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A body on a method that gives it no meaning: a server that does not read it takes it for
    /// the next request (RFC 9110, 9.3.1).
    Body,
    /// No host (HTTP/1.0), and a rule asks for one.
    NoHost,
    /// `Connection` names a header that a rule names: a server may drop it (RFC 9110, 7.6.1).
    ConnectionOption,
    /// A header that some servers fold into one that a rule names (`X_User`).
    Lookalike,
}

/// What the rules of a flow look at, beside method and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Some rule asks for a host.
    host: bool,
    /// Headers that rules name, folded, and each as it is named, in lower case.
    headers: BTreeMap<String, BTreeSet<String>>,
}

/// Whether a method is one whose content RFC 9110 defines no use for (9.3.1, 9.3.2, 9.3.5 to
/// 9.3.8), in any case: servers differ in whether they read it.
pub fn gives_body_no_meaning(method: &str) -> bool {
    ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
        .iter()
        .any(|other| method.eq_ignore_ascii_case(other))
}

/// Whether headers announce a body (RFC 9112, 6.3).
pub fn announces_body(headers: &[(&str, &[u8])]) -> bool {
    headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("transfer-encoding")
            || (name.eq_ignore_ascii_case("content-length")
                && !value.iter().all(|digit| *digit == b'0'))
    })
}

// === impl Asked ===

impl Asked {
    /// What these rules look at.
    pub fn of<'r>(rules: impl IntoIterator<Item = &'r HttpRule>) -> Self {
        let mut asked = Self::default();
        for rule in rules {
            asked.host |= rule.host.is_some();
            let plain = rule.headers.iter().map(|header| &header.name);
            let wanted = rule.header_rules.iter().map(|header| &header.name);
            for name in plain.chain(wanted) {
                let names = asked.headers.entry(folded(name)).or_default();
                names.insert(name.to_ascii_lowercase());
            }
        }
        asked
    }

    /// Whether a rule names this header, or one that servers take for it.
    pub fn names(&self, header: &str) -> bool {
        !self.headers.is_empty() && self.headers.contains_key(&folded(header))
    }

    /// What is uncertain about a request, in words.
    pub(crate) fn doubt(&self, request: &Request<'_>) -> Option<(Doubt, String)> {
        if self.host && request.host.is_none() {
            let reason = "the request has no host, and a rule asks for one".to_owned();
            return Some((Doubt::NoHost, reason));
        }
        if self.headers.is_empty() {
            return None;
        }
        for (name, value) in request.headers {
            if name.eq_ignore_ascii_case("connection") {
                let options = value.split(|byte| *byte == b',');
                let mut options = options.filter_map(|option| std::str::from_utf8(option).ok());
                if let Some(hidden) = options.find(|option| self.names(option.trim())) {
                    let hidden = hidden.trim();
                    let reason = format!(
                        "`Connection` names `{hidden}`, which a rule looks at: a server may drop it"
                    );
                    return Some((Doubt::ConnectionOption, reason));
                }
            } else if self.is_lookalike(name) {
                let reason =
                    format!("a server may take `{name}` for a header that a rule looks at");
                return Some((Doubt::Lookalike, reason));
            }
        }
        None
    }

    /// Whether servers that fold names take a header for one that a rule names otherwise.
    fn is_lookalike(&self, header: &str) -> bool {
        header.contains(['_', '-'])
            && self
                .headers
                .get(&folded(header))
                .is_some_and(|names| !names.contains(&header.to_ascii_lowercase()))
    }
}

/// Lower case, and `-` for `_`: how gateways to CGI-like servers fold names.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HeaderMatch, HeaderRule, Mismatch};

    fn asked() -> Asked {
        let rules = [
            HttpRule {
                headers: vec![HeaderMatch {
                    name: "x-user".into(),
                    value: None,
                }],
                ..HttpRule::default()
            },
            HttpRule {
                header_rules: vec![HeaderRule {
                    name: "X-Admin".into(),
                    value: "no".into(),
                    mismatch: Some(Mismatch::Delete),
                }],
                ..HttpRule::default()
            },
        ];
        Asked::of(&rules)
    }

    fn doubt(asked: &Asked, headers: &[(&str, &[u8])], host: Option<&str>) -> Option<Doubt> {
        let request = Request {
            method: "GET",
            path: Some("/"),
            host,
            headers,
            body: false,
        };
        asked.doubt(&request).map(|(doubt, _)| doubt)
    }

    #[test]
    fn headers_that_rules_name_must_reach_the_server_as_judged() {
        use Doubt::{ConnectionOption, Lookalike};
        let of = |name: &str, value: &str| doubt(&asked(), &[(name, value.as_bytes())], None);
        for (name, value, expected) in [
            ("Connection", "close, X-User", Some(ConnectionOption)),
            ("connection", "x-admin", Some(ConnectionOption)),
            (
                "Connection",
                "keep-alive,\tX_Admin ",
                Some(ConnectionOption),
            ),
            ("Connection", "close, X-Other", None),
            ("X_User", "a", Some(Lookalike)),
            ("x_admin", "a", Some(Lookalike)),
            ("X-User", "a", None),
            ("x-Admin", "a", None),
            ("X_Other", "a", None),
        ] {
            assert_eq!(of(name, value), expected, "{name}: {value}");
        }
        let none = Asked::of(&[HttpRule::default()]);
        assert_eq!(doubt(&none, &[("Connection", b"x-user")], None), None);
    }

    #[test]
    fn a_host_must_be_there_where_a_rule_asks_for_one() {
        let rule = HttpRule {
            host: Some("h".into()),
            ..HttpRule::default()
        };
        let asked = Asked::of(&[HttpRule::default(), rule]);
        assert_eq!(doubt(&asked, &[], None), Some(Doubt::NoHost));
        assert_eq!(doubt(&asked, &[], Some("other")), None);
    }

    #[test]
    fn bodies_and_their_methods() {
        let announces = |name: &str, value: &str| announces_body(&[(name, value.as_bytes())]);
        assert!(announces("Content-Length", "5") && announces("transfer-encoding", "chunked"));
        assert!(!announces("content-length", "0") && !announces("Content-Type", "a/b"));
        for method in ["GET", "get", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
            assert!(gives_body_no_meaning(method), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "PROPFIND", "REPORT", "QUERY"] {
            assert!(!gives_body_no_meaning(method), "{method}");
        }
    }
}
