//! The per-node HTTP proxy: one verdict per request, the client's bytes forwarded unchanged.
//!
//! ```text
//!  agent ──snapshot──▶ link ──▶ PolicyCell of each worker
//!    ▲                  ▲              │
//!    └─ flows, counters ┘              ▼
//!  client ──▶ listener ──▶ engine: head ─▶ permit ─▶ exchange ─▶ tunnel ──▶ server
//! ```
//!
//! This crate owns what happens to a connection that the kernel programs redirect: it parses
//! strictly ([`http1`], [`http2`]), asks policy once for a request ([`judge`]), and forwards or answers
//! ([`engine`]). Nothing connects to a server without the proof of a verdict ([`permit`]). It refuses
//! whatever two parsers could read differently, and it never fails open: without a policy, with an
//! unknown flow or after any error nothing is forwarded.
//!
//! A request is looked up by its flow: the endpoint comes from the socket's mark, the direction
//! from the private network namespace, the server from the socket's local address ([`datapath`]).
//!
//! Cancel safety: a connection is one task that is never cancelled while it serves; inside it
//! only waits for bytes are raced, and they take bytes only in the step that returns.
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo
    )
)]

pub mod context;
pub mod datapath;
pub mod dns;
pub mod engine;
pub mod flow;
pub mod http1;
pub mod http2;
pub mod judge;
pub mod link;
pub mod permit;
pub mod privileges;
pub mod process;
mod sys;
mod taken;
pub mod tls;
mod tunnel;
mod wire;
pub mod worker;
