//! The types and constants that the kernel programs and user space share.
//!
//! Every shared type is `#[repr(C)]`, made of fixed-width integers and byte arrays, without
//! implicit padding, and its size is asserted. Names say the byte order where it is not the host's.
#![no_std]

pub mod mark;
