//! The link between agent and proxy: a Unix stream socket that the agent listens on.
//!
//! ```text
//!  proxy ── Hello + listener sockets ──▶ agent
//!  proxy ◀────────── Snapshot ────────── agent
//!  proxy ── Ack, once every worker uses it ──▶ agent (which then steers connections to it)
//!  proxy ── Flow, Counters, Draining ──▶ agent
//! ```
//!
//! A process that says Hello has shown by its listeners that it is a proxy of this instance, before it
//! is told anything ([`trust`]).
//!
//! Each message is one frame: a little-endian `u32` length and that many bytes, JSON but for flow
//! records ([`frame`]). The listener sockets travel as SCM_RIGHTS with the first byte of Hello. The link may break and come
//! back at any time: the proxy keeps serving with the last snapshot and says Hello again.

//!
//! The proxy's own end, which is bound up with its workers, is in the proxy.

pub mod agent;
pub mod counters;
pub mod frame;
pub mod message;
mod netns;
pub mod record;
pub mod refusal;
pub mod trust;

pub use agent::{AgentEnd, Event, EventKind, ProxyId, Records};
pub use counters::{Counters, CountersSnapshot};
pub use message::{Hello, Learned, ListenerInfo, PROTOCOL};
pub use record::{
    Application, Disposition, DnsRecord, HttpRecord, HttpVersion, L7Record, Recorded, cut,
    cut_fields, is_cut,
};
pub use refusal::Refusal;
pub use trust::{Trusted, USER};
