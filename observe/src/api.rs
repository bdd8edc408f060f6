//! The observer's API as Rust types: Hubble's public names and field numbers.
#![allow(
    missing_docs,
    reason = "made of the API's text, whose comments say what is what"
)]
#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

pub mod flow {
    tonic::include_proto!("flow");
}
pub mod observer {
    tonic::include_proto!("observer");
}
pub mod peer {
    tonic::include_proto!("peer");
}
pub mod relay {
    tonic::include_proto!("relay");
}
pub mod weir {
    tonic::include_proto!("weir");
}

/// Everything above as descriptors.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.bin"));
