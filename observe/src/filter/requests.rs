//! Filters on requests and queries.

use super::{FilterError, Tests, each, wrong};
use crate::api::flow::{Dns, Flow, FlowFilter, Http, layer7::Record};

pub(super) fn compile(filter: &FlowFilter, tests: &mut Tests<'_>) -> Result<(), FilterError> {
    let codes = each("http_status_code", &filter.http_status_code, status)?;
    tests.any(&codes, |code, flow| {
        // A request has none yet.
        http(flow).is_some_and(|http| http.code > 0 && code.is(http.code))
    });
    tests.any(&filter.http_method, |method, flow| {
        http(flow).is_some_and(|http| http.method.eq_ignore_ascii_case(method))
    });
    let paths = tests.patterns("http_path", &filter.http_path, as_it_is)?;
    tests.any(&paths, |pattern, flow| {
        http(flow).is_some_and(|http| pattern.is_match(path(&http.url)))
    });
    let urls = tests.patterns("http_url", &filter.http_url, as_it_is)?;
    tests.any(&urls, |pattern, flow| {
        http(flow).is_some_and(|http| pattern.is_match(&http.url))
    });
    if filter
        .http_header
        .iter()
        .any(|header| header.key.is_empty())
    {
        return Err(wrong("http_header", "has no name"));
    }
    tests.any(&filter.http_header, |wanted, flow| {
        http(flow).is_some_and(|http| {
            let same = |key: &str| key.eq_ignore_ascii_case(&wanted.key);
            let headers = http.headers.iter();
            headers
                .into_iter()
                .any(|h| same(&h.key) && h.value == wanted.value)
        })
    });
    let queries = tests.patterns("dns_query", &filter.dns_query, as_it_is)?;
    tests.any(&queries, |pattern, flow| {
        dns(flow).is_some_and(|dns| pattern.is_match(&dns.query))
    });
    Ok(())
}

fn http(flow: &Flow) -> Option<&Http> {
    match flow.l7.as_ref()?.record.as_ref()? {
        Record::Http(http) => Some(http),
        Record::Dns(_) => None,
    }
}

fn dns(flow: &Flow) -> Option<&Dns> {
    match flow.l7.as_ref()?.record.as_ref()? {
        Record::Dns(dns) => Some(dns),
        Record::Http(_) => None,
    }
}

/// The path of a URL with its query.
fn path(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    }
}

/// A regular expression.
fn as_it_is(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A status, or the beginning of some.
#[derive(Debug, Clone)]
struct Status {
    digits: String,
    open: bool,
}

impl Status {
    fn is(&self, code: u32) -> bool {
        let code = code.to_string();
        match self.open {
            true => code.starts_with(&self.digits),
            false => code == self.digits,
        }
    }
}

/// `404`, or `4+` for all that begin so.
fn status(text: &str) -> Result<Status, String> {
    let (digits, open) = match text.strip_suffix('+') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let fits = digits.len() <= 3
        && digits.starts_with(|first: char| ('1'..='5').contains(&first))
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 3 || open);
    match fits {
        true => Ok(Status {
            digits: digits.to_owned(),
            open,
        }),
        false => Err(format!(
            "{text:?} is no status: write `404`, or `4+` for a class"
        )),
    }
}
