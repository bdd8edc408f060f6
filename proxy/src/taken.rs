//! Connections that were judged in the kernel, handed over in mid-stream: see
//! [`weir_link::takeover`].

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{io::unix::AsyncFd, net::TcpStream, sync::Semaphore, time};
use weir_link::takeover::{self, Handed};

use crate::{context::Context, datapath, engine, sys};

/// Between two looks whether somebody takes connections over.
const AGAIN: Duration = Duration::from_millis(200);

/// A connection with both its sockets.
#[derive(Debug)]
pub struct Taken {
    /// Towards the client.
    pub client: TcpStream,
    /// Towards the server.
    pub server: TcpStream,
    /// What is known of it.
    pub handed: Handed,
}

/// Serves what is handed over, in the network namespace of this thread, until the proxy is told to
/// stop.
pub async fn serve(context: Arc<Context>, slots: Arc<Semaphore>) {
    let mut draining = context.draining.clone();
    let forever = async {
        // What is handed over before there is a policy could only be reset.
        let mut policies = context.policy.follow();
        if policies.wait_for(Option::is_some).await.is_err() {
            return;
        }
        loop {
            if let Ok(link) = takeover::connect_here().and_then(sys::awaitable) {
                let error = take(&context, &slots, &link).await;
                tracing::debug!(%error, "nobody takes connections over");
            }
            time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = forever => {}
        _ = draining.wait_for(|draining| *draining) => {}
    }
}

/// Serves what comes over one link; returns how that ended.
async fn take(
    context: &Arc<Context>,
    slots: &Arc<Semaphore>,
    link: &AsyncFd<OwnedFd>,
) -> io::Error {
    loop {
        let mut guard = match link.readable().await {
            Ok(guard) => guard,
            Err(error) => return error,
        };
        let taken = match guard.try_io(|link| receive(link.get_ref())) {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => return error,
            Err(_would_block) => continue,
        };
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            return io::ErrorKind::BrokenPipe.into();
        };
        let context = Arc::clone(context);
        tokio::spawn(async move {
            engine::serve_taken(context, taken).await;
            drop(slot);
        });
    }
}

/// The next connection.
fn receive(link: &OwnedFd) -> io::Result<Taken> {
    let mut bytes = [0u8; Handed::BYTES];
    let (length, sockets) = sys::receive_sockets(link, &mut bytes)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let pair: Result<[OwnedFd; 2], _> = sockets.try_into();
    let (Ok([client, server]), Handed::BYTES) = (pair, length) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let stream = |socket: OwnedFd| {
        let socket = std::net::TcpStream::from(socket);
        datapath::tune(socket2::SockRef::from(&socket))?;
        TcpStream::from_std(socket)
    };
    Ok(Taken {
        client: stream(client)?,
        server: stream(server)?,
        handed: Handed::from_bytes(bytes),
    })
}
