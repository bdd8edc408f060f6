//! The kernel side, driven: loads, pins and attaches the programs, makes the private networks of
//! the proxy, and turns a compiled snapshot into map entries without a moment in which a packet
//! meets a half-written policy.
//!
//! Everything lives below one pin folder and two named network namespaces, so that a restarted
//! agent adopts what is there and [`pins::Pins::remove`] leaves nothing.

pub mod check;
mod counters;
mod events;
mod fill;
mod guard;
mod host;
mod kernel;
pub mod lower;
pub mod maps;
pub mod network;
pub mod pins;
pub mod place;
pub mod programs;
pub mod redirector;
pub mod shares;
pub mod sizes;
pub mod sync;

pub use counters::Counters;
pub use events::Events;
pub use fill::Fill;
pub use pins::Pins;
pub use place::{Places, PodInterface, Unmanaged};
pub use redirector::{Redirector, RedirectorError};
pub use sizes::{MapSize, MapSizes};
