//! Filters on requests and queries.

use regex::Regex;

use super::{FilterError, Tests, each, wrong};
use crate::api::flow::{Dns, Flow, FlowFilter, Http, layer7::Record};

pub(super) fn compile(filter: &FlowFilter, tests: &mut Tests) -> Result<(), FilterError> {
    let codes = each("http_status_code", &filter.http_status_code, status)?;
    tests.any(&codes, |pattern, flow| {
        // A request has none yet.
        http(flow).is_some_and(|http| http.code > 0 && pattern.is_match(&http.code.to_string()))
    });
    tests.any(&filter.http_method, |method, flow| {
        http(flow).is_some_and(|http| http.method.eq_ignore_ascii_case(method))
    });
    let paths = each("http_path", &filter.http_path, Regex::new)?;
    tests.any(&paths, |pattern, flow| {
        http(flow).is_some_and(|http| pattern.is_match(path(&http.url)))
    });
    let urls = each("http_url", &filter.http_url, Regex::new)?;
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
    let queries = each("dns_query", &filter.dns_query, Regex::new)?;
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

/// `404`, or `4+` for all that begin so.
fn status(text: &str) -> Result<Regex, String> {
    let (digits, open) = match text.strip_suffix('+') {
        Some(digits) => (digits, ""),
        None => (text, "$"),
    };
    let fits = digits.len() <= 3
        && digits.starts_with(|first: char| ('1'..='5').contains(&first))
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 3 || open.is_empty());
    match fits {
        true => Regex::new(&format!("^{digits}{open}")).map_err(|error| error.to_string()),
        false => Err(format!(
            "{text:?} is no status: write `404`, or `4+` for a class"
        )),
    }
}
