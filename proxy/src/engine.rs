//! The HTTP/1.x engine: one task serves one client connection and its one upstream connection.
//!
//! ```text
//!  accept ─▶ identify ─▶ ┌ next head ─▶ parse ─▶ judge ─┬─ allowed ─▶ exchange ─┬─▶ next head
//!                        └────────▲────────────────────┴─ denied ──▶ 403 ──────┤
//!                                 └─────────────────────────────────────────────┴─▶ finish
//! ```
//!
//! Requests are served one after another: a pipelined request waits in the buffer until the
//! response before it is complete, so answers stay in order. Within one exchange the request body
//! and the response move at the same time. The bytes of both go on unchanged.
//!
//! Fail closed: nothing of a request is forwarded before its head was parsed, the part of its body
//! at hand was checked and the verdict was "allowed"; every error ends the connection.

mod answer;
mod connection;
mod exchange;
mod sniff;

#[cfg(test)]
pub(crate) mod tests;

pub use answer::Answer;
pub use connection::{serve, serve_taken};
