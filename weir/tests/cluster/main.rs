//! A node of a cluster, played on this machine: the agent against an API server, pods made by the
//! real CNI plugins of Debian's containernetworking-plugins, the real kernel programs and proxy.
//!
//! Needs root, BPF, network namespaces, curl and those plugins; fails where they are missing.

mod chained;
mod node;
mod objects;
mod operate;
mod remote;
mod running;
mod runtime;
