//! The commands that need no cluster and no privileges, as a shell runs them.

mod bounded;
mod common;
mod deploy;
mod diff;
mod explain;
mod gates;
mod instance;
mod lint;
mod logging;
mod manifests;
mod manual;
mod observe;
mod plugin;
mod suggest;
mod ui;
mod unit;
mod webhook;
