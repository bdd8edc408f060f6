//! Where the objects come from: files in a folder today, a cluster's API later.
//!
//! ```text
//!  files ──yaml──▶ Document ──objects──▶ Object ──▶ Index ──▶ World + placements
//!    ▲ watch        (value, place)       (or Problem)   (one for each source)
//! ```
//!
//! [`objects`] turns one JSON value into one object and knows nothing of files; [`index`] holds
//! objects by key and builds the [`World`](weir_policy::model::World); [`folder`] keeps the last
//! good version of what breaks. Nothing that cannot be read ever opens anything: see
//! [`folder::FolderSource::read`].
#![forbid(unsafe_code)]

pub mod folder;
pub mod index;
pub mod objects;
pub mod yaml;

pub use folder::{Changes, FolderSource, Reading, SourceProblem};
pub use index::{Index, Options};
pub use objects::{Converted, Kind, Object, ObjectKey, PodPlacement, convert};
pub use yaml::Document;
