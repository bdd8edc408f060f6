//! The proxies that take connections: whoever connects from within the private network namespace,
//! which only a proxy of this node can enter. See [`weir_link::takeover`].

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, recv, sendmsg},
};
use weir_link::takeover::{Handed, Listener};

/// Proxies that are connected.
#[derive(Debug)]
pub struct Proxies {
    listener: Listener,
    connected: Vec<OwnedFd>,
    next: usize,
}

// === impl Proxies ===

impl Proxies {
    /// Listens in the network namespace of the calling thread.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            listener: Listener::open()?,
            connected: Vec::new(),
            next: 0,
        })
    }

    /// To be waited for: the listener.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes in who has connected, and forgets who is gone.
    pub fn accept(&mut self) {
        self.connected.retain(is_there);
        while let Ok(Some(proxy)) = self.listener.accept() {
            self.connected.push(proxy);
        }
    }

    /// Whether anybody is there.
    pub fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// Hands a connection to one of them, in turn; those that are gone are forgotten.
    pub fn hand(&mut self, handed: &Handed, client: &OwnedFd, server: &OwnedFd) -> bool {
        let bytes = handed.to_bytes();
        let fds = [client.as_raw_fd(), server.as_raw_fd()];
        while !self.connected.is_empty() {
            self.next = (self.next + 1) % self.connected.len();
            let Some(proxy) = self.connected.get(self.next) else {
                continue;
            };
            let sent = sendmsg::<()>(
                proxy.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                &[ControlMessage::ScmRights(&fds)],
                MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
                None,
            );
            match sent {
                Ok(_) => return true,
                Err(error) => {
                    tracing::info!(%error, "a proxy takes no connections any more");
                    self.connected.swap_remove(self.next);
                }
            }
        }
        false
    }
}

/// Whether a proxy has not closed its end: it says nothing else.
fn is_there(proxy: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(proxy.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
}
