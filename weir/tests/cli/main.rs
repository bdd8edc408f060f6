//! The commands that need no cluster and no privileges, as a shell runs them.

mod common;
mod deploy;
mod diff;
mod explain;
mod lint;
mod logging;
mod observe;
mod suggest;
mod unit;
mod webhook;
