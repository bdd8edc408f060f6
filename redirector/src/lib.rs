//! The kernel side, driven.
