//! What the kernel tests and the benchmark drive by themselves: the programs without interfaces.

pub use crate::{
    events::told,
    lower::lower,
    maps::{Maps, take_events},
    programs::Programs,
    sync::{Installed, SyncError},
    tables::Tables,
};
