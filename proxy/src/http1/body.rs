//! Counting a body's bytes as they pass.

use super::{Refusal, chunked::ChunkDecoder};

/// What is left of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// This many bytes.
    Length(u64),
    /// Chunks up to the last one and its trailers.
    Chunked(ChunkDecoder),
    /// Everything until the connection ends (responses only).
    UntilClose,
}

impl Body {
    /// No body at all.
    pub const EMPTY: Body = Body::Length(0);

    /// Whether nothing is left. A body that ends with its connection never says so itself.
    pub fn is_done(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(decoder) => decoder.is_done(),
            Body::UntilClose => false,
        }
    }

    /// Takes as much of `input` as belongs to the body and returns its length.
    ///
    /// # Errors
    /// A malformed chunk, see [`ChunkDecoder::scan`].
    pub fn take(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        match self {
            Body::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= here as u64;
                Ok(here)
            }
            Body::Chunked(decoder) => decoder.scan(input),
            Body::UntilClose => Ok(input.len()),
        }
    }
}
