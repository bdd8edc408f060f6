//! The kernel programs against the engine: crafted packets through BPF_PROG_TEST_RUN.
//!
//! Needs root, BPF and bpffs; fails where they are missing.

#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/changes.rs"]
mod changes;
#[path = "kernel/directed.rs"]
mod directed;
#[path = "kernel/packet.rs"]
mod packet;
#[path = "kernel/random.rs"]
mod random;
#[path = "kernel/services.rs"]
mod services;
#[path = "kernel/small.rs"]
mod small;
