//! What Weir's processes say to each other on a node, typed at both ends.
//!
//! ```text
//!  proxy ◀─ proxy.sock ─▶ agent ◀─ agent.sock ── weir status, weir-cni, weir lab
//!           ([`proxy`])            ([`tools`])
//! ```
//!
//! [`instance`] says where the sockets are.
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

pub mod instance;
pub mod proxy;
pub mod takeover;
pub mod tools;

pub use instance::Instance;
