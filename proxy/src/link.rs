//! The link between agent and proxy: a Unix stream socket that the agent listens on.
//!
//! ```text
//!  proxy ── Hello + listener sockets ──▶ agent
//!  proxy ◀────────── Snapshot ────────── agent
//!  proxy ── Ack, once every worker uses it ──▶ agent (which then steers connections to it)
//!  proxy ── Flow, Counters, Draining ──▶ agent
//! ```
//!
//! Each message is one frame: a little-endian `u32` length and that many bytes of JSON. The
//! listener sockets travel as SCM_RIGHTS with the first byte of Hello. The link may break and come
//! back at any time: the proxy keeps serving with the last snapshot and says Hello again.

pub mod agent;
pub mod frame;
pub mod protocol;
pub mod proxy;

#[cfg(test)]
mod tests;
