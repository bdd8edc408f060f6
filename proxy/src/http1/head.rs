//! Finding the end of a head, strictly and without reading a byte twice.

use memchr::memchr;

use super::Refusal;

/// The largest head that is looked at, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most fields a head may have.
pub const MAX_FIELDS: usize = 256;

/// Where the scan of a growing head stands. One scanner serves one head.
#[derive(Debug, Default, Clone, Copy)]
pub struct HeadScanner {
    /// It is a response's: servers are read leniently, see [`HeadScanner::response`].
    lenient: bool,
    /// Some line ended with a bare line feed.
    bare: bool,
    /// Where the first line begins: behind an empty line that is skipped.
    start: usize,
    /// Start of the line that is not complete yet.
    line: usize,
    /// Bytes that hold no line feed, counted from the head's start.
    scanned: usize,
}

impl HeadScanner {
    /// A scanner for a response's head, whose lines may end with a bare line feed: what the
    /// client gets is made strict.
    pub fn response() -> Self {
        Self {
            lenient: true,
            ..Self::default()
        }
    }

    /// Where a complete head begins: one empty line before a request is no part of it (RFC 9112
    /// section 2.2).
    pub fn start(&self) -> usize {
        self.start
    }

    /// Whether some line so far ended with a bare line feed.
    pub fn has_bare_feed(&self) -> bool {
        self.bare
    }

    /// Where the head ends, its empty line included, or `None` while it is incomplete.
    ///
    /// `buffer` starts at the head and only grows between calls.
    ///
    /// # Errors
    /// A bare line feed in a request, an empty line at the beginning (the second one, in a
    /// request), or a head over [`MAX_HEAD`]. A bare carriage return is left to the head parser,
    /// which refuses it.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(found) = memchr(b'\n', buffer.get(self.scanned..).unwrap_or_default()) {
            let feed = self.scanned + found;
            let line = buffer.get(self.line..feed).unwrap_or_default();
            let text = match line.split_last() {
                Some((b'\r', text)) => text,
                _ if self.lenient => {
                    self.bare = true;
                    line
                }
                _ => return Err(Refusal::BareLineFeed),
            };
            let first = self.line == self.start;
            self.line = feed + 1;
            self.scanned = feed + 1;
            if self.scanned > MAX_HEAD {
                return Err(Refusal::HeadTooLarge);
            }
            if text.is_empty() {
                if !first {
                    return Ok(Some(self.scanned));
                }
                if self.lenient || self.start > 0 {
                    return Err(Refusal::EmptyLine);
                }
                self.start = self.scanned;
            }
        }
        self.scanned = buffer.len();
        if self.scanned >= MAX_HEAD {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(None)
    }
}

/// Whether a byte may be in a token (RFC 9110 section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&'
        | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_whatever_the_split() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for split in 0..head.len() {
            let mut scanner = HeadScanner::default();
            let first = scanner.scan(&head[..split]).unwrap();
            let end = first.or_else(|| scanner.scan(head).unwrap());
            assert_eq!(end, Some(27), "split at {split}");
        }
    }

    #[test]
    fn refuses_bare_feeds_and_empty_lines() {
        let scan = |bytes: &[u8]| HeadScanner::default().scan(bytes);
        assert_eq!(scan(b"GET / HTTP/1.1\n"), Err(Refusal::BareLineFeed));
        assert_eq!(
            scan(b"GET / HTTP/1.1\r\nA: b\n\r\n"),
            Err(Refusal::BareLineFeed)
        );
        assert_eq!(scan(b"\n"), Err(Refusal::BareLineFeed));
        assert_eq!(scan(b"\r\n\r\nGET"), Err(Refusal::EmptyLine));
        assert_eq!(scan(b"\r\n\n"), Err(Refusal::BareLineFeed));
    }

    #[test]
    fn one_empty_line_before_a_request_is_no_part_of_it() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for split in 0..head.len() {
            let mut scanner = HeadScanner::default();
            let first = scanner.scan(&head[..split]).unwrap();
            let end = first.or_else(|| scanner.scan(head).unwrap());
            assert_eq!((scanner.start(), end), (2, Some(29)), "split at {split}");
        }
    }

    #[test]
    fn lines_of_a_response_may_end_with_a_bare_feed() {
        for (head, bare) in [
            (&b"HTTP/1.0 200 OK\nA: b\n\nrest"[..], true),
            (b"HTTP/1.0 200 OK\r\nA: b\n\r\nrest", true),
            (b"HTTP/1.0 200 OK\r\nA: b\r\n\nrest", true),
            (b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nrest", false),
        ] {
            let mut scanner = HeadScanner::response();
            assert_eq!(scanner.scan(head), Ok(Some(head.len() - 4)));
            assert_eq!(scanner.has_bare_feed(), bare);
        }
        let scan = |bytes: &[u8]| HeadScanner::response().scan(bytes);
        assert_eq!(scan(b"\r\nHTTP/1.0 200 OK\r\n"), Err(Refusal::EmptyLine));
    }

    #[test]
    fn bounds_the_head() {
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(MAX_HEAD - 4, b'x');
        head.extend(b"\r\n\r\n");
        assert_eq!(HeadScanner::default().scan(&head), Ok(Some(MAX_HEAD)));
        head.insert(20, b'x');
        assert_eq!(
            HeadScanner::default().scan(&head),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(
            HeadScanner::default().scan(&vec![b'x'; MAX_HEAD]),
            Err(Refusal::HeadTooLarge)
        );
    }
}
