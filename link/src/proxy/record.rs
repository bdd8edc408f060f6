//! What the proxy tells of all that it judged: one type, from there to the observer.

use std::{
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use weir_policy::model::Direction;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Policy allowed it and a response came back.
    Allowed,
    /// Policies in audit mode would deny it; it went on all the same.
    Audited,
    /// Policy denied it.
    Denied,
    /// It was malformed, ambiguous or not HTTP, and no rule was asked.
    Refused,
    /// It was allowed but not answered: the server or the proxy failed.
    Error,
}

/// One request, DNS query or TLS connection, or a connection that never became one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7Record {
    /// When the record was made, in microseconds since the Unix epoch.
    pub time_us: u64,
    /// The endpoint whose rules decided, by its index in the snapshot; `None` for a stranger.
    pub endpoint: Option<u16>,
    /// Whether they were its ingress or its egress rules.
    pub direction: Direction,
    /// Client address.
    pub client: SocketAddr,
    /// Server address, after service translation.
    pub server: SocketAddr,
    /// What was asked and, where something was, answered.
    pub application: Application,
    /// What became of it.
    pub verdict: Disposition,
    /// `Kind/NS/NAME` of the policies that decided.
    pub policies: Vec<String>,
    /// One sentence: the rule, what was missing, or what failed.
    pub reason: String,
    /// The rule that came nearest, of what a default denied.
    pub nearest: Option<String>,
    /// From the end of the request's head to the end of the response, in microseconds.
    pub latency_us: u64,
}

/// What was asked, by its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Application {
    /// An HTTP request.
    Http(HttpRecord),
    /// A DNS query.
    Dns(Box<DnsRecord>),
    /// A TLS connection.
    Tls {
        /// The server's name as the client wrote it; empty if it gave none.
        name: String,
    },
    /// None of these.
    Other {
        /// Status code of the proxy's answer, where it gave one.
        status: Option<u16>,
    },
}

/// An HTTP request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRecord {
    /// Method, case as sent.
    pub method: String,
    /// Path with query, as sent; empty for CONNECT.
    pub path: String,
    /// Host; empty if there was none.
    pub host: String,
    /// Version of the request.
    pub version: HttpVersion,
    /// The header fields that the agent has asked for, in order, values as text.
    pub headers: Vec<(String, String)>,
    /// Status code that the client got, if any.
    pub status: Option<u16>,
    /// How a call of gRPC ended, where one did.
    pub grpc_status: Option<u16>,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// A DNS query and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The name that was asked for.
    pub name: String,
    /// Over TCP; else UDP.
    pub tcp: bool,
    /// Types that were asked for, such as `AAAA`.
    pub query_types: Vec<String>,
    /// Code of the answer that the client got, the server's or our own; `None`: none came.
    pub code: Option<u16>,
    /// Addresses that the name leads to.
    pub addresses: Vec<IpAddr>,
    /// The shortest time that one of them may be kept, in seconds; 0 without any.
    pub ttl: u32,
    /// Names that it leads to.
    pub aliases: Vec<String>,
    /// Types of the records in the answer, each once.
    pub answer_types: Vec<String>,
}

/// The most bytes of a text of the client's in a record.
const TEXT: usize = 1024;
/// The most bytes of all header fields in a record: a client may send a name many times.
const FIELDS: usize = 4096;
/// The most addresses of an answer in a record.
const ADDRESSES: usize = 64;
/// The most types of an answer's records.
const TYPES: usize = 16;
/// What stands where it was cut.
const CUT: &str = "… (";

/// Whether a text was cut, which no client can write: it is no ASCII, and targets are.
pub fn is_cut(text: &str) -> bool {
    text.len() > TEXT && text.contains(CUT)
}

/// A text of the client's as records have it: one that is longer than a kilobyte is cut, and its length
/// and a hash tell it from others that begin alike.
pub fn cut(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let start = text.get(..text.floor_char_boundary(TEXT));
    format!("{}{}", start.unwrap_or_default(), mark(text))
}

/// What stands for a text, or for the rest of it.
fn mark(text: &str) -> String {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    format!("{CUT}{} bytes, {:016x})", text.len(), hash.finish())
}

/// The header fields of a record, each value cut. Once they are more than 4 KiB together, values are told
/// by their length and hash alone.
pub fn cut_fields<'a>(
    fields: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
) -> Vec<(String, String)> {
    let mut left = FIELDS;
    let told = |(name, value): (&str, Cow<'_, str>)| {
        let value = cut(&value);
        let fits = left.checked_sub(name.len() + value.len());
        left = fits.unwrap_or(0);
        let value = if fits.is_some() { value } else { mark(&value) };
        (name.to_owned(), value)
    };
    fields.map(told).collect()
}

/// What the allocator adds to each text, about.
const EACH: usize = 16;

fn weight<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    let of = |text: &String| text.len() + size_of::<String>() + EACH;
    texts.into_iter().map(of).sum()
}

// === impl L7Record ===

impl L7Record {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let own = match &self.application {
            Application::Http(http) => {
                let fields = http.headers.iter().flat_map(|(name, value)| [name, value]);
                weight(
                    [&http.method, &http.path, &http.host]
                        .into_iter()
                        .chain(fields),
                )
            }
            Application::Dns(dns) => {
                let lists = [&dns.query_types, &dns.aliases, &dns.answer_types];
                let texts = lists.into_iter().flatten().chain([&dns.name]);
                size_of::<DnsRecord>() + weight(texts) + size_of_val(dns.addresses.as_slice())
            }
            Application::Tls { name } => weight([name]),
            Application::Other { .. } => 0,
        };
        let said = self
            .policies
            .iter()
            .chain([&self.reason])
            .chain(&self.nearest);
        size_of::<Self>() + own + weight(said)
    }

    /// The record of what was allowed, but of which nothing came.
    pub fn failed(self, fault: &dyn std::error::Error) -> Self {
        Self {
            verdict: Disposition::Error,
            reason: fault.to_string(),
            ..self
        }
    }

    /// With the status code that the client got, if any: of HTTP, or of the proxy's own answer to
    /// what was taken for HTTP.
    pub fn answered(mut self, code: Option<u16>) -> Self {
        match &mut self.application {
            Application::Http(HttpRecord { status, .. }) | Application::Other { status } => {
                *status = code;
            }
            Application::Dns(_) | Application::Tls { .. } => {}
        }
        self
    }

    /// With the status that a call of gRPC ended with, if any.
    pub fn called(mut self, code: Option<u16>) -> Self {
        if let Application::Http(http) = &mut self.application {
            http.grpc_status = code;
        }
        self
    }

    /// The status code that the client got, if any.
    pub fn status(&self) -> Option<u16> {
        match &self.application {
            Application::Http(HttpRecord { status, .. }) | Application::Other { status } => *status,
            Application::Dns(_) | Application::Tls { .. } => None,
        }
    }

    /// When the record was made.
    pub fn time(&self) -> SystemTime {
        let since = Duration::from_micros(self.time_us);
        UNIX_EPOCH
            .checked_add(since)
            .unwrap_or_else(SystemTime::now)
    }

    /// From the end of the request's head to the end of the response, in nanoseconds.
    pub fn latency_ns(&self) -> u64 {
        self.latency_us.saturating_mul(1000)
    }
}

// === impl DnsRecord ===

impl DnsRecord {
    /// Takes what a name leads to, and the types of the answer's records; one answer may have thousands
    /// of both. Gives what is left out, for the record's sentence.
    pub fn lead_to(
        &mut self,
        mut addresses: Vec<IpAddr>,
        mut types: Vec<String>,
    ) -> Option<String> {
        let all = (addresses.len(), types.len());
        addresses.truncate(ADDRESSES);
        types.truncate(TYPES);
        (self.addresses, self.answer_types) = (addresses, types);
        let more = all.0 > ADDRESSES || all.1 > TYPES;
        more.then(|| {
            format!(
                "of the answer's {} addresses and {} types of records not all are told",
                all.0, all.1
            )
        })
    }
}

// === impl Application ===

impl Application {
    /// The protocol's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Tls { .. } => "tls",
            Self::Other { .. } => "unknown",
        }
    }
}

// === impl HttpVersion ===

impl HttpVersion {
    /// HTTP/1 with this minor version.
    pub fn minor(minor: u8) -> Self {
        match minor {
            0 => Self::Http10,
            _ => Self::Http11,
        }
    }

    /// As it stands in a request line, or as observers call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

// === impl Disposition ===

impl Disposition {
    /// What a verdict comes to.
    pub fn of(allowed: bool, audit: bool) -> Self {
        match (allowed, audit) {
            (true, false) => Self::Allowed,
            (true, true) => Self::Audited,
            (false, _) => Self::Denied,
        }
    }
}

/// What the agent wants to be told of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Anything at all.
    pub requests: bool,
    /// Names of the header fields whose values are told, in lower case; no others leave the proxy.
    pub headers: Vec<String>,
}

impl Default for Recorded {
    /// Requests, without header fields: as long as no agent has said otherwise.
    fn default() -> Self {
        Self {
            requests: true,
            headers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_told_apart() {
        assert_eq!(cut("/a"), "/a");
        let [one, other] = ["x", "y"].map(|end| cut(&format!("/{}{end}", "é".repeat(2000))));
        assert!(one.starts_with("/éé") && one.len() < 1100, "{one}");
        assert!(one.contains("… (4002 bytes, "), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_record_stays_small_whatever_client_and_server_send() {
        let value = "é".repeat(1000);
        let fields = (0..100).map(|_| ("x-id", Cow::Borrowed(value.as_str())));
        let fields = cut_fields(fields);
        assert_eq!(fields.len(), 100);
        let told: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        assert!(told[0].starts_with("éé") && told[0].contains("… (2000 bytes, "));
        assert!(
            told[99].starts_with("… (") && told[99].len() < 40,
            "{}",
            told[99]
        );
        let mut dns = DnsRecord::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(dns.lead_to(vec![address; 64], vec!["A".into()]), None);
        let types = (0..4000).map(|number| format!("TYPE{number}"));
        let left_out = dns.lead_to(vec![address; 4000], types.collect());
        let said = left_out.expect("not all are told");
        assert!(said.contains("4000 addresses and 4000 types"), "{said}");
        assert_eq!((dns.addresses.len(), dns.answer_types.len()), (64, 16));
        let record = |application| L7Record {
            time_us: 0,
            endpoint: None,
            direction: Direction::Ingress,
            client: ([192, 0, 2, 1], 1).into(),
            server: ([192, 0, 2, 2], 2).into(),
            application,
            verdict: Disposition::Denied,
            policies: Vec::new(),
            reason: String::new(),
            nearest: None,
            latency_us: 0,
        };
        let http = |headers| {
            Application::Http(HttpRecord {
                method: "GET".into(),
                path: cut(&"/a".repeat(30_000)),
                host: "a".repeat(253),
                version: HttpVersion::Http11,
                headers,
                status: None,
                grpc_status: None,
            })
        };
        let (large, small) = (record(http(fields)), record(http(Vec::new())));
        assert!(
            (10_000..20_000).contains(&large.weight()),
            "{}",
            large.weight()
        );
        assert!(small.weight() < 2048, "{}", small.weight());
        assert!(record(Application::Dns(Box::new(dns))).weight() < 4096);
    }
}
