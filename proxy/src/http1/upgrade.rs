//! What a connection may become (RFC 9110 section 7.8): nothing that carries requests which no rule
//! would judge. Such protocols are taken out of what the server is offered.

use weir_policy::http::HeaderEdit;

use super::request::tokens;

/// The field that goes with an offer of HTTP/2 (RFC 7540 section 3.2.1).
const SETTINGS: &str = "HTTP2-Settings";

/// Whether a protocol (lower case) is HTTP of another version, or hides it.
pub fn carries_requests(protocol: &str) -> bool {
    let family = protocol.split('/').next().unwrap_or_default();
    matches!(family, "h2c" | "h2" | "h3" | "http" | "tls")
}

/// The changes that take protocols with requests out of an offer; none where it has none.
pub(super) fn withdrawal(fields: &[(&str, &[u8])]) -> Vec<HeaderEdit> {
    let offered = |offer: &&str| !carries_requests(&offer.to_ascii_lowercase());
    let settings = fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(SETTINGS));
    if !settings && tokens(fields, "upgrade").all(|offer| offered(&offer)) {
        return Vec::new();
    }
    let kept: Vec<&str> = tokens(fields, "upgrade").filter(offered).collect();
    let options: Vec<&str> = tokens(fields, "connection")
        .filter(|option| !option.eq_ignore_ascii_case(SETTINGS))
        .filter(|option| !(kept.is_empty() && option.eq_ignore_ascii_case("upgrade")))
        .collect();
    let mut edits = Vec::new();
    for (name, members) in [
        ("Upgrade", &kept),
        ("Connection", &options),
        (SETTINGS, &Vec::new()),
    ] {
        edits.push(HeaderEdit::Remove(name.to_owned()));
        if !members.is_empty() {
            edits.push(HeaderEdit::Append {
                name: name.to_owned(),
                value: members.join(", "),
            });
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::rewrite::rewrite;

    fn changed(fields: &[(&str, &[u8])]) -> String {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        for (name, value) in fields {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        String::from_utf8(rewrite(&head, &withdrawal(fields))).expect("text")
    }

    #[test]
    fn protocols_with_requests_are_not_offered() {
        let settings = ("HTTP2-Settings", &b"AAMAAABkAAQAoAAAAAIAAAAA"[..]);
        let fields = [
            ("Host", &b"h"[..]),
            ("Connection", b"Upgrade, HTTP2-Settings"),
            ("Upgrade", b"h2c"),
            settings,
        ];
        assert_eq!(changed(&fields), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let fields = [
            ("Upgrade", &b"TLS/1.2, websocket"[..]),
            ("connection", b"keep-alive, upgrade"),
            ("upgrade", b"HTTP/2.0"),
        ];
        assert_eq!(
            changed(&fields),
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, upgrade\r\n\r\n"
        );
        assert_eq!(changed(&[settings]), "GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn other_offers_stay_as_they_are() {
        let fields = [
            ("Upgrade", &b"websocket"[..]),
            ("Connection", b"Upgrade, x"),
        ];
        assert_eq!(withdrawal(&fields), []);
        assert_eq!(withdrawal(&[]), []);
    }
}
