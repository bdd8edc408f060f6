//! Why a request is refused before any rule is asked.

use thiserror::Error;

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
    /// Empty lines before the request line.
    EmptyLine => "empty line before the request", 400;
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
    /// A fragment in the target: clients must not send one.
    Fragment => "fragment in target", 400;
    /// Bytes above 0x7f in the target.
    NonAscii => "non-ascii target", 400;
    /// A percent sign without two hex digits, or an encoded NUL, in the path.
    Escape => "bad escape in path", 400;
    /// No Host field.
    NoHost => "no host", 400;
    /// More than one Host field.
    ManyHosts => "many hosts", 400;
    /// A Host or authority that is empty, has user information, or is not a host.
    Host => "bad host", 400;
    /// The target's authority is not the Host field's.
    HostDisagrees => "host disagrees with target", 400;
    /// Content-Length together with Transfer-Encoding.
    LengthAndChunked => "length and chunked", 400;
    /// Content-Length repeated, or not a plain number.
    ContentLength => "bad content-length", 400;
    /// Transfer-Encoding other than exactly one `chunked`, or any on HTTP/1.0.
    TransferEncoding => "bad transfer-encoding", 400;
    /// A name that some servers read as a framing field (`Content_Length`).
    Lookalike => "field name like a framing field", 400;
    /// Connection names a field that frames or routes the request.
    ConnectionOption => "connection names a framing field", 400;
    /// CONNECT with a body.
    ConnectBody => "connect with a body", 400;
    /// A chunk size that is not plain hex, or too large.
    ChunkSize => "bad chunk size", 400;
    /// A chunk extension that is malformed or too long.
    ChunkExtension => "bad chunk extension", 400;
    /// Chunk data not followed by CR LF.
    ChunkEnd => "bad chunk end", 400;
    /// Trailers that are malformed, too large, or that frame or route the message.
    Trailer => "bad trailer", 400;
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
