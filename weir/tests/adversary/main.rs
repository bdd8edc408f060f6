//! What a pod with CAP_NET_RAW, the world and strange servers may try, and what must come of it.
//!
//! Real frames, from packet sockets inside pods, in both topologies and both families. Each test
//! has a control: the same frames reach a pod that nothing protects, so none passes because its
//! frames were malformed. Who the attacker is and what is promised: docs/threat-model.md.

#[path = "../common/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the end-to-end tests use more of it"
)]
mod common;

mod attack;
mod frame;
mod scene;
mod wire;

mod floods;
mod fragments;
mod messages;
mod midstream;
mod node;
mod page;
mod related;
mod segment;
mod source;
mod tags;
mod tiny;
