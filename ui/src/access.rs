//! Who may look: on this machine whoever reaches the port, elsewhere who has the token.
//!
//! A web page that the user visits can make the browser ask any address. It may not read the answer
//! of another origin, but for DNS rebinding: its own name suddenly means 127.0.0.1. So without a
//! token the request must name this machine itself ([`is_local`]), and a foreign `Origin` is refused
//! in any case.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use weir_gate::token::{Token, TokenError};

/// Where the browser keeps the token once it has shown it.
const JAR: &str = "weir-ui";

/// Who may ask.
#[derive(Debug, Clone)]
pub enum Access {
    /// Who reaches the port and names this machine itself.
    Local,
    /// Who has the token.
    Token(Token),
}

// === impl Access ===

impl Access {
    /// By where the page is served: off this machine a token is needed, and made where none is given.
    ///
    /// # Errors
    /// [`TokenError::Random`] where none can be made.
    pub fn at(address: SocketAddr, token: Option<Token>) -> Result<Self, TokenError> {
        Ok(match token {
            Some(token) => Self::Token(token),
            None if address.ip().to_canonical().is_loopback() => Self::Local,
            None => Self::Token(Token::generate()?),
        })
    }

    /// What opens the page at `HOST:PORT`; with the token, where there is one.
    pub fn url(&self, authority: &str) -> String {
        match self {
            Self::Local => format!("http://{authority}/"),
            Self::Token(token) => format!("http://{authority}/?token={}", token.as_str()),
        }
    }
}

/// Lets a request through, or says why not.
pub(crate) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(host) = host(headers) else {
        return (StatusCode::BAD_REQUEST, "the Host header is missing\n").into_response();
    };
    if headers.contains_key(ORIGIN) && !is_own(headers, &host) {
        return (StatusCode::FORBIDDEN, "asked by a page of another origin\n").into_response();
    }
    match &*access {
        Access::Local if !is_local(host.host()) => {
            let text = "this page is for this machine only: ask for localhost or 127.0.0.1\n";
            (StatusCode::FORBIDDEN, text).into_response()
        }
        Access::Local => next.run(request).await,
        Access::Token(token) => match shown(&request) {
            Shown::InUrl(text) if token.is(text) => taken(token),
            Shown::InHeader(text) if token.is(text) => next.run(request).await,
            _ => {
                let text =
                    "this page needs the token: open the URL that `weir ui` printed at its start\n";
                (StatusCode::UNAUTHORIZED, text).into_response()
            }
        },
    }
}

/// How a token is shown.
enum Shown<'a> {
    InUrl(&'a str),
    InHeader(&'a str),
    Nowhere,
}

fn shown(request: &Request) -> Shown<'_> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let in_url = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="));
    if let Some(text) = in_url.filter(|_| request.uri().path() == "/") {
        return Shown::InUrl(text);
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let value = value.to_str().ok()?;
        value.strip_prefix("Bearer ")
    });
    if let Some(text) = bearer {
        return Shown::InHeader(text);
    }
    let mut cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let ours = cookies.find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == JAR).then_some(value)
    });
    ours.map_or(Shown::Nowhere, Shown::InHeader)
}

/// The browser keeps the token, and the URL loses it: URLs are copied and kept in histories. A link from
/// elsewhere still opens the page (Lax); what other pages ask for by themselves goes without the token.
fn taken(token: &Token) -> Response {
    let cookie = format!("{JAR}={}; HttpOnly; SameSite=Lax; Path=/", token.as_str());
    (
        StatusCode::SEE_OTHER,
        [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())],
    )
        .into_response()
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

/// Whether the page that asks is ours.
fn is_own(headers: &HeaderMap, host: &Authority) -> bool {
    let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    let authority = origin.and_then(|origin| {
        let (_, authority) = origin.split_once("://")?;
        authority.parse::<Authority>().ok()
    });
    authority.is_some_and(|authority| authority == *host)
}

/// Whether a name can mean nothing but this machine.
fn is_local(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let address = literal.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.to_canonical().is_loopback())
}
