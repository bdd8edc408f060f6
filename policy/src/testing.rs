//! Random worlds, random flows, and the naive evaluator that the compiled engine and the kernel
//! programs are compared with. Only for tests.

pub mod generate;
pub mod naive;
pub mod sample;

use std::net::IpAddr;

use crate::model::{Direction, Protocol};

/// The node that a snapshot is for, in place of a pod.
pub const HOST: usize = usize::MAX;

/// A flow as one endpoint sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideFlow {
    /// The endpoint, by its place in [`crate::model::World::pods`], or [`HOST`].
    pub pod: usize,
    /// Its view.
    pub direction: Direction,
    /// The other end.
    pub peer: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The judged port.
    pub port: u16,
}
