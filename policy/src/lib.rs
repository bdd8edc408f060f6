//! Kubernetes network policy as a pure function: objects in, verdict with its reason out.
//!
//! ```text
//!  objects (YAML/JSON values) ──parse──▶ model ──compile──▶ Snapshot ──┬─▶ kernel map entries (redirector)
//!                                  World ─────────┘                    ├─▶ L7Table: one verdict per request (proxy)
//!                                                                      └─▶ verdict of a flow (simulate, explain)
//! ```
//!
//! This crate owns what a policy *means*. It does no I/O, reads no clock and logs nothing; a
//! policy it cannot honour becomes a [`model::Problem`] and never an allow.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
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

pub mod automaton;
pub mod compile;
pub mod diff;
pub mod explain;
pub mod http;
pub mod l7;
pub mod lint;
pub mod model;
pub mod names;
pub mod nearest;
pub mod objects;
pub mod reason;
pub mod record;
pub mod schema;
pub mod suggest;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(test),
    expect(
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "only tests call it"
    )
)]
pub mod testing;
pub mod unit;
pub mod verdict;
