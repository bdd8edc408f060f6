//! DNS, judged query by query: allowed ones go to the server that the client asked, the others are
//! answered with REFUSED. What names resolve to is told to the agent, and the answer goes back
//! when the kernel enforces it: a client can never be faster than its own policy.

pub mod learn;
pub mod message;
mod query;
pub mod tcp;
pub mod udp;
