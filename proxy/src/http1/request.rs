//! One request head: parsed strictly, or refused.

use std::{borrow::Cow, mem::MaybeUninit};

use memchr::memchr;
use weir_policy::http::HeaderEdit;

use super::{
    Refusal,
    body::Body,
    chunked::ChunkDecoder,
    framing::{Framing, framing},
    head::{MAX_FIELDS, is_token},
    target::{check_host, same_host, target},
    upgrade::{carries_requests, withdrawal},
};

/// Longer than any method of IANA's registry.
const MAX_METHOD: usize = 64;

/// A request head that every careful parser reads alike.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// Method, case as sent.
    pub method: &'a str,
    /// Minor version: 0 for HTTP/1.0.
    pub minor_version: u8,
    /// Path with query; `None` for CONNECT.
    pub path: Option<Cow<'a, str>>,
    /// The Host field (of CONNECT: the target), which a target's own authority agrees with. Only
    /// HTTP/1.0 may have none.
    pub host: Option<&'a str>,
    /// The target's own authority.
    pub authority: Option<&'a str>,
    /// All fields in order, values without surrounding white space.
    pub fields: Vec<(&'a str, &'a [u8])>,
    /// The body that follows.
    pub body: Body,
    /// Whether the client asked for the connection to end after this request.
    pub close: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Protocols that the client offers to switch to and that carry no requests, lower case.
    pub offers: Vec<String>,
    /// What takes all other protocols out of the offer.
    pub withdrawal: Vec<HeaderEdit>,
}

impl<'a> RequestHead<'a> {
    /// Parses a complete head, as [`HeadScanner`](super::head::HeadScanner) delimits it.
    ///
    /// # Errors
    /// See [`Refusal`]: whatever is malformed or could be read in two ways.
    pub fn parse(head: &'a [u8]) -> Result<Self, Refusal> {
        let mut space = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut space) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refusal::RequestLine),
            Err(error) => return Err(refusal(error)),
        }
        let method = parsed.method.ok_or(Refusal::Method)?;
        if !(1..=MAX_METHOD).contains(&method.len()) || !method.bytes().all(is_token) {
            return Err(Refusal::Method);
        }
        let version = parsed.version.ok_or(Refusal::Version)?;
        let fields: Vec<(&str, &[u8])> = parsed
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect();

        let target = target(method, parsed.path.ok_or(Refusal::Target)?)?;
        if has_framing_tab(head) {
            return Err(Refusal::Tab);
        }
        let connect = method == "CONNECT";
        let host = match (one_host(&fields)?, target.authority) {
            // The port is all that CONNECT is about.
            (Some(host), Some(own)) if connect && !host.eq_ignore_ascii_case(own) => {
                return Err(Refusal::HostDisagrees);
            }
            (Some(host), Some(own)) if !same_host(own, host) => {
                return Err(Refusal::HostDisagrees);
            }
            (Some(host), _) => Some(host),
            (None, _) if version > 0 => return Err(Refusal::NoHost),
            // A server of HTTP/1.0 may not know any other target with an authority.
            (None, authority) => authority.filter(|_| connect),
        };
        let body = match framing(fields.iter().copied())? {
            Framing::Unframed => Body::EMPTY,
            _ if connect => return Err(Refusal::ConnectBody),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked if version == 0 => return Err(Refusal::TransferEncoding),
            Framing::Chunked => Body::Chunked(ChunkDecoder::default()),
        };
        let connection = connection_options(&fields);
        if connection.names_framing {
            return Err(Refusal::ConnectionOption);
        }
        Ok(Self {
            method,
            minor_version: version,
            path: target.path,
            host,
            authority: target.authority,
            body,
            close: connection.close || (version == 0 && !connection.keep_alive),
            expects_continue: expects_continue(&fields)?,
            offers: tokens(&fields, "upgrade")
                .map(str::to_ascii_lowercase)
                .filter(|offer| !carries_requests(offer))
                .collect(),
            withdrawal: withdrawal(&fields),
            fields,
        })
    }
}

fn refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::Token => Refusal::RequestLine,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::NewLine | httparse::Error::Status => Refusal::RequestLine,
    }
}

/// Whether the client waits for `100 Continue`. A server may answer any other expectation as it
/// likes (RFC 9110 section 10.1.1), or do as if it were this one.
fn expects_continue(fields: &[(&str, &[u8])]) -> Result<bool, Refusal> {
    let mut expects = false;
    for (_, value) in fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("expect"))
    {
        if expects || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        expects = true;
    }
    Ok(expects)
}

/// Fields that must not have a tab beside their value.
const FRAMING: [&[u8]; 6] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"expect",
    b"connection",
    b"upgrade",
];

/// Whether a field that frames or routes the message has a tab in its line.
fn has_framing_tab(head: &[u8]) -> bool {
    memchr(b'\t', head).is_some()
        && head.split(|byte| *byte == b'\n').any(|line| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            line.contains(&b'\t') && FRAMING.iter().any(|f| name.eq_ignore_ascii_case(f))
        })
}

fn one_host<'a>(fields: &[(&'a str, &'a [u8])]) -> Result<Option<&'a str>, Refusal> {
    let mut hosts = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let Some((_, host)) = hosts.next() else {
        return Ok(None);
    };
    if hosts.next().is_some() {
        return Err(Refusal::ManyHosts);
    }
    let host = std::str::from_utf8(host).map_err(|_| Refusal::Host)?;
    check_host(host)?;
    Ok(Some(host))
}

/// What the Connection field says that matters to the proxy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    /// A next hop would strip the field that frames or routes the message.
    pub names_framing: bool,
}

pub(super) fn connection_options(fields: &[(&str, &[u8])]) -> ConnectionOptions {
    let mut options = ConnectionOptions::default();
    for token in tokens(fields, "connection") {
        if token.eq_ignore_ascii_case("close") {
            options.close = true;
        } else if token.eq_ignore_ascii_case("keep-alive") {
            options.keep_alive = true;
        } else if ["host", "content-length", "transfer-encoding"]
            .iter()
            .any(|framing| token.eq_ignore_ascii_case(framing))
        {
            options.names_framing = true;
        }
    }
    options
}

/// The comma-separated members of every field of a name; members that are no text are left out.
pub(super) fn tokens<'f>(
    fields: &'f [(&str, &'f [u8])],
    name: &'f str,
) -> impl Iterator<Item = &'f str> {
    fields
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .filter_map(|member| std::str::from_utf8(member).ok())
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
