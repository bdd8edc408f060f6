//! One request head: parsed strictly, or refused.

use std::{borrow::Cow, mem::MaybeUninit};

use super::{
    Refusal,
    body::Body,
    chunked::ChunkDecoder,
    framing::{Framing, framing},
    head::{MAX_FIELDS, is_token},
    target::{check_host, target},
};

/// A request head that every careful parser reads alike.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// Method, case as sent.
    pub method: &'a str,
    /// Minor version: 0 for HTTP/1.0.
    pub minor_version: u8,
    /// Path with query; `None` for CONNECT.
    pub path: Option<Cow<'a, str>>,
    /// Where the request is for: the target's own authority, else the Host field.
    pub host: &'a str,
    /// All fields in order, values without surrounding white space.
    pub fields: Vec<(&'a str, &'a [u8])>,
    /// The body that follows.
    pub body: Body,
    /// Whether the client asked for the connection to end after this request.
    pub close: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Protocols that the client offers to switch to, lower case.
    pub offers: Vec<String>,
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
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(Refusal::Method);
        }
        let version = parsed.version.ok_or(Refusal::Version)?;
        let fields: Vec<(&str, &[u8])> = parsed
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect();

        let target = target(method, parsed.path.ok_or(Refusal::Target)?)?;
        let host = one_host(&fields)?;
        let host = match target.authority {
            Some(own) if !own.eq_ignore_ascii_case(host) => return Err(Refusal::HostDisagrees),
            Some(own) => own,
            None => host,
        };
        let body = match framing(fields.iter().copied())? {
            Framing::Unframed => Body::EMPTY,
            _ if method == "CONNECT" => return Err(Refusal::ConnectBody),
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
            body,
            close: connection.close || (version == 0 && !connection.keep_alive),
            expects_continue: fields.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("expect") && value.eq_ignore_ascii_case(b"100-continue")
            }),
            offers: tokens(&fields, "upgrade")
                .map(str::to_ascii_lowercase)
                .collect(),
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

fn one_host<'a>(fields: &[(&'a str, &'a [u8])]) -> Result<&'a str, Refusal> {
    let mut hosts = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let (_, host) = hosts.next().ok_or(Refusal::NoHost)?;
    if hosts.next().is_some() {
        return Err(Refusal::ManyHosts);
    }
    let host = std::str::from_utf8(host).map_err(|_| Refusal::Host)?;
    check_host(host)?;
    Ok(host)
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
