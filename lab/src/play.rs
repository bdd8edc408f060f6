//! What the applied objects mean for the lab: pods, services and names. Pure: no change is made here.

pub mod endpoints;
pub mod image;
pub mod ingress;
pub mod manifest;
pub mod nft;
pub mod pods;
pub mod service;
pub mod zone;
