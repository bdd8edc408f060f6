//! Receive buffers that cost nothing while a connection is idle.
//!
//! A buffer takes its memory from a pool of its thread when bytes arrive and gives it back when
//! it is empty: a kept-alive connection without traffic holds none. A buffer grows once, when a
//! read fills it, up to [`LARGE`], which is also the largest head.

use std::cell::RefCell;

/// The memory of a buffer at first, in bytes.
pub const SMALL: usize = 16 * 1024;
/// The memory that a buffer grows to, in bytes.
pub const LARGE: usize = 64 * 1024;
/// Free blocks that a thread keeps, of each size.
const KEPT: usize = 256;

thread_local! {
    static POOL: RefCell<[Vec<Box<[u8]>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

fn acquire(size: usize) -> Box<[u8]> {
    let kept = POOL.with_borrow_mut(|[small, large]| match size {
        SMALL => small.pop(),
        _ => large.pop(),
    });
    kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

fn release(block: Box<[u8]>) {
    POOL.with_borrow_mut(|[small, large]| {
        let shelf = if block.len() == SMALL { small } else { large };
        if shelf.len() < KEPT {
            shelf.push(block);
        }
    });
}

/// Bytes that arrived and were not used yet.
#[derive(Debug, Default)]
pub struct Buffer {
    block: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes held.
    pub fn filled(&self) -> &[u8] {
        self.block
            .as_deref()
            .and_then(|block| block.get(self.start..self.end))
            .unwrap_or_default()
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it can take no more bytes.
    pub fn is_full(&self) -> bool {
        self.end - self.start == LARGE
    }

    /// Drops the first `count` bytes held, and the memory with the last of them.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything held, and the memory.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        if let Some(block) = self.block.take() {
            release(block);
        }
    }

    /// Room for more bytes; empty only if the buffer is full. Follow with [`commit`](Self::commit).
    pub fn room(&mut self) -> &mut [u8] {
        let size = self.block.as_deref().map_or(0, <[u8]>::len);
        if size == 0 {
            self.block = Some(acquire(SMALL));
        } else if self.end == size {
            if self.start > 0 {
                if let Some(block) = &mut self.block {
                    block.copy_within(self.start..self.end, 0);
                }
                self.end -= self.start;
                self.start = 0;
            } else if size < LARGE {
                let mut block = acquire(LARGE);
                if let Some(target) = block.get_mut(..self.end) {
                    target.copy_from_slice(self.filled());
                }
                if let Some(old) = self.block.replace(block) {
                    release(old);
                }
            }
        }
        let end = self.end;
        self.block
            .as_deref_mut()
            .and_then(|block| block.get_mut(end..))
            .unwrap_or_default()
    }

    /// Counts bytes that were written into [`room`](Self::room).
    pub fn commit(&mut self, count: usize) {
        let size = self.block.as_deref().map_or(0, <[u8]>::len);
        self.end = self.end.saturating_add(count).min(size);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &mut Buffer, bytes: &[u8]) {
        for byte in bytes {
            let room = buffer.room();
            room[0] = *byte;
            buffer.commit(1);
        }
    }

    #[test]
    fn keeps_what_it_is_given_in_order() {
        let mut buffer = Buffer::default();
        let bytes: Vec<u8> = (0..LARGE).map(|n| n as u8).collect();
        push(&mut buffer, &bytes);
        assert_eq!(buffer.filled(), &bytes);
        assert!(buffer.is_full() && buffer.room().is_empty());
        buffer.consume(10);
        push(&mut buffer, b"0123456789");
        assert_eq!(buffer.filled()[..LARGE - 10], bytes[10..]);
        assert!(buffer.filled().ends_with(b"0123456789"));
    }

    #[test]
    fn an_empty_buffer_holds_no_memory() {
        let mut buffer = Buffer::default();
        push(&mut buffer, b"abc");
        buffer.consume(2);
        assert!(buffer.block.is_some());
        buffer.consume(1);
        assert!(buffer.block.is_none() && buffer.filled().is_empty());
    }
}
