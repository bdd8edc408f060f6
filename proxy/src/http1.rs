//! HTTP/1.x on the wire: strict heads, body framing and request targets.
//!
//! Everything here is pure: bytes in, facts or a [`Refusal`] out. Because the proxy forwards the
//! client's bytes unchanged, whatever two parsers could read differently is refused here, so that
//! the request that was judged is the request that the server sees.

pub mod body;
pub mod chunked;
pub mod framing;
pub mod head;
pub mod old;
pub mod request;
pub mod response;
pub mod rewrite;
pub mod target;
pub mod upgrade;

pub use weir_link::proxy::Refusal;
