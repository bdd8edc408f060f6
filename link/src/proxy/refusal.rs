//! Why a request is refused, whatever rules say.

use thiserror::Error;
use weir_policy::http::Doubt;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $reason:literal, $status:literal;)*) => {
        /// A request that the proxy does not forward because its meaning is not certain.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($reason)] $name,)*
        }

        impl Refusal {
            /// Every refusal, in the order of its counter.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name),*];

            /// A short, stable text: metric label and flow reason.
            pub const fn reason(self) -> &'static str {
                match self { $(Refusal::$name => $reason,)* }
            }

            /// The status code that answers it.
            pub const fn status(self) -> u16 {
                match self { $(Refusal::$name => $status,)* }
            }
        }
    };
}

refusals! {
    /// A line feed without a carriage return (RFC 9112 section 2.2 lets recipients differ).
    BareLineFeed => "bare line feed", 400;
    /// More than one empty line before the request line (RFC 9112 section 2.2 asks for one to be
    /// skipped).
    EmptyLine => "empty lines before the request", 400;
    /// The connection ended inside a head.
    Truncated => "head cut short", 400;
    /// Not a request line.
    RequestLine => "bad request line", 400;
    /// The method is not a token.
    Method => "bad method", 400;
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version => "bad version", 400;
    /// White space before the colon, a fold, or a byte that no field name may have.
    FieldName => "bad field name", 400;
    /// A control byte or a bare carriage return in a field value.
    FieldValue => "bad field value", 400;
    /// More fields than the proxy looks at.
    TooManyFields => "too many fields", 431;
    /// The head is larger than 64 KiB.
    HeadTooLarge => "head too large", 431;
    /// The head did not arrive in time.
    HeadTimeout => "head too slow", 408;
    /// A request target of no form that RFC 9112 section 3.2 knows.
    Target => "bad request target", 400;
    /// A path longer than the proxy takes (`--max-path`).
    PathTooLong => "path too long", 414;
    /// A fragment in the target: clients must not send one.
    Fragment => "fragment in target", 400;
    /// Bytes above 0x7f in the target.
    NonAscii => "non-ascii target", 400;
    /// A percent sign without two hex digits, or an encoded NUL, in the path.
    Escape => "bad escape in path", 400;
    /// No Host field: never on HTTP/1.1, on HTTP/1.0 where a rule asks for a host.
    NoHost => "no host", 400;
    /// More than one Host field.
    ManyHosts => "many hosts", 400;
    /// A Host or authority that is empty, has user information, or is not a host.
    Host => "bad host", 400;
    /// The target's authority is not the Host field's, the default port set aside.
    HostDisagrees => "host disagrees with target", 400;
    /// Content-Length together with Transfer-Encoding.
    LengthAndChunked => "length and chunked", 400;
    /// Content-Length repeated, or not a plain number.
    ContentLength => "bad content-length", 400;
    /// Transfer-Encoding other than exactly one `chunked`, or any on HTTP/1.0.
    TransferEncoding => "bad transfer-encoding", 400;
    /// A name that some servers read as a framing field (`Content_Length`).
    Lookalike => "field name like a framing field", 400;
    /// A tab beside the value of a field that frames or routes the request: not every server takes
    /// it for white space.
    Tab => "tab in a framing field", 400;
    /// A connection that was judged in the kernel was handed to the proxy where the last reply may still
    /// be under way: no answer of the proxy's may stand in it. It is reset.
    BetweenReplies => "taken over between replies", 400;
    /// Connection names a field that frames or routes the request.
    ConnectionOption => "connection names a framing field", 400;
    /// CONNECT with a body.
    ConnectBody => "connect with a body", 400;
    /// A body on a method that gives it no meaning, which no policy allows.
    MethodBody => "body on a method without one", 400;
    /// Connection names a header that a rule of the flow names.
    RuleOption => "connection names a header of a rule", 400;
    /// A name that some servers read as a header that a rule of the flow names.
    RuleLookalike => "field name like a header of a rule", 400;
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation => "unknown expectation", 417;
    /// The server neither answered nor asked for the body that it is to ask for. A client tries
    /// again without the expectation (RFC 9110 section 15.5.18).
    NoContinue => "no 100 from the server", 417;
    /// A chunk size that is not plain hex, or too large.
    ChunkSize => "bad chunk size", 400;
    /// A chunk extension that is malformed or too long.
    ChunkExtension => "bad chunk extension", 400;
    /// Chunk data not followed by CR LF.
    ChunkEnd => "bad chunk end", 400;
    /// Trailers that are malformed, too large, or that frame or route the message.
    Trailer => "bad trailer", 400;
    /// A trailer of a name that a rule of the flow looks at in the head.
    RuleTrailer => "trailer of a rule's name", 400;
    /// HTTP/2 frames that RFC 9113 forbids: the connection ends.
    Frames => "bad HTTP/2 frames", 400;
    /// A head that RFC 9113 section 8.2 and 8.3 calls malformed: bad names or values, a field of
    /// HTTP/1 connections, pseudo-header fields that are missing, doubled or unknown.
    Malformed => "malformed HTTP/2 request", 400;
    /// More streams at once than the proxy lets one HTTP/2 connection open.
    TooManyStreams => "too many HTTP/2 streams", 429;
    /// More HTTP/2 frames that ask for nothing (PING, SETTINGS, PRIORITY, empty DATA) than go with
    /// what was asked, or more refused requests than one connection may send.
    Flood => "flood of HTTP/2 frames", 429;
    /// An HTTP/2 client that opens and resets streams without end (CVE-2023-44487).
    ResetFlood => "flood of HTTP/2 resets", 429;
    /// An HTTP/2 stream whose reader gave no window for what waited for it.
    Stalled => "HTTP/2 stream stalled", 408;
}

impl From<Doubt> for Refusal {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Body => Self::MethodBody,
            Doubt::NoHost => Self::NoHost,
            Doubt::ConnectionOption => Self::RuleOption,
            Doubt::Lookalike => Self::RuleLookalike,
        }
    }
}

impl Refusal {
    /// Its place in [`Refusal::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_place_in_the_list() {
        for (place, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(refusal.index(), place);
        }
    }
}
