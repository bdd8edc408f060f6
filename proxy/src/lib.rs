//! The per-node HTTP proxy.
