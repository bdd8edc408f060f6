//! The request line's own machine: what every automaton asks of a line, whatever its rules.

/// Where in the line a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Region {
    /// In the method, behind so many bytes of it.
    Method(u8),
    /// The path must begin here.
    First,
    /// In the path, behind a slash.
    Slash,
    /// In the path.
    Path,
    /// Behind a question mark.
    Query,
}

/// What a byte does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The line is none that the kernel judges.
    Dead,
    /// The line goes on.
    To(Region),
    /// The space behind the method.
    EndOfMethod,
    /// The space behind the path.
    EndOfPath,
}

/// Longer than any method that servers know; the proxy takes longer ones.
const MOST_METHOD: u8 = 24;

/// One of each kind of region; bytes that these do not tell apart none does.
pub(super) const REGIONS: [Region; 5] = [
    Region::Method(1),
    Region::First,
    Region::Slash,
    Region::Path,
    Region::Query,
];

// === impl Region ===

impl Region {
    /// Where a byte leads. In a path, what servers read in more than one way is a dead end: escapes,
    /// backslashes, parameters, doubled slashes, segments that begin with a dot (see
    /// [`normalise`](crate::http::normalise)).
    pub fn step(self, byte: u8) -> Step {
        let plain = (0x21..=0x7e).contains(&byte) && byte != b'#';
        match (self, byte) {
            (Self::Method(1..), b' ') => Step::EndOfMethod,
            (Self::Method(length), b'A'..=b'Z') if length < MOST_METHOD => {
                Step::To(Self::Method(length + 1))
            }
            (Self::Method(_), _) => Step::Dead,
            (Self::First, b'/') => Step::To(Self::Slash),
            (Self::First, _) => Step::Dead,
            (_, b' ') => Step::EndOfPath,
            _ if !plain => Step::Dead,
            (Self::Query, _) => Step::To(Self::Query),
            (_, b'%' | b'\\' | b';') | (Self::Slash, b'/' | b'.') => Step::Dead,
            (_, b'?') => Step::To(Self::Query),
            (_, b'/') => Step::To(Self::Slash),
            _ => Step::To(Self::Path),
        }
    }
}
