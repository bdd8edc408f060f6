//! The kernel programs against the engine: crafted packets through BPF_PROG_TEST_RUN.
//!
//! Needs root, BPF and bpffs; fails where they are missing.

#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/changes.rs"]
mod changes;
#[path = "kernel/directed.rs"]
mod directed;
#[path = "kernel/disguise.rs"]
mod disguise;
#[path = "kernel/ended.rs"]
mod ended;
#[path = "kernel/errors.rs"]
mod errors;
#[path = "kernel/fragments.rs"]
mod fragments;
#[path = "kernel/frames.rs"]
mod frames;
#[path = "kernel/host.rs"]
mod host;
#[path = "kernel/middle.rs"]
mod middle;
#[path = "kernel/neighbours.rs"]
mod neighbours;
#[path = "kernel/node.rs"]
mod node;
#[path = "kernel/order.rs"]
mod order;
#[path = "kernel/ownership.rs"]
mod ownership;
#[path = "kernel/packet.rs"]
mod packet;
#[path = "kernel/random.rs"]
mod random;
#[path = "kernel/refusals.rs"]
mod refusals;
#[path = "kernel/requests/mod.rs"]
mod requests;
#[path = "kernel/services.rs"]
mod services;
#[path = "kernel/shares.rs"]
mod shares;
#[path = "kernel/small.rs"]
mod small;
#[path = "kernel/told.rs"]
mod told;
