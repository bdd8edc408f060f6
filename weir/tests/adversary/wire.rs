//! Packet sockets inside a lab's netns: one that sends whole frames, one that hears them.
//!
//! Frames must never reach the machine's own network. So only an [`Inside`] opens a socket here,
//! and only [`enter`] makes one, on a thread that has proven where it is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::marker::PhantomData;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::{mem, thread};

use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

pub type Mac = [u8; 6];

/// Every protocol, as packet sockets write it.
const EVERYTHING: u16 = (libc::ETH_P_ALL as u16).to_be();
/// Do not hear what the interface itself sends (linux/if_packet.h).
const PACKET_IGNORE_OUTGOING: i32 = 23;
/// What an ear may miss while nobody drains it: none of a test's frames.
const HEARD_BYTES: i32 = 32 << 20;
/// A frame is an attack's if these stand in it, after its number: servers acknowledge a sequence
/// number that is a tag by the next ones, which then are no tags.
const MAGIC: [u8; 2] = [0xa7, 0x5e];

/// Proof that this thread is in a netns of a lab. It cannot leave the thread.
pub struct Inside {
    not_send: PhantomData<*const ()>,
}

/// Runs something inside a lab's netns, on a thread of its own; panics where it cannot be entered.
pub fn enter<T: Send>(netns: &str, work: impl FnOnce(&Inside) -> T + Send) -> T {
    assert!(netns.starts_with("weir-lab-t"), "{netns}: not a test's");
    let path = Path::new("/run/netns").join(netns);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{netns}: {error}"));
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&file, CloneFlags::CLONE_NEWNET).expect("entering the netns");
            let here = fs::metadata("/proc/thread-self/ns/net").expect("this thread's netns");
            let wanted = file.metadata().expect("the netns").ino();
            // The process as a whole stays where it began.
            let outside = fs::metadata("/proc/self/ns/net").expect("the machine's netns");
            assert_eq!(here.ino(), wanted, "{netns}: not entered");
            assert_ne!(here.ino(), outside.ino(), "{netns}: the machine's own");
            work(&Inside {
                not_send: PhantomData,
            })
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Four bytes that no other frame of the run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 4]);

// === impl Tag ===

impl Tag {
    pub fn next() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Self([high, low, MAGIC[0], MAGIC[1]])
    }

    /// So many bytes of it: whatever part of them arrives shows where it came from.
    pub fn fill(self, length: usize) -> Vec<u8> {
        self.0.iter().copied().cycle().take(length).collect()
    }
}

/// Sends whole frames from one interface.
pub struct Sender {
    socket: Socket,
    pub mac: Mac,
}

// === impl Sender ===

impl Sender {
    pub fn open(_: &Inside, interface: &str) -> Self {
        // Protocol 0: it hears nothing.
        let (socket, mac) = bound(interface, 0);
        Self { socket, mac }
    }

    /// What a pod with CAP_NET_RAW may write on its packets (SO_MARK), before they leave it.
    pub fn mark(&self, mark: u32) {
        self.socket.set_mark(mark).expect("a mark");
    }

    pub fn send(&self, frame: &[u8]) {
        // The queue of a veth is never full for long.
        while let Err(error) = self.socket.send(frame) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS), "{error}");
            thread::yield_now();
        }
    }
}

/// Hears every frame that comes in by one interface, whomever it is for.
pub struct Ear {
    socket: Socket,
    heard: Mutex<HashSet<Tag>>,
}

// === impl Ear ===

impl Ear {
    pub fn open(_: &Inside, interface: &str) -> Self {
        let (socket, _) = bound(interface, EVERYTHING);
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, HEARD_BYTES);
        set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
        socket.set_nonblocking(true).expect("not to block");
        Self {
            socket,
            heard: Mutex::new(HashSet::new()),
        }
    }

    /// Whether a frame with this tag has come so far.
    pub fn heard(&self, tag: Tag) -> bool {
        let mut heard = self.heard.lock().expect("an ear");
        let mut frame = vec![0; 1 << 16];
        loop {
            match (&self.socket).read(&mut frame) {
                Ok(length) => heard.extend(tags(&frame[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("an ear: {error}"),
            }
        }
        heard.contains(&tag)
    }
}

/// The tags in a frame.
fn tags(frame: &[u8]) -> impl Iterator<Item = Tag> {
    frame
        .windows(4)
        .filter(|bytes| bytes.ends_with(&MAGIC))
        .map(|bytes| Tag(bytes.try_into().expect("four bytes")))
}

fn bound(interface: &str, protocol: u16) -> (Socket, Mac) {
    let kind = Protocol::from(i32::from(protocol));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(kind)).expect("a packet socket");
    let index = if_nametoindex(interface).unwrap_or_else(|error| panic!("{interface}: {error}"));
    // SAFETY: the address is a `sockaddr_ll`, which fits, and its length is told.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as u16;
            (*link).sll_protocol = protocol;
            (*link).sll_ifindex = index as i32;
            *length = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }
    .expect("an address");
    socket.bind(&address).expect("the interface");
    let own = socket.local_addr().expect("the interface's address");
    // SAFETY: a bound packet socket has an address of this kind.
    let link = unsafe { &*own.as_ptr().cast::<libc::sockaddr_ll>() };
    let mac = link.sll_addr[..6].try_into().expect("six bytes");
    (socket, mac)
}

fn set(socket: &Socket, level: i32, option: i32, value: i32) {
    // SAFETY: both options take an int.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of::<i32>() as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}
