//! A DNS name: its labels, and the text that stands for them.

use std::fmt;

/// The most bytes of a label, and of a name with the lengths of its labels (RFC 1035, 2.3.4).
const LABEL: usize = 63;
const WHOLE: usize = 255;

/// A DNS name as labels, in lower case. The root has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Vec<Box<[u8]>>);

impl Name {
    /// The name of these labels; `None` where a label is empty, or something too long.
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut length = 1;
        let mut all = Vec::new();
        for label in labels {
            if label.is_empty() || label.len() > LABEL {
                return None;
            }
            length += label.len() + 1;
            all.push(label.to_ascii_lowercase().into_boxed_slice());
        }
        (length <= WHOLE).then_some(Self(all))
    }

    /// Reads a text as [`Display`](fmt::Display) writes it: master file form (RFC 1035, 5.1), where
    /// `\.` is a dot inside a label and `\DDD` a byte by its decimal number.
    pub fn parse(text: &str) -> Option<Self> {
        let mut labels = Vec::new();
        let mut label = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => labels.push(std::mem::take(&mut label)),
                b'\\' => label.push(escaped(bytes.next()?, &mut bytes)?),
                other => label.push(other),
            }
        }
        // A final dot is the root's, and says nothing.
        if !label.is_empty() {
            labels.push(label);
        } else if text == "." {
            labels.clear();
        }
        Self::new(labels.iter().map(Vec::as_slice))
    }

    /// Reads the name of a host as protocols other than DNS write it: there are no escapes, and
    /// what would be one is no name (RFC 6066, 3; RFC 952).
    pub fn of_host(text: &str) -> Option<Self> {
        if text.contains('\\') {
            return None;
        }
        Self::parse(text)
    }

    /// Its labels, in lower case.
    pub fn labels(&self) -> &[Box<[u8]>] {
        &self.0
    }
}

/// What stands after a backslash.
fn escaped(first: u8, rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digits = [first, rest.next()?, rest.next()?];
    let text = std::str::from_utf8(&digits).ok()?;
    text.parse().ok()
}

impl fmt::Display for Name {
    /// Without a final dot; every byte that is not printable ASCII, a dot or a backslash as `\DDD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{byte:03}")?,
                    b'!'..=b'~' => write!(f, "{}", char::from(*byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_read_as_labels() {
        let read = |text: &str| Name::parse(text).map(|name| name.to_string());
        assert_eq!(read("A.Example."), Some("a.example".into()));
        assert_eq!(read("."), Some(String::new()));
        assert_eq!(read(r"a\.evil.test"), Some(r"a\046evil.test".into()));
        assert_eq!(read(r"\097.test"), Some("a.test".into()));
        for no in [
            "a..b",
            ".a",
            "..",
            r"a\",
            r"a\04",
            r"a\999",
            &"a".repeat(64),
        ] {
            assert_eq!(read(no), None, "{no}");
        }
        assert_eq!(Name::of_host(r"\097.test"), None);
        assert!(Name::new(vec![&[b'a'; 63][..]; 4]).is_none(), "257 bytes");
    }

    proptest! {
        #[test]
        fn the_text_of_a_name_is_the_name(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..8), 0..5),
        ) {
            let name = Name::new(labels.iter().map(Vec::as_slice)).expect("short enough");
            prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
    }
}
