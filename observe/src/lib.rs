//! What Weir has seen: records, the observer's API, the flow log and metrics.
//!
//! ```text
//!  kernel events ─┐                       ┌─▶ Ring ─▶ gRPC followers, `weir observe`
//!                 ├─▶ Intake ─▶ Recorder ─┼─▶ FlowLog
//!  proxy records ─┘   (bounded) (a thread)└─▶ Metrics ─▶ /metrics
//! ```
//!
//! A [`relay`] asks the observers of all nodes and answers as one. [`otlp`] and
//! [`export`] follow the ring and send what they read to a collector, or write it to a file.
//!
//! Nothing here can slow traffic down: the intake takes what fits and counts what does not, and
//! whoever reads the ring too slowly is told how much it has missed. A record is a
//! [`Flow`](api::flow::Flow) of Hubble's public API, so that Hubble's own client understands it;
//! what that API cannot say is in its field [`weir`](api::flow::Flow::weir).
#![forbid(unsafe_code)]

pub mod api;
mod askers;
pub mod calm;
pub mod export;
pub mod filter;
pub mod flags;
pub mod json;
pub mod log;
mod mask;
pub mod metrics;
pub mod names;
pub mod otlp;
pub mod print;
pub mod record;
pub mod recorded;
pub mod recorder;
pub mod redact;
pub mod relay;
pub mod ring;
pub mod serve;
pub mod service;
#[cfg(test)]
mod testing;
pub mod times;
pub mod trace;
pub mod why;

pub use recorder::{Intake, Recorder};
