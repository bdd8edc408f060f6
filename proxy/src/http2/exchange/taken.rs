//! Windows: what a reader takes, and what its sender gets back for it (RFC 9113, 5.2).

use std::future::poll_fn;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::time::{Duration, timeout};

/// Why bytes were not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// There was no window for them in time.
    Stalled,
    /// The stream or its connection is gone.
    Gone(Option<h2::Error>),
}

/// Hands data to the engine, piece by piece, as its reader gives windows.
///
/// # Errors
/// See [`NotTaken`].
pub async fn send(
    to: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
    limit: Duration,
) -> Result<(), NotTaken> {
    let gone = |error| NotTaken::Gone(Some(error));
    if data.is_empty() {
        return to.send_data(data, end).map_err(gone);
    }
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let window = poll_fn(|context| to.poll_capacity(context));
        let window = timeout(limit, window).await;
        let window = window.map_err(|_| NotTaken::Stalled)?;
        let window = window.ok_or(NotTaken::Gone(None))?.map_err(gone)?;
        let piece = data.split_to(window.min(data.len()));
        to.send_data(piece, end && data.is_empty()).map_err(gone)?;
    }
    Ok(())
}

/// Gives a sender back the window of what was taken on.
///
/// # Errors
/// The stream was reset meanwhile.
pub fn release(from: &mut RecvStream, count: usize) -> Result<(), h2::Error> {
    let released = from.flow_control().release_capacity(count);
    // Of a stream that has ended, and was reset since, the engine has given it back already.
    if from.is_end_stream() {
        return Ok(());
    }
    released
}
