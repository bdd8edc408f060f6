//! HTTP rules that match less than they seem to.

use super::{
    Report,
    context::Context,
    grpc,
    registry::{BODY_ON_GET, GET_WITHOUT_HEAD, METHOD_CASE, PATH_LIKE_PREFIX, PATH_WITHOUT_QUERY},
};
use crate::{
    model::HttpRule,
    objects::{GET_BODY, pattern},
};

pub(super) fn check(context: &Context<'_>, report: &mut Report) {
    bodies(context, report);
    for rule in context.rules() {
        let Some(entries) = rule.rule.http() else {
            continue;
        };
        // With `enableDefaultDeny: false` what no rule matches may pass all the same.
        let denies = context.denies_by_default(rule.spec, rule.direction);
        for entry in entries {
            path(entry, denies, report);
            if denies {
                method(entry, entries, report);
            }
            case(entry, report);
            grpc::check(entry, report);
        }
    }
}

/// Bodies on methods that give them no meaning.
fn bodies(context: &Context<'_>, report: &mut Report) {
    let entries = context
        .rules()
        .flat_map(|rule| rule.rule.http().unwrap_or_default());
    if entries.into_iter().any(|entry| entry.get_body) {
        report.add(
            &BODY_ON_GET,
            format!("metadata.annotations[{GET_BODY}]"),
            "a server that does not read the body of GET takes it for the next request, which no rule has judged",
            "leave it out, unless every server behind these rules reads such bodies (Elasticsearch does)",
        );
    }
}

/// `denies`: whether what does not match is denied.
fn path(entry: &HttpRule, denies: bool, report: &mut Report) {
    let Some(path) = &entry.path else {
        return;
    };
    let field = format!("{}.path", entry.place);
    if let Some(stem) = path.strip_suffix("/*") {
        report.add(
            &PATH_LIKE_PREFIX,
            field,
            format!("`{path}` is a regular expression: `/*` means any number of slashes"),
            format!("write `{stem}/.*` for everything below `{stem}/`"),
        );
    } else if path.ends_with('/') && path.len() > 1 && is_plain(path) {
        report.add(
            &PATH_LIKE_PREFIX,
            field,
            format!("`{path}` must match in full, so it means this one path and nothing below it"),
            format!("write `{path}.*` for everything below it"),
        );
    } else if is_plain(path) {
        if denies && !grpc::is_call(path) {
            report.add(
                &PATH_WITHOUT_QUERY,
                field,
                format!("the path includes the query string: `{path}?x=1` is denied"),
                format!("write `{path}(\\?.*)?` if queries are to pass"),
            );
        }
    } else if path.starts_with("^/") && path.ends_with('$') || path.starts_with('/') {
        // A pattern that someone has thought about.
    } else if !matches_some_path(path) {
        report.add(
            &PATH_LIKE_PREFIX,
            field,
            format!("`{path}` matches no path, because every path begins with `/`"),
            format!("write `/{}`", path.trim_start_matches('^')),
        );
    }
}

/// GET for a path that no entry allows HEAD for.
fn method(entry: &HttpRule, entries: &[HttpRule], report: &mut Report) {
    let allows = |entry: &HttpRule, method: &str| {
        entry.method.as_deref().is_none_or(|wanted| {
            pattern::compile(wanted).is_ok_and(|pattern| pattern.is_match(method))
        })
    };
    let head = entries
        .iter()
        .any(|other| other.path == entry.path && allows(other, "HEAD"));
    if entry.method.is_some() && allows(entry, "GET") && !head {
        report.add(
            &GET_WITHOUT_HEAD,
            format!("{}.method", entry.place),
            "GET does not include HEAD, which health checks and caches send",
            "write `GET|HEAD` if both are to pass",
        );
    }
}

/// Methods of RFC 9110 and PATCH (RFC 5789).
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// A method that would match if it were in upper case.
fn case(entry: &HttpRule, report: &mut Report) {
    let Some(wanted) = &entry.method else {
        return;
    };
    let matches_any = |text: &str| {
        let pattern = pattern::compile(text);
        pattern.is_ok_and(|pattern| METHODS.iter().any(|method| pattern.is_match(method)))
    };
    let upper = wanted.to_uppercase();
    if upper != *wanted && !matches_any(wanted) && matches_any(&upper) {
        report.add(
            &METHOD_CASE,
            format!("{}.method", entry.place),
            format!("`{wanted}` matches no request: methods are upper case"),
            format!("write `{upper}`"),
        );
    }
}

/// No character with a meaning in a pattern; a dot is most often meant as a dot.
fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains([
            '\\', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$',
        ])
}

/// Whether a pattern that does not begin with a slash can match a path at all, as far as
/// trying tells.
fn matches_some_path(pattern: &str) -> bool {
    let wild = ['.', '(', '[', '^', '*', '|', '\\', '?', '{'];
    pattern.starts_with(wild)
        || pattern::compile(pattern).is_ok_and(|pattern| pattern.is_match("/"))
}
