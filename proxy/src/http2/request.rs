//! The head of one stream's request: checked like one of HTTP/1, or refused by the same table.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts, uri};
use weir_policy::http::{HeaderEdit, Request};

use crate::http1::{
    Refusal,
    framing::{Framing, framing},
    head::MAX_FIELDS,
    target::{check_host, same_host, target},
};

/// A request head that every careful server reads alike.
#[derive(Debug)]
pub struct Head {
    parts: Parts,
    /// What is asked for: `:authority`, or Host where there is none (RFC 9113, 8.3.1).
    host: String,
    /// The crumbs of a cookie as one (RFC 9113, 8.2.3).
    cookie: Option<Vec<u8>>,
    body: bool,
}

// === impl Head ===

impl Head {
    /// Checks a head that the engine has read. `body`: more than the head comes.
    ///
    /// # Errors
    /// See [`Refusal`]: what two servers could read in two ways, or what is too much.
    pub fn check(parts: Parts, body: bool, longest_path: usize) -> Result<Self, Refusal> {
        if parts.headers.len() > MAX_FIELDS {
            return Err(Refusal::TooManyFields);
        }
        let connect = parts.method == Method::CONNECT;
        let authority = parts.uri.authority().map(uri::Authority::as_str);
        let host = host(&parts.headers, authority, connect)?;
        if connect {
            target("CONNECT", &host)?;
        } else {
            // The engine drops the scheme where there is no authority.
            match parts.uri.scheme_str() {
                None | Some("http" | "https") => {}
                Some(_) => return Err(Refusal::Target),
            }
            let path = path(&parts.uri);
            if path.len() > longest_path {
                return Err(Refusal::PathTooLong);
            }
            let absolute = !path.starts_with('/') && path != "*";
            if absolute || target(parts.method.as_str(), path)?.path.is_none() {
                return Err(Refusal::Target);
            }
        }
        let fields = parts.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
        match framing(fields)? {
            Framing::Length(length) if length > 0 && connect => return Err(Refusal::ConnectBody),
            Framing::Length(_) | Framing::Unframed => {}
            // The engine has refused it: there are no chunks in HTTP/2 (RFC 9113, 8.2.2).
            Framing::Chunked => return Err(Refusal::TransferEncoding),
        }
        expectation(&parts.headers)?;
        Ok(Self {
            host,
            cookie: cookie(&parts.headers),
            body: body && !connect,
            parts,
        })
    }

    /// Lets somebody look at the request as policy does.
    pub fn show<R>(&self, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let fields = self.fields();
        look(&Request {
            method: self.method(),
            path: self.path(),
            host: Some(&self.host),
            headers: &fields,
            body: self.body,
        })
    }

    /// All fields, with Host where the client sent `:authority` alone, and one cookie.
    pub fn fields(&self) -> Vec<(&str, &[u8])> {
        let headers = &self.parts.headers;
        let mut fields: Vec<(&str, &[u8])> = Vec::with_capacity(headers.len() + 1);
        if !headers.contains_key(http::header::HOST) {
            fields.push(("host", self.host.as_bytes()));
        }
        for (name, value) in headers {
            if self.cookie.is_none() || name != http::header::COOKIE {
                fields.push((name.as_str(), value.as_bytes()));
            }
        }
        if let Some(cookie) = &self.cookie {
            fields.push(("cookie", cookie));
        }
        fields
    }

    /// Method, case as sent.
    pub fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// Path with query; `None` for CONNECT.
    pub fn path(&self) -> Option<&str> {
        (self.parts.method != Method::CONNECT).then(|| path(&self.parts.uri))
    }

    /// What is asked for, with a port where the client wrote one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its content type, if it is text.
    pub fn content_type(&self) -> Option<&str> {
        let value = self.parts.headers.get(http::header::CONTENT_TYPE)?;
        value.to_str().ok()
    }

    /// The head as it goes to the server, with these changes of header rules; `None` where a change
    /// makes no field.
    pub fn forwarded(&self, edits: &[HeaderEdit]) -> Option<http::Request<()>> {
        let mut request = http::Request::new(());
        *request.method_mut() = self.parts.method.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = self.uri()?;
        let headers = request.headers_mut();
        headers.clone_from(&self.parts.headers);
        for edit in edits {
            match edit {
                HeaderEdit::Remove(name) => {
                    headers.remove(HeaderName::from_bytes(name.as_bytes()).ok()?);
                }
                HeaderEdit::Append { name, value } => {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    headers.append(name, HeaderValue::from_str(value).ok()?);
                }
            }
        }
        Some(request)
    }

    /// With an authority also where the client sent Host alone.
    fn uri(&self) -> Option<Uri> {
        let uri = &self.parts.uri;
        if uri.authority().is_some() {
            return Some(uri.clone());
        }
        let host = uri::Authority::try_from(self.host.as_str()).ok()?;
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(host);
        parts.scheme = Some(uri::Scheme::HTTP);
        Uri::from_parts(parts).ok()
    }
}

fn path(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", uri::PathAndQuery::as_str)
}

/// The one host of a request, checked.
fn host(headers: &HeaderMap, authority: Option<&str>, connect: bool) -> Result<String, Refusal> {
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::ManyHosts);
    }
    let field = field.map(|host| host.to_str().map_err(|_| Refusal::Host));
    let field = field.transpose()?;
    for host in field.iter().chain(&authority) {
        check_host(host)?;
    }
    match (authority, field) {
        (Some(own), Some(host)) if connect && !own.eq_ignore_ascii_case(host) => {
            Err(Refusal::HostDisagrees)
        }
        (Some(own), Some(host)) if !same_host(own, host) => Err(Refusal::HostDisagrees),
        (Some(own), Some(_)) if connect => Ok(own.to_owned()),
        // As in HTTP/1 the field is judged where both are there.
        (_, Some(host)) => Ok(host.to_owned()),
        (Some(own), None) => Ok(own.to_owned()),
        (None, None) => Err(Refusal::NoHost),
    }
}

/// A server may answer any other expectation as it likes (RFC 9110, 10.1.1).
fn expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut expected = headers.get_all(http::header::EXPECT).iter();
    let known = expected
        .next()
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    match known && expected.next().is_none() {
        true => Ok(()),
        false => Err(Refusal::Expectation),
    }
}

fn cookie(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut crumbs = headers.get_all(http::header::COOKIE).iter();
    let (first, second) = (crumbs.next()?, crumbs.next()?);
    let mut cookie = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    Some(cookie)
}

#[cfg(test)]
mod tests;
