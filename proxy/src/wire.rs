//! Sockets, whatever is spoken on them: what was read and not used yet, and how connections end.

pub mod buffer;
pub mod finish;
pub mod peer;
pub mod splice;
