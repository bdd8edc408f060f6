//! Why a request is not matched by an HTTP rule.

use super::misses::{Miss, MissKind};
use crate::{
    http::{Request, doubt::announces_body, matcher::Matcher, normalise::readings},
    model::HttpRule,
    objects::pattern,
    verdict::Flow,
};

/// What does not fit; empty where the rule matches the request as sent and as servers may read it.
pub(super) fn misses(flow: &Flow, rule: &HttpRule) -> Vec<Miss> {
    let Some(request) = &flow.http else {
        return Vec::new();
    };
    let matcher = match Matcher::new([rule.clone()]) {
        Ok(matcher) => matcher,
        Err(error) => return vec![Miss::new(MissKind::Other, error.to_string())],
    };
    let headers: Vec<(&str, &[u8])> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let sent = Request {
        method: &request.method,
        path: (request.method != "CONNECT").then_some(request.path.as_str()),
        host: Some(request.host.as_deref().unwrap_or(&flow.to)),
        headers: &headers,
        body: announces_body(&headers),
    };
    let found = failures(&matcher, &sent, rule);
    if !found.is_empty() || sent.path.is_none() {
        return found;
    }
    for reading in readings(&request.path) {
        let read = Request {
            path: Some(&reading),
            ..sent
        };
        let mut found = failures(&matcher, &read, rule);
        for miss in &mut found {
            miss.hint = Some(format!(
                "a server may take `{}` for `{reading}`",
                request.path
            ));
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn failures(matcher: &Matcher, request: &Request<'_>, rule: &HttpRule) -> Vec<Miss> {
    if matcher.first_match(request).is_some() {
        let doubt = matcher.asked().doubt(request);
        let miss = doubt.map(|(_, reason)| Miss::new(MissKind::Header, reason));
        return miss.into_iter().collect();
    }
    let failed = matcher.nearest_miss(request).map(|miss| miss.failed);
    failed
        .into_iter()
        .flatten()
        .map(|text| miss(&text, request, rule))
        .collect()
}

fn miss(text: &str, request: &Request<'_>, rule: &HttpRule) -> Miss {
    let split = text.split_once(": ");
    let (kind, rest) = match split {
        Some(("method", rest)) => (MissKind::Method, rest),
        Some(("path", rest)) => (MissKind::Path, rest),
        Some(("host", rest)) => (MissKind::Host, rest),
        Some(("body", rest)) => (MissKind::Body, rest),
        _ if text.starts_with("header ") => {
            let rest = text.trim_start_matches("header ");
            return Miss::new(MissKind::Header, rest);
        }
        _ => (MissKind::Other, text),
    };
    let hint = match kind {
        MissKind::Method => rule
            .method
            .as_deref()
            .and_then(|wanted| method_hint(wanted, request.method)),
        MissKind::Path => rule
            .path
            .as_deref()
            .zip(request.path)
            .and_then(|(wanted, path)| path_hint(wanted, path)),
        MissKind::Host => rule
            .host
            .as_deref()
            .zip(request.host)
            .and_then(|(wanted, host)| host_hint(wanted, host)),
        _ => None,
    };
    let miss = Miss::new(kind, rest);
    match hint {
        Some(hint) => miss.hint(hint),
        None => miss,
    }
}

fn method_hint(wanted: &str, method: &str) -> Option<String> {
    if method == "HEAD" && matches(wanted, "GET") {
        return Some("GET does not include HEAD: `GET|HEAD`".to_owned());
    }
    let upper = method.to_ascii_uppercase();
    (upper != method && matches(wanted, &upper))
        .then(|| "methods are told apart by upper and lower case".to_owned())
}

fn path_hint(wanted: &str, path: &str) -> Option<String> {
    let plain = path.split_once('?').map(|(plain, _)| plain);
    if plain.is_some_and(|plain| matches(wanted, plain)) {
        return Some(format!(
            "the path includes the query string: `{wanted}(\\?.*)?`"
        ));
    }
    if path
        .strip_suffix('/')
        .is_some_and(|bare| matches(wanted, bare))
    {
        return Some(format!("a slash at the end counts: `{wanted}/?`"));
    }
    let below = path.starts_with(wanted) && !wanted.is_empty();
    below.then(|| format!("a path must match in full: `{wanted}.*`"))
}

fn host_hint(wanted: &str, host: &str) -> Option<String> {
    let (bare, _) = host.rsplit_once(':')?;
    matches(wanted, bare)
        .then(|| format!("the host includes the port where one is sent: `{wanted}(:[0-9]+)?`"))
}

fn matches(wanted: &str, text: &str) -> bool {
    pattern::compile(wanted).is_ok_and(|pattern| pattern.is_match(text))
}
