//! Frame headers as they pass (RFC 9113, 4.1): which frames there are, not what is in them.

/// DATA (RFC 9113, 6.1).
pub const DATA: u8 = 0;
/// HEADERS (6.2).
pub const HEADERS: u8 = 1;
/// RST_STREAM (6.4).
pub const RST_STREAM: u8 = 3;
/// SETTINGS (6.5).
pub const SETTINGS: u8 = 4;
/// CONTINUATION (6.10).
pub const CONTINUATION: u8 = 9;

/// Flag of DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// Flag of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// Flag of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;

/// The preface of a client (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of which the header has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// Bytes of its payload.
    pub length: u32,
}

/// What a scanner comes across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A frame begins.
    Begins(Frame),
    /// The last byte of a frame has passed.
    Ends(Frame),
    /// The error code of an RST_STREAM.
    Reset {
        /// Which stream is reset.
        stream: u32,
        /// Why (RFC 9113, 7).
        code: u32,
    },
}

/// Follows the frames of one direction of a connection, in pieces of any size.
#[derive(Debug)]
pub struct Scanner {
    /// Bytes of a preface still to come.
    preface: usize,
    header: [u8; 9],
    have: usize,
    frame: Option<Frame>,
    /// Bytes of the payload still to come.
    left: u32,
    /// The first bytes of the payload.
    code: u32,
}

// === impl Scanner ===

impl Scanner {
    /// Of the direction that begins with a preface, or of the other one.
    pub fn new(preface: bool) -> Self {
        Self {
            preface: if preface { PREFACE.len() } else { 0 },
            header: [0; 9],
            have: 0,
            frame: None,
            left: 0,
            code: 0,
        }
    }

    /// Takes the next bytes and tells what is in them, in order.
    pub fn scan(&mut self, mut bytes: &[u8], mut see: impl FnMut(Seen)) {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        bytes = bytes.get(skipped..).unwrap_or_default();
        while !bytes.is_empty() {
            bytes = match self.frame {
                None => self.header(bytes, &mut see),
                Some(frame) => self.payload(frame, bytes, &mut see),
            };
        }
    }

    /// Takes bytes of a frame's header; returns those after it.
    fn header<'b>(&mut self, bytes: &'b [u8], see: &mut impl FnMut(Seen)) -> &'b [u8] {
        let wanted = self.header.len() - self.have;
        let (taken, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
        let place = self.header.get_mut(self.have..self.have + taken.len());
        if let Some(place) = place {
            place.copy_from_slice(taken);
        }
        self.have += taken.len();
        if self.have == self.header.len() {
            self.have = 0;
            let [a, b, c, kind, flags, d, e, f, g] = self.header;
            let frame = Frame {
                kind,
                flags,
                stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
                length: u32::from_be_bytes([0, a, b, c]),
            };
            (self.left, self.code) = (frame.length, 0);
            see(Seen::Begins(frame));
            match frame.length {
                0 => see(Seen::Ends(frame)),
                _ => self.frame = Some(frame),
            }
        }
        rest
    }

    /// Takes bytes of a frame's payload; returns those after it.
    fn payload<'b>(
        &mut self,
        frame: Frame,
        bytes: &'b [u8],
        see: &mut impl FnMut(Seen),
    ) -> &'b [u8] {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (taken, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
        if frame.kind == RST_STREAM {
            for byte in taken.iter().take(4) {
                self.code = self.code << 8 | u32::from(*byte);
            }
        }
        self.left -= u32::try_from(taken.len())
            .unwrap_or(self.left)
            .min(self.left);
        if self.left == 0 {
            self.frame = None;
            if frame.kind == RST_STREAM {
                see(Seen::Reset {
                    stream: frame.stream,
                    code: self.code,
                });
            }
            see(Seen::Ends(frame));
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Cut anywhere, the frames are the same.
    #[test]
    fn frames_are_seen_in_pieces_of_any_size() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[0; 6]));
        bytes.extend(frame(HEADERS, END_HEADERS, 1, b"abc"));
        bytes.extend(frame(DATA, END_STREAM, 1 | 1 << 31, b""));
        bytes.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
        let scan = |pieces: &[&[u8]]| {
            let (mut scanner, mut all) = (Scanner::new(true), Vec::new());
            for piece in pieces {
                scanner.scan(piece, |seen| all.push(seen));
            }
            all
        };
        let whole = scan(&[&bytes]);
        let data = Frame {
            kind: DATA,
            flags: END_STREAM,
            stream: 1,
            length: 0,
        };
        assert_eq!(whole.len(), 9);
        assert_eq!(whole[4..6], [Seen::Begins(data), Seen::Ends(data)]);
        assert_eq!(whole[7], Seen::Reset { stream: 1, code: 8 });
        for cut in 0..bytes.len() {
            let (one, other) = bytes.split_at(cut);
            assert_eq!(scan(&[one, other]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(scan(&single), whole);
    }
}
