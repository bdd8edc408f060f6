//! The kernel's side: what it tells of connections, and how their state is changed.

use aya::{
    maps::{Map, MapData, MapError, RingBuf, SockMap},
    programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions},
};
use weir_abi::{
    conntrack::ConnectionKey,
    http::{CHANGED, Change, Stream, TAKEN_HEADER, Taken, UNKNOWN},
    listener,
};
use weir_redirector::Pins;

/// An Ethernet header stands before what `set_state` reads.
const BEFORE: usize = 14;

/// Something of the kernel's is not there. An agent makes it.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A map.
    #[error("map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The program that changes states.
    #[error("program set_state: {0}")]
    Program(#[source] ProgramError),
}

/// What the kernel told of a connection.
#[derive(Debug)]
pub struct Note {
    /// Which.
    pub key: ConnectionKey,
    /// Why: see [`weir_abi::http::why`].
    pub why: u8,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// What the client sent.
    pub bytes: Vec<u8>,
}

/// Why a state was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// The connection is gone.
    Gone,
    /// It was in another state.
    Otherwise,
}

/// The pinned maps and the program.
pub struct Kernel {
    /// To be waited for.
    pub ring: RingBuf<MapData>,
    listeners: SockMap<MapData>,
    program: SchedClassifier,
}

// === impl Kernel ===

impl Kernel {
    /// Opens what an agent has pinned.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        let map = |name: &'static str| {
            let failed = |source| KernelError::Map { name, source };
            MapData::from_pin(pins.maps().join(name)).map_err(failed)
        };
        let failed = |name| move |source| KernelError::Map { name, source };
        Ok(Self {
            ring: RingBuf::try_from(Map::RingBuf(map("TAKEN")?)).map_err(failed("TAKEN"))?,
            listeners: SockMap::try_from(Map::SockMap(map("LISTENERS")?))
                .map_err(failed("LISTENERS"))?,
            program: SchedClassifier::from_pin(pins.set_state()).map_err(KernelError::Program)?,
        })
    }

    /// Tells the programs that somebody is here, as long as this socket lives.
    pub fn appear(&mut self, listener: &std::net::TcpListener) -> Result<(), MapError> {
        self.listeners.set(listener::TAKEOVER, listener, 0)
    }

    /// The next note, if there is one.
    pub fn next(&mut self) -> Option<Note> {
        loop {
            let item = self.ring.next()?;
            let Some((header, bytes)) = item.split_at_checked(TAKEN_HEADER) else {
                continue;
            };
            // SAFETY: the header of a `Taken`: plain integers, and as many bytes.
            let taken = unsafe {
                let mut taken = std::mem::MaybeUninit::<Taken>::zeroed();
                std::ptr::copy_nonoverlapping(
                    header.as_ptr(),
                    taken.as_mut_ptr().cast(),
                    TAKEN_HEADER,
                );
                taken.assume_init()
            };
            return Some(Note {
                key: taken.key,
                why: taken.why,
                sequence: taken.sequence,
                bytes: bytes.get(..taken.length as usize).unwrap_or(bytes).to_vec(),
            });
        }
    }

    /// Changes the state of a connection; returns what is known of it. With the same state twice it
    /// only looks.
    pub fn change(&mut self, key: &ConnectionKey, was: u8, to: u8) -> Result<Stream, Unchanged> {
        let change = Change {
            key: *key,
            was,
            to,
            reserved: [0; 6],
        };
        let mut data = [0u8; BEFORE + size_of::<Stream>()];
        let mut out = data;
        const { assert!(size_of::<Change>() <= size_of::<Stream>()) };
        // SAFETY: a plain type, and there is room for it.
        unsafe { std::ptr::write_unaligned(data.as_mut_ptr().add(BEFORE).cast(), change) };
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        options.data_out = Some(&mut out);
        let run = self.program.test_run(options);
        let code = run.map_or_else(
            |error| {
                tracing::warn!(%error, "the state of a connection could not be changed");
                UNKNOWN
            },
            |run| run.return_value,
        );
        match code {
            // SAFETY: the program has written one there.
            CHANGED => Ok(unsafe { std::ptr::read_unaligned(out.as_ptr().add(BEFORE).cast()) }),
            UNKNOWN => Err(Unchanged::Gone),
            _ => Err(Unchanged::Otherwise),
        }
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}
