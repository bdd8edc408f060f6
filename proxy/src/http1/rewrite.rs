//! Changes of header rules, on the bytes of a checked head: every other line stays as it was sent.

use weir_policy::http::HeaderEdit;

/// The head with its headers changed.
pub fn rewrite(head: &[u8], edits: &[HeaderEdit]) -> Vec<u8> {
    let removed = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        edits.iter().any(|edit| match edit {
            HeaderEdit::Remove(wanted) => name.eq_ignore_ascii_case(wanted.as_bytes()),
            HeaderEdit::Append { .. } => false,
        })
    };
    let mut changed = Vec::with_capacity(head.len() + 64);
    for (number, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let empty = line == b"\r\n";
        if empty {
            for edit in edits {
                if let HeaderEdit::Append { name, value } = edit {
                    changed.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            }
        }
        if number == 0 || empty || !removed(line) {
            changed.extend_from_slice(line);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_and_come_and_the_rest_stays() {
        let head = b"GET / HTTP/1.1\r\nHost:  h\r\nX-A: 1\r\nx-a:2\r\nX-Ab: 3\r\n\r\n";
        let append = HeaderEdit::Append {
            name: "X-A".into(),
            value: "good".into(),
        };
        let changed = rewrite(head, &[HeaderEdit::Remove("X-A".into()), append]);
        assert_eq!(
            String::from_utf8_lossy(&changed),
            "GET / HTTP/1.1\r\nHost:  h\r\nX-Ab: 3\r\nX-A: good\r\n\r\n"
        );
        assert_eq!(rewrite(head, &[]), head);
    }
}
