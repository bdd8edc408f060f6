//! Pods played by network namespaces.
