//! How connections end: the two ends see of each other what they would see without the proxy.

use std::time::Duration;

use super::peer::{End, Peer};

/// How a served connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Pass on FINs until both ends have closed; what still comes is dropped.
    Mirror,
    /// Close towards both ends now, and give the client time to read what it was sent.
    Linger,
    /// Reset both.
    Reset,
}

/// How long a connection may take to close once nothing more is forwarded.
const CLOSING: Duration = Duration::from_secs(10);

/// Ends a connection.
pub async fn finish(how: Finish, mut client: Peer, mut server: Option<Peer>) {
    let graceful = match how {
        Finish::Reset => false,
        Finish::Mirror => {
            let mirrored = mirror(&mut client, server.as_mut());
            // Too slow is a close as well, just not a mirrored one.
            tokio::time::timeout(CLOSING, mirrored)
                .await
                .unwrap_or(true)
        }
        Finish::Linger => {
            client.writer().end();
            // Dropped, not mirrored: whatever it still sends is not the client's any more.
            server = None;
            let mut reader = client.reader();
            let drained = async {
                while reader.end().is_none() {
                    reader.discard();
                    reader.fill().await;
                }
            };
            if tokio::time::timeout(CLOSING, drained).await.is_err() {
                tracing::trace!("client did not close in time");
            }
            true
        }
    };
    if !graceful {
        client.reset();
        if let Some(server) = server {
            server.reset();
        }
    }
}

/// Passes on FINs until both ends have sent theirs. `false` if one was reset.
async fn mirror(client: &mut Peer, server: Option<&mut Peer>) -> bool {
    let (mut from_client, mut to_client) = client.split();
    let Some(server) = server else {
        to_client.end();
        while from_client.end().is_none() {
            from_client.discard();
            from_client.fill().await;
        }
        return from_client.end() == Some(End::Eof);
    };
    let (mut from_server, mut to_server) = server.split();
    loop {
        from_client.discard();
        from_server.discard();
        match (from_client.end(), from_server.end()) {
            (Some(End::Reset), _) | (_, Some(End::Reset)) => return false,
            (Some(End::Eof), Some(End::Eof)) => {
                to_server.end();
                to_client.end();
                return true;
            }
            (Some(End::Eof), None) => to_server.end(),
            (None, Some(End::Eof)) => to_client.end(),
            (None, None) => {}
        }
        tokio::select! {
            () = from_client.fill() => {}
            () = from_server.fill() => {}
        }
    }
}
