//! The kernel programs against the engine: crafted packets through BPF_PROG_TEST_RUN.
//!
//! Needs root, BPF and bpffs; fails where they are missing.

#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/directed.rs"]
mod directed;
#[path = "kernel/packet.rs"]
mod packet;
#[path = "kernel/random.rs"]
mod random;
