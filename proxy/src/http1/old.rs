//! Response heads of old servers, made strict.
//!
//! Two habits are common and harmless once the client does not see them: lines that end with a bare
//! line feed, and one Content-Length said twice. Both are corrected in what goes to the client, so
//! that it reads what the proxy read. Everything else stays a fault.

use std::borrow::Cow;

use super::framing::plain_number;

/// A delimited response head whose lines all end with CR LF and that says one Content-Length once.
/// Borrowed where that changes nothing.
pub fn strict(head: &[u8]) -> Cow<'_, [u8]> {
    let length = one_length(head);
    let mut strict = Vec::with_capacity(head.len() + 64);
    let mut said = false;
    for line in lines(head) {
        match (is_length(line), &length) {
            (true, Some(_)) if said => continue,
            (true, Some(length)) => {
                said = true;
                strict.extend([b"Content-Length: ", length.to_string().as_bytes()].concat());
            }
            _ => strict.extend(line),
        }
        strict.extend(b"\r\n");
    }
    if strict == head {
        Cow::Borrowed(head)
    } else {
        Cow::Owned(strict)
    }
}

/// Lines without their ends. Only one carriage return is an end: the parser refuses others.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = head.strip_suffix(b"\n").unwrap_or(head);
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn is_length(line: &[u8]) -> bool {
    line.split(|byte| *byte == b':')
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(b"content-length"))
}

/// The value of all Content-Length fields and their members (RFC 9110 section 8.6), if it is one
/// and said more than once.
fn one_length(head: &[u8]) -> Option<u64> {
    let mut lines = lines(head).filter(|line| is_length(line));
    let members = lines.by_ref().flat_map(|line| {
        let value = line.splitn(2, |byte| *byte == b':').nth(1);
        value.unwrap_or_default().split(|byte| *byte == b',')
    });
    let mut numbers = members.map(|member| plain_number(member.trim_ascii()));
    let first = numbers.next()??;
    let mut more = 0;
    for number in numbers {
        if number != Some(first) {
            return None;
        }
        more += 1;
    }
    (more > 0).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::response::{Asked, ResponseHead};

    fn made(head: &str) -> String {
        String::from_utf8(strict(head.as_bytes()).into_owned()).expect("text")
    }

    #[test]
    fn harmless_habits_are_corrected() {
        let good = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n";
        for old in [
            good,
            "HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\n",
            "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 3\r\n\n",
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\ncontent-length:3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3, 3\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\ncontent-length: 3,3\nContent-Length: 3\n\n",
        ] {
            assert_eq!(made(old), good, "{old:?}");
        }
        assert!(matches!(strict(good.as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_ambiguous_stays_as_it_is() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3, x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 3\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
        ] {
            assert_eq!(made(bad), bad);
            let asked = Asked::default();
            assert!(
                ResponseHead::parse(bad.as_bytes(), &asked).is_err(),
                "{bad:?}"
            );
        }
    }

    proptest! {
        /// What is made strict needs no more of it, and has no bare feed.
        #[test]
        fn strict_is_strict(lines in proptest::collection::vec("[ -~\r]{0,8}|Content-Length: ?[0-9]{1,2}(, ?[0-9])?", 1..6), bare in any::<bool>()) {
            let end = if bare { "\n" } else { "\r\n" };
            let head = format!("HTTP/1.1 200 OK{end}{}{end}{end}", lines.join(end));
            let once = made(&head);
            prop_assert!(once.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
            prop_assert_eq!(made(&once), once);
        }
    }
}
