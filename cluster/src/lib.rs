//! Where the objects come from: files in a folder, or a cluster's API.
//!
//! ```text
//!  files ──yaml──▶ Document ─┐
//!    ▲ watch   (value, place) ├─objects──▶ Object ──▶ Index ──▶ World + placements
//!  API server ──kubernetes──▶ ┘         (or Problem)   (one for each source)
//!    ▲ list, watch   (value)
//! ```
//!
//! [`objects`] turns one JSON value into one object and knows neither files nor servers; [`index`]
//! holds objects by key and builds the [`World`](weir_policy::model::World); [`folder`] and
//! [`kubernetes`] keep the last good version of what breaks. Nothing that cannot be read ever
//! opens anything: see [`folder::FolderSource::read`] and [`kubernetes::ClusterSource::read`].
#![forbid(unsafe_code)]

pub mod folder;
pub mod index;
pub mod kubernetes;
pub mod objects;
pub mod reading;
#[cfg(feature = "testing")]
pub mod testing;
pub mod yaml;

pub use folder::{Changes, FolderSource};
pub use index::{Index, Options};
pub use objects::{Converted, Kind, Object, ObjectKey, PodPlacement, convert};
pub use reading::{Reading, SourceProblem, Unread};
pub use yaml::Document;
