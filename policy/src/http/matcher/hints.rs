//! What to do about a part of a request that a rule does not match, where that can be guessed.

use super::compiled::{Compiled, Pattern};
use crate::{
    http::Request,
    nearest::{Miss, MissKind},
};

/// Adds to misses of a rule what to do about them.
pub(super) fn add(rule: &Compiled, request: &Request<'_>, misses: &mut [Miss]) {
    for miss in misses.iter_mut().filter(|miss| miss.hint.is_none()) {
        miss.hint = match miss.kind {
            MissKind::Method => {
                (rule.method.as_ref()).and_then(|wanted| method(wanted, request.method))
            }
            MissKind::Path => source(&rule.path, &rule.rule.path)
                .zip(request.path)
                .and_then(|((wanted, source), sent)| path(wanted, source, sent)),
            MissKind::Host => source(&rule.host, &rule.rule.host)
                .zip(request.host)
                .and_then(|((wanted, source), sent)| host(wanted, source, sent)),
            _ => None,
        };
    }
}

/// A pattern and how it is written.
fn source<'a>(
    pattern: &'a Option<Pattern>,
    source: &'a Option<String>,
) -> Option<(&'a Pattern, &'a str)> {
    pattern.as_ref().zip(source.as_deref())
}

fn method(wanted: &Pattern, method: &str) -> Option<String> {
    if method == "HEAD" && wanted.matches("GET") {
        return Some("GET does not include HEAD: `GET|HEAD`".to_owned());
    }
    let upper = method.to_ascii_uppercase();
    (upper != method && wanted.matches(&upper))
        .then(|| "methods are told apart by upper and lower case".to_owned())
}

fn path(wanted: &Pattern, source: &str, path: &str) -> Option<String> {
    let plain = path.split_once('?').map(|(plain, _)| plain);
    if plain.is_some_and(|plain| wanted.matches(plain)) {
        return Some(format!(
            "the path includes the query string: `{source}(\\?.*)?`"
        ));
    }
    if path
        .strip_suffix('/')
        .is_some_and(|bare| wanted.matches(bare))
    {
        return Some(format!("a slash at the end counts: `{source}/?`"));
    }
    let below = path.starts_with(source) && !source.is_empty();
    below.then(|| format!("a path must match in full: `{source}.*`"))
}

fn host(wanted: &Pattern, source: &str, host: &str) -> Option<String> {
    let (bare, _) = host.rsplit_once(':')?;
    wanted
        .matches(bare)
        .then(|| format!("the host includes the port where one is sent: `{source}(:[0-9]+)?`"))
}
