//! What runs on a node: objects are read, compiled and put in force in the kernel and the proxies,
//! and what came of it is told.
//!
//! ```text
//!  source ─▶ Agent ─▶ change ─▶ proxies, kernel
//!              │
//!              └─▶ answers, metrics, observer, conditions and events
//! ```
//!
//! One task owns everything ([`Agent::run`]); requests, changes of objects and reports of proxies
//! come to it one after the other. [`change`] has the order of a change.
#![forbid(unsafe_code)]
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

mod addresses;
mod agent;
mod alone;
mod answers;
mod change;
mod check;
pub mod cni;
mod control;
mod flows;
mod health;
mod metrics;
mod names;
pub mod observe;
mod pods;
mod proxies;
mod report;
mod source;
mod stored;
mod tracking;
mod waiting;

pub use agent::{Agent, Options};
pub use alone::{Alone, alone};
pub use observe::ObserveOptions;
pub use report::ReportOptions;
pub use source::Origin;
