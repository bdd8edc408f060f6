//! Weir from end to end: the real binary, kernel programs, proxy and packets, on network namespaces.
//!
//! Each test makes labs of its own and takes them down, so all of them run beside each other.
//! They need root, and say so: none of them passes because it could not run.

#[allow(dead_code, reason = "other suites use the rest of the helpers")]
#[path = "../common/mod.rs"]
mod common;
mod policies;

mod address;
mod agreement;
mod bad_input;
mod bodies;
mod carried;
mod collected;
mod exhausted;
mod faults;
mod grpc;
mod host;
mod kernel;
mod language;
mod leaves_nothing;
mod live;
mod misuse;
mod names;
mod node_addresses;
mod observe;
mod orphans;
mod owners;
mod pins;
mod protocols;
mod refused;
mod relay;
mod s4;
mod seen;
mod simulate;
mod status;
mod tunnels;
