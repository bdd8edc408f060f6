//! Connections that the kernel judges, taken over in mid-stream.
//!
//! ```text
//!  ring TAKEN ──▶ pending ──settled──▶ FROZEN ──▶ two sockets by TCP_REPAIR ──▶ PROXIED ──▶ a proxy
//! ```
//!
//! A client sent what the kernel does not let pass: it is held, and told here. This process waits
//! until nothing of the connection is under way, makes in the proxy's network namespace the sockets
//! that both ends take for each other, with what the client sent as if it had just arrived, and
//! gives them to a proxy (`SCM_RIGHTS`). It reads no byte of it, and has no privilege outside that
//! namespace. While it is away nothing is taken over and nothing forbidden passes.
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

mod kernel;
mod pending;
mod proxies;
mod repair;
mod run;

pub use run::{TakeoverError, run};
