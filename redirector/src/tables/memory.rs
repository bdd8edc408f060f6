//! The memory of the map `TABLES`, written directly: a table is megabytes, and an update of the
//! map would copy all of it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::maps::MapData;
use weir_abi::http::TABLES;

const WORDS: usize = TABLES / 4;

/// The mapped words.
#[derive(Debug)]
pub(super) struct Memory(NonNull<AtomicU32>);

// SAFETY: the mapping is the process's, and its words are atomic.
unsafe impl Send for Memory {}

// === impl Memory ===

impl Memory {
    pub fn map(map: &MapData) -> io::Result<Self> {
        let fd = map.fd().as_fd().as_raw_fd();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a map that is as long (its ABI version says so).
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                TABLES,
                protection,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast());
        at.map(Self)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping has so many words and lives as long as this.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), WORDS) }
    }

    /// A word; 0 beyond the end.
    pub fn word(&self, at: usize) -> u32 {
        let word = self.words().get(at);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes words that no program reads yet.
    pub fn write(&self, from: usize, words: &[u32]) {
        let places = self.words().get(from..).unwrap_or_default();
        for (place, word) in places.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped above, and nothing borrows from it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), TABLES) };
    }
}
