//! httpbin, as far as the labs and tests use it.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::http::{Answer, Asked, json as json_answer, response};

/// Longer waits are cut, as in the original.
const LONGEST_DELAY: f64 = 10.0;
const MOST_BYTES: usize = 16 << 20;

pub async fn answer(asked: &Asked) -> Answer {
    let method = asked.request.method();
    let (page, rest) = match asked.path().trim_start_matches('/').split_once('/') {
        Some((page, rest)) => (page, rest),
        None => (asked.path().trim_start_matches('/'), ""),
    };
    let reads = [Method::GET, Method::HEAD];
    match page {
        "" => page_for_people(),
        "get" if rest.is_empty() => only(asked, &reads, |a| {
            pick(a, &["args", "headers", "origin", "url"])
        }),
        "headers" if rest.is_empty() => only(asked, &reads, |a| pick(a, &["headers"])),
        "ip" if rest.is_empty() => only(asked, &reads, |a| pick(a, &["origin"])),
        "user-agent" if rest.is_empty() => only(asked, &reads, |a| {
            json_answer(
                StatusCode::OK,
                &json!({ "user-agent": a.header(USER_AGENT) }),
            )
        }),
        "post" if rest.is_empty() => only(asked, &[Method::POST], with_body),
        "put" if rest.is_empty() => only(asked, &[Method::PUT], with_body),
        "patch" if rest.is_empty() => only(asked, &[Method::PATCH], with_body),
        "delete" if rest.is_empty() => only(asked, &[Method::DELETE], with_body),
        "anything" => {
            let mut all = everything(asked);
            all.insert("method".into(), json!(method.as_str()));
            json_answer(StatusCode::OK, &Value::Object(all))
        }
        "status" => match rest
            .parse()
            .ok()
            .and_then(|n: u16| StatusCode::from_u16(n).ok())
        {
            Some(status) => response(status, "text/html; charset=utf-8", Bytes::new()),
            None => response(StatusCode::BAD_REQUEST, "text/plain", "Invalid status code"),
        },
        "delay" => {
            let seconds: f64 = rest.parse().unwrap_or(0.0);
            if seconds > 0.0 {
                tokio::time::sleep(Duration::from_secs_f64(seconds.min(LONGEST_DELAY))).await;
            }
            with_body(asked)
        }
        "bytes" => {
            let length = rest.parse::<usize>().unwrap_or(0).min(MOST_BYTES);
            response(StatusCode::OK, "application/octet-stream", pattern(length))
        }
        _ => not_found(),
    }
}

/// Bytes that a test can check without knowing them: each is its place.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| at as u8).collect()
}

fn only(asked: &Asked, methods: &[Method], answer: impl Fn(&Asked) -> Answer) -> Answer {
    if methods.contains(asked.request.method()) {
        return answer(asked);
    }
    let mut refused = response(
        StatusCode::METHOD_NOT_ALLOWED,
        "text/html",
        "<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n",
    );
    let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        refused.headers_mut().insert(ALLOW, value);
    }
    refused
}

fn pick(asked: &Asked, fields: &[&str]) -> Answer {
    let mut all = everything(asked);
    all.retain(|name, _| fields.contains(&name.as_str()));
    json_answer(StatusCode::OK, &Value::Object(all))
}

fn with_body(asked: &Asked) -> Answer {
    json_answer(StatusCode::OK, &Value::Object(everything(asked)))
}

fn everything(asked: &Asked) -> Map<String, Value> {
    let body = String::from_utf8_lossy(asked.request.body());
    let is_form = asked
        .header(CONTENT_TYPE)
        .starts_with("application/x-www-form-urlencoded");
    let (form, data) = match is_form {
        true => (pairs(&body), ""),
        false => (json!({}), body.as_ref()),
    };
    let uri = asked.request.uri();
    let target = uri.path_and_query().map_or("/", |both| both.as_str());
    let fields = [
        ("args", pairs(uri.query().unwrap_or_default())),
        ("data", json!(data)),
        ("files", json!({})),
        ("form", form),
        ("headers", headers(asked)),
        ("json", serde_json::from_str(data).unwrap_or(Value::Null)),
        ("origin", json!(asked.origin())),
        (
            "url",
            json!(format!("http://{}{target}", asked.header(HOST))),
        ),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Header names as httpbin shows them: `User-Agent`.
fn headers(asked: &Asked) -> Value {
    let mut shown: Map<String, Value> = Map::new();
    for (name, value) in asked.request.headers() {
        let title: Vec<String> = name
            .as_str()
            .split('-')
            .map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                first.to_uppercase() + rest
            })
            .collect();
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        match shown.entry(title.join("-")) {
            serde_json::map::Entry::Vacant(entry) => {
                entry.insert(json!(value));
            }
            serde_json::map::Entry::Occupied(mut entry) => {
                let joined = format!("{},{value}", entry.get().as_str().unwrap_or_default());
                entry.insert(json!(joined));
            }
        }
    }
    Value::Object(shown)
}

/// `a=1&b=2`; a name that comes twice keeps its last value.
fn pairs(text: &str) -> Value {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    Value::Object(
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (name.to_owned(), json!(value))
            })
            .collect(),
    )
}

fn page_for_people() -> Answer {
    let page = "<!DOCTYPE html>\n<title>httpbin.org</title>\n<h1>httpbin</h1>\n";
    response(StatusCode::OK, "text/html; charset=utf-8", page)
}

fn not_found() -> Answer {
    let page = "<title>404 Not Found</title>\n<h1>Not Found</h1>\n";
    response(StatusCode::NOT_FOUND, "text/html", page)
}
