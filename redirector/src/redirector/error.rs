//! What can go wrong on the kernel side.

use aya::maps::MapError;

use crate::{network::NetworkError, pins::PinsError, programs::ProgramsError, sync::SyncError};

/// What can go wrong on the kernel side.
#[derive(Debug, thiserror::Error)]
pub enum RedirectorError {
    /// Its folders.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// Its programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// Its private networks.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its maps.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A map of an earlier agent.
    #[error("cannot read what an earlier agent put in force: {0}")]
    Adopt(#[source] MapError),
    /// A map that is read or written by itself.
    #[error("map {map} cannot be {what}: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: MapError,
    },
    /// A socket that interfaces are asked about over.
    #[error("interfaces cannot be asked about: {0}")]
    Interfaces(#[source] std::io::Error),
    /// More pods than indices.
    #[error("no endpoint index is free: a node takes at most 65535 pods")]
    Indices,
}

/// The error of a map that is read or written by itself.
pub(super) fn unusable(
    map: &'static str,
    what: &'static str,
) -> impl Fn(MapError) -> RedirectorError {
    move |source| RedirectorError::Map { map, what, source }
}
