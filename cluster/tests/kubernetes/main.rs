//! The cluster source against an API server that lists, watches and fails as real ones do.

mod faults;
mod kubectl;
mod objects;
mod support;
