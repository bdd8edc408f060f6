//! Rules about calls of gRPC that no call fits: one is always `POST /package.Service/Method`
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use super::{Report, registry::GRPC_CALL};
use crate::{model::HttpRule, objects::pattern};

/// A path that looks like a call.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    service: String,
    method: String,
    /// A slash stands between them.
    slash: bool,
    query: bool,
}

pub(super) fn check(entry: &HttpRule, report: &mut Report) {
    let Some(call) = entry.path.as_deref().and_then(call) else {
        return;
    };
    let (service, method) = (&call.service, &call.method);
    let path = format!("{}.path", entry.place);
    if !call.slash {
        report.add(
            &GRPC_CALL,
            path,
            "no call of gRPC has this path: a slash stands between service and method",
            format!("write `/{service}/{method}`"),
        );
    } else if call.query {
        report.add(
            &GRPC_CALL,
            path,
            "calls of gRPC have no query string",
            format!("write `/{service}/{method}`"),
        );
    }
    let post = entry.method.as_deref().is_none_or(|wanted| {
        pattern::compile(wanted).is_ok_and(|pattern| pattern.is_match("POST"))
    });
    if !post {
        report.add(
            &GRPC_CALL,
            format!("{}.method", entry.place),
            format!("`/{service}/{method}` looks like a call of gRPC, which is always POST"),
            "write `POST`",
        );
    }
}

/// Whether a path is that of calls, so that what is said of other paths does not fit it.
pub(super) fn is_call(path: &str) -> bool {
    call(path).is_some_and(|call| call.slash && !call.query)
}

fn call(path: &str) -> Option<Call> {
    let bare = path.replace("\\.", ".");
    let bare = bare.trim_start_matches('^').trim_end_matches('$');
    // A query, or a pattern that lets one pass.
    let end = bare.find(['?', '(']).unwrap_or(bare.len());
    let (name, rest) = bare.split_at_checked(end)?;
    let query = rest.contains('?');
    let name = if query { name } else { bare };
    let name = name.trim_end_matches('\\').strip_prefix('/')?;
    let (service, method, slash) = match name.split_once('/') {
        Some((service, method)) => (service, method, true),
        None => {
            let (service, method) = name.rsplit_once('.')?;
            (service, method, false)
        }
    };
    let labels: Vec<&str> = service.split('.').collect();
    let is_service = labels.len() > 1
        && labels.iter().all(|label| is_name(label))
        && labels.last().is_some_and(|last| begins_large(last));
    let is_method = is_name(method) && begins_large(method);
    (is_service && is_method).then(|| Call {
        service: service.to_owned(),
        method: method.to_owned(),
        slash,
        query,
    })
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(plain)
}

fn begins_large(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_paths() {
        let parts = |path: &str| call(path).map(|call| (call.slash, call.query));
        for (path, is) in [
            ("/echo.Echo/Unary", Some((true, false))),
            (r"/grpc\.health\.v1\.Health/Check", Some((true, false))),
            ("^/a.b.C/D$", Some((true, false))),
            ("/echo.Echo/Unary?x=1", Some((true, true))),
            (r"/echo.Echo/Unary(\?.*)?", Some((true, true))),
            (r"/echo.Echo/Unary\?x", Some((true, true))),
            ("/echo.Echo.Unary", Some((false, false))),
            ("/headers", None),
            ("/index.html", None),
            ("/v1.0/Users", None),
            ("/img/Logo.PNG", None),
            ("/a.b/c", None),
            ("/echo.Echo/.*", None),
            ("/echo.Echo/(Unary|Chat)", None),
        ] {
            assert_eq!(parts(path), is, "{path}");
        }
        let call = call(r"/a\.B/C").unwrap();
        assert_eq!((call.service.as_str(), call.method.as_str()), ("a.B", "C"));
    }
}
