//! What records must not tell: secrets in requests.

use std::collections::BTreeSet;

use weir_link::proxy::is_cut;

use crate::{api::flow::HttpHeader, trace::TRACEPARENT};

/// What a value is replaced by.
pub const REDACTED: &str = "HUBBLE_REDACTED";

/// Headers whose values no configuration shows.
const NEVER: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];

/// What is taken out of requests before anything keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    /// Query strings are left out.
    pub query: bool,
    /// Passwords before the host of a URL are left out.
    pub user_info: bool,
    /// Headers whose values are shown, in lower case, beside that of the trace; `None`: all but those
    /// that are never shown.
    pub headers: Option<BTreeSet<String>>,
}

impl Default for Redaction {
    /// Query strings stay, because paths are matched with them; header values go.
    fn default() -> Self {
        Self {
            query: false,
            user_info: true,
            headers: Some(BTreeSet::new()),
        }
    }
}

impl Redaction {
    /// A path with query, or a whole URL.
    pub fn url(&self, url: &str) -> String {
        let mut shown = url.to_owned();
        if self.user_info
            && let Some((scheme, rest)) = shown.split_once("://")
        {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            if let Some((user, host)) = authority.rsplit_once('@') {
                let user = match user.split_once(':') {
                    Some((user, _)) => format!("{user}:{REDACTED}"),
                    None => user.to_owned(),
                };
                shown = format!("{scheme}://{user}@{host}{path}");
            }
        }
        if self.query
            && let Some((path, _)) = shown.split_once(['?', '#'])
        {
            shown = path.to_owned();
        }
        shown
    }

    /// A sentence about a request, which may tell its path. Other readings of a path end in the same
    /// query. They may be shorter and told whole where the path was cut, with a query that it has no
    /// more: then nothing stays from the first question mark to the end of the last text in quotes.
    pub fn sentence(&self, told: &str, path: &str) -> String {
        if self.query && is_cut(path) {
            let start = told.find('?').and_then(|at| told.split_at_checked(at));
            let end = |rest: &str| {
                rest.rfind('`')
                    .and_then(|at| rest.get(at..).map(str::to_owned))
            };
            return match start {
                Some((start, rest)) => format!("{start}{}", end(rest).unwrap_or_default()),
                None => told.to_owned(),
            };
        }
        match path.split_once('?') {
            Some((_, query)) if self.query && !query.is_empty() => {
                told.replace(&format!("?{query}"), "")
            }
            _ => told.to_owned(),
        }
    }

    /// Headers whose values are shown, by name.
    pub fn asked(&self) -> Vec<String> {
        let names = self.headers.iter().flatten();
        let shown = names.filter(|name| !NEVER.contains(&name.as_str()));
        let mut asked: Vec<String> = shown.cloned().collect();
        if !asked.iter().any(|name| name == TRACEPARENT) {
            asked.push(TRACEPARENT.to_owned());
        }
        asked
    }

    /// Headers with their values, where these may be shown.
    pub fn headers(&self, headers: &[(String, String)]) -> Vec<HttpHeader> {
        let shown = |name: &str| {
            let name = name.to_ascii_lowercase();
            let listed = self
                .headers
                .as_ref()
                .is_none_or(|list| list.contains(&name));
            (listed || name == TRACEPARENT) && !NEVER.contains(&name.as_str())
        };
        headers
            .iter()
            .map(|(key, value)| HttpHeader {
                key: key.clone(),
                value: match shown(key) {
                    true => value.clone(),
                    false => REDACTED.to_owned(),
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_go() {
        let all = Redaction {
            query: true,
            ..Redaction::default()
        };
        for (url, kept, cut) in [
            ("/a?token=x", "/a?token=x", "/a"),
            (
                "http://u:p@h/a?b#c",
                "http://u:HUBBLE_REDACTED@h/a?b#c",
                "http://u:HUBBLE_REDACTED@h/a",
            ),
            ("http://h/a@b:c", "http://h/a@b:c", "http://h/a@b:c"),
            ("http://u@h", "http://u@h", "http://u@h"),
            ("*", "*", "*"),
        ] {
            assert_eq!(Redaction::default().url(url), kept);
            assert_eq!(all.url(url), cut);
        }
    }

    #[test]
    fn authorization_is_never_shown() {
        let list = |names: &[&str]| Redaction {
            headers: Some(names.iter().map(|n| (*n).to_owned()).collect()),
            ..Redaction::default()
        };
        let sent = [("Authorization", "a"), ("Cookie", "b"), ("X-Id", "c")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let values = |redaction: &Redaction| -> Vec<String> {
            let shown = redaction.headers(&sent);
            shown.into_iter().map(|header| header.value).collect()
        };
        assert_eq!(values(&Redaction::default()), [REDACTED; 3]);
        assert_eq!(
            values(&list(&["authorization", "x-id"])),
            [REDACTED, REDACTED, "c"]
        );
        let every = Redaction {
            headers: None,
            ..Redaction::default()
        };
        assert_eq!(values(&every), [REDACTED, REDACTED, "c"]);
    }

    #[test]
    fn a_query_is_left_out_of_sentences_where_the_path_was_cut() {
        let redaction = Redaction {
            query: true,
            ..Redaction::default()
        };
        // Decoded, it is short enough to be told whole.
        let sent = format!("/{}?key=secret`x", "%2561".repeat(220));
        let told = "a server may take the path for `/aaa?key=secret`x`, and then: no rule";
        let kept = redaction.sentence(told, &weir_link::proxy::cut(&sent));
        assert_eq!(
            kept,
            "a server may take the path for `/aaa`, and then: no rule"
        );
        assert_eq!(redaction.sentence(told, "/aaa?key=secret`x"), kept);
    }
}
