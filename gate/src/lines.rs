//! Lines of a file or of standard input, of which nobody knows how long they are.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

/// Bytes of a line: a recorded flow has about one thousand.
const LONGEST: usize = 1 << 20;
/// Bytes of all lines, for those who keep them.
const LARGEST: u64 = 1 << 30;

/// Lines with their numbers, from 1.
pub struct Lines {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    left: u64,
}

impl Lines {
    /// The lines of a file, or with `-` of standard input.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new(io::stdin().lock(), "standard input"));
        }
        let name = path.display().to_string();
        let file =
            File::open(path).map_err(|error| named(&error, &format!("cannot read {name}")))?;
        Ok(Self::new(BufReader::new(file), &name))
    }

    /// The lines of something else, called by a name in errors.
    pub fn new(reader: impl BufRead + 'static, name: &str) -> Self {
        Self {
            reader: Box::new(reader),
            name: name.to_owned(),
            number: 0,
            left: u64::MAX,
        }
    }

    /// The same, where all of them are kept: more than 1 GiB is refused.
    pub fn kept(self) -> Self {
        Self {
            left: LARGEST,
            ..self
        }
    }

    /// The next line, without what is no text in it, and where it stands; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read, is longer than 1 MiB, or all are longer than may be kept.
    pub fn read(&mut self) -> io::Result<Option<(String, String)>> {
        self.number += 1;
        let place = format!("{}:{}", self.name, self.number);
        let mut line = Vec::new();
        let mut reader = (&mut self.reader).take(LONGEST as u64 + 1);
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| named(&error, &format!("{place}: cannot be read")))?;
        if read == 0 {
            return Ok(None);
        }
        if read > LONGEST {
            return Err(io::Error::other(format!(
                "{place}: the line is longer than 1 MiB"
            )));
        }
        self.left = match self.left.checked_sub(read as u64) {
            Some(left) => left,
            None => {
                let text = format!("{place}: {} is larger than 1 GiB", self.name);
                return Err(io::Error::other(text));
            }
        };
        Ok(Some((String::from_utf8_lossy(&line).into_owned(), place)))
    }
}

/// An error that says what it is about.
fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: Vec<u8>) -> Lines {
        Lines::new(io::Cursor::new(bytes), "x")
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_is_kept() {
        let mut endless = Lines::new(BufReader::new(io::repeat(b'a')), "x");
        let error = endless.read().expect_err("too long").to_string();
        assert_eq!(error, "x:1: the line is longer than 1 MiB");
        let mut longest = vec![b'a'; LONGEST - 1];
        longest.extend(b"\nb");
        let mut lines = of(longest);
        assert_eq!(lines.read().unwrap().unwrap().0.len(), LONGEST);
        assert_eq!(lines.read().unwrap(), Some(("b".into(), "x:2".into())));
        assert_eq!(lines.read().unwrap(), None);
    }

    #[test]
    fn lines_without_end_are_refused_where_they_are_kept() {
        let mut lines = of(b"one\ntwo\n".to_vec()).kept();
        lines.left = 5;
        assert!(lines.read().unwrap().is_some());
        let error = lines.read().expect_err("too many").to_string();
        assert_eq!(error, "x:2: x is larger than 1 GiB");
    }
}
