//! The kernel side, driven: loads, pins and attaches the programs, makes the private networks of
//! the proxy, and turns a compiled snapshot into map entries without a moment in which a packet
//! meets a half-written policy.
//!
//! Everything lives below one pin folder and two named network namespaces, so that a restarted
//! agent adopts what is there and [`Pins::remove`] leaves nothing.

pub mod check;
mod counters;
mod events;
mod fill;
mod guard;
mod host;
mod kernel;
mod lower;
mod maps;
pub mod network;
mod pins;
mod place;
mod programs;
mod redirector;
mod requests;
mod shares;
mod sizes;
mod sweep;
mod sync;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;

pub use counters::Counters;
pub use events::{Events, Told};
pub use fill::Fill;
pub use lower::Placement;
pub use maps::address;
pub use pins::Pins;
pub use place::{Places, PodInterface, Unmanaged};
pub use redirector::{Options, Redirector, RedirectorError};
pub use requests::{Judged, Requests};
pub use shares::{Tally, Tracked};
pub use sizes::{MapSize, MapSizes};
pub use sweep::{SweepError, Sweeper};
