//! The link between the agent and its tools (`weir status`, `weir explain`, `weir-cni`, `weir lab`): a
//! Unix stream socket on which a line of JSON asks and a line answers.
//!
//! ```text
//! {"command": "detach", "container": "3f1c…"}
//! {"ok": true}                    or    {"ok": false, "error": "the agent is stopping"}
//! ```

pub mod answer;
mod client;
mod question;
mod well;

pub use answer::{
    Counted, Endpoint, EndpointSide, Endpoints, Failed, InForce, MapFill, Policies, Policy,
    PolicyProblem, Problem, ProxyStatus, SelfCheck, Stale, Status, Synced, Unmanaged, Well,
};
pub use client::{Client, ClientError};
pub use question::{
    Alive, Asks, Attach, Attached, Attachment, Detach, Explain, Keep, ListEndpoints, ListPolicies,
    Question, StatusOf, Sync, reply,
};
pub use well::Doubt;

/// The longest question and answer, in bytes. Of the answers, endpoints and policies are the long
/// ones: a hundred bytes each.
pub const LONGEST: u64 = 64 << 20;
