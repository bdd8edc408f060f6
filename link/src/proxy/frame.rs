//! Frames on the wire, with and without sockets attached.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

use super::{message::ToAgent, record::L7Record};

/// The largest frame, in bytes.
pub const MAX_FRAME: usize = 64 << 20;
/// The largest first message, in bytes: whoever sends it has shown nothing yet.
pub const MAX_HELLO: usize = 64 << 10;
/// The most sockets that come with a frame.
pub const MAX_SOCKETS: usize = 8;

/// Why the link broke.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The socket failed, or the other end closed it.
    #[error("link socket: {0}")]
    Io(#[from] io::Error),
    /// A frame over [`MAX_FRAME`], or a first one over [`MAX_HELLO`].
    #[error("frame of {length} bytes is too large")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// A frame that is not the JSON expected.
    #[error("malformed frame: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A frame that does not hold the flow records expected.
    #[error("malformed flow records: {0}")]
    Flows(#[from] postcard::Error),
    /// The other end speaks another version, or not in turn.
    #[error("unexpected message: {what}")]
    Unexpected {
        /// What was wrong with it.
        what: &'static str,
    },
    /// The process at the other end runs as a user that may not speak.
    #[error("peer with uid {uid} refused")]
    Untrusted {
        /// Its user.
        uid: u32,
    },
    /// No Hello in time.
    #[error("no hello in time")]
    Timeout,
}

/// One message as a frame.
///
/// # Errors
/// It does not serialise, or is too large.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, LinkError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let prefix = prefix.ok_or(LinkError::TooLarge { length })?.to_le_bytes();
    frame.splice(..4, prefix);
    Ok(frame)
}

/// Bit of the length that marks a frame of flow records.
const FLOWS: u32 = 1 << 31;

/// Flow records as a frame: postcard instead of JSON, which took more time than the requests.
///
/// # Errors
/// They do not serialise, or are too large together.
pub fn encode_flows(flows: &[L7Record]) -> Result<Vec<u8>, LinkError> {
    let mut frame = postcard::to_extend(flows, vec![0; 4])?;
    let length = frame.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    let prefix = prefix.ok_or(LinkError::TooLarge { length })? | FLOWS;
    frame.splice(..4, prefix.to_le_bytes());
    Ok(frame)
}

/// What a proxy sent.
#[derive(Debug)]
pub enum FromProxy {
    /// A message.
    Message(ToAgent),
    /// Records of requests, in the order of their ends.
    Flows(Vec<L7Record>),
}

/// Reads what a proxy sent next. Not cancel safe.
///
/// # Errors
/// See [`LinkError`].
pub async fn read_from_proxy(from: &mut (impl AsyncRead + Unpin)) -> Result<FromProxy, LinkError> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).await?;
    let length = u32::from_le_bytes(prefix);
    if length & FLOWS == 0 {
        return Ok(FromProxy::Message(read_rest(from, prefix).await?));
    }
    let body = read_body(from, (length & !FLOWS) as usize, MAX_FRAME).await?;
    Ok(FromProxy::Flows(postcard::from_bytes(&body)?))
}

/// Reads one message. Not cancel safe: a frame may be half read.
///
/// # Errors
/// See [`LinkError`]; the end of the stream is an [`LinkError::Io`].
pub async fn read<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<M, LinkError> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).await?;
    read_rest(from, prefix).await
}

async fn read_rest<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    prefix: [u8; 4],
) -> Result<M, LinkError> {
    let body = read_body(from, u32::from_le_bytes(prefix) as usize, MAX_FRAME).await?;
    Ok(serde_json::from_slice(&body)?)
}

async fn read_body(
    from: &mut (impl AsyncRead + Unpin),
    length: usize,
    most: usize,
) -> Result<Vec<u8>, LinkError> {
    if length > most {
        return Err(LinkError::TooLarge { length });
    }
    // Grows with what arrives, not with what is announced.
    let mut body = Vec::new();
    from.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(body)
}

/// Sends one frame with sockets attached to its first byte.
///
/// # Errors
/// Whatever the socket says.
pub async fn send_with_sockets(
    stream: &mut UnixStream,
    frame: &[u8],
    sockets: &[OwnedFd],
) -> Result<(), LinkError> {
    let raw: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let sent = loop {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(&raw)];
            sendmsg::<UnixAddr>(
                stream.as_raw_fd(),
                &[IoSlice::new(frame)],
                &rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            )
            .map_err(io::Error::from)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => break other?,
        }
    };
    stream
        .write_all(frame.get(sent..).unwrap_or_default())
        .await?;
    Ok(())
}

/// Reads a first message, of at most [`MAX_HELLO`], with the sockets attached to its first byte.
///
/// # Errors
/// See [`LinkError`].
pub async fn read_with_sockets<M: DeserializeOwned>(
    stream: &mut UnixStream,
) -> Result<(M, Vec<OwnedFd>), LinkError> {
    let mut prefix = [0; 4];
    let mut sockets = Vec::new();
    let count = loop {
        stream.readable().await?;
        let received = stream.try_io(Interest::READABLE, || {
            receive(stream.as_raw_fd(), &mut prefix, &mut sockets)
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => break other?,
        }
    };
    if count == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    stream
        .read_exact(prefix.get_mut(count..).unwrap_or_default())
        .await?;
    let body = read_body(stream, u32::from_le_bytes(prefix) as usize, MAX_HELLO).await?;
    Ok((serde_json::from_slice(&body)?, sockets))
}

#[allow(unsafe_code, reason = "descriptors received are owned by nobody yet")]
fn receive(stream: RawFd, prefix: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; MAX_SOCKETS]);
    let mut slices = [IoSliceMut::new(prefix)];
    let message = recvmsg::<UnixAddr>(
        stream,
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel just made these descriptors for us; nobody else has them.
            sockets.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    Ok(message.bytes)
}
