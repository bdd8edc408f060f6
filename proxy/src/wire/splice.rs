//! Moving the middle of a large body from socket to socket inside the kernel.
//!
//! Only bytes that need no look go this way: the middle of a body of known length. Its last bytes
//! are copied as usual, because how they are sent depends on what follows them.

use std::{cell::RefCell, os::fd::OwnedFd};

use crate::sys;

/// What is left of a body, in bytes, from where a pipe pays.
pub const WORTH: u64 = 64 * 1024;
/// The last bytes of a body that are copied.
pub const TAIL: u64 = 16 * 1024;
/// The size of a pipe, in bytes.
pub const PIPE: usize = 256 * 1024;
/// Pipes that a thread keeps, and the most that it uses at once: unprivileged users may have only
/// so much pipe memory (64 MiB by default), and a body without a pipe is just copied.
const KEPT: usize = 16;
const MOST: usize = 64;

thread_local! {
    static PIPES: RefCell<(Vec<[OwnedFd; 2]>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// A pipe of the thread's pool.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<[OwnedFd; 2]>,
    /// Bytes inside. A pipe that is not empty is never used for another body.
    pub held: usize,
}

impl Pipe {
    /// A pipe, unless too many are in use or none can be made.
    pub fn take() -> Option<Self> {
        PIPES.with_borrow_mut(|(kept, used)| {
            if *used == MOST {
                return None;
            }
            let ends = kept.pop().or_else(|| sys::pipe(PIPE as libc::c_int).ok())?;
            *used += 1;
            Some(Self {
                ends: Some(ends),
                held: 0,
            })
        })
    }

    /// Reading and writing end.
    pub fn ends(&self) -> Option<&[OwnedFd; 2]> {
        self.ends.as_ref()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.with_borrow_mut(|(kept, used)| {
            *used = used.saturating_sub(1);
            if let Some(ends) = self.ends.take()
                && self.held == 0
                && kept.len() < KEPT
            {
                kept.push(ends);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_bounded_and_used_again_only_if_empty() {
        let mut pipes: Vec<_> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(pipes.len(), MOST);
        for pipe in &mut pipes {
            pipe.held = 1;
        }
        drop(pipes);
        PIPES.with_borrow(|(kept, used)| assert_eq!((kept.len(), *used), (0, 0)));
        drop(Pipe::take());
        PIPES.with_borrow(|(kept, used)| assert_eq!((kept.len(), *used), (1, 0)));
    }
}
