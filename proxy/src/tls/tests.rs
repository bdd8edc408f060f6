use proptest::prelude::*;

use super::*;

/// Cipher suites, compression, and the extensions that clients of today always send.
const MODERN: &[(u16, &[u8])] = &[
    (13, &[0, 2, 4, 3]),  // signature_algorithms: ecdsa_secp256r1_sha256
    (43, &[2, 3, 4]),     // supported_versions: 1.3
    (10, &[0, 2, 0, 29]), // supported_groups: x25519
];

fn vector(width: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[4 - width..], content].concat()
}

fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|(kind, name)| [vec![*kind], vector(2, name)].concat())
        .collect();
    vector(2, &list)
}

/// A ClientHello message with these extensions; `None`: with no room for any.
fn message(extensions: Option<&[(u16, &[u8])]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    if let Some(extensions) = extensions {
        let all: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &vector(2, content)].concat())
            .collect();
        body.extend(vector(2, &all));
    }
    [vec![1], vector(3, &body)].concat()
}

/// The message in records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|piece| [&[22, 3, 1][..], &vector(2, piece)].concat())
        .collect()
}

/// A ClientHello in one record (RFC 8446, 4.1.2), as small as servers take it.
pub(crate) fn hello(name: Option<&str>) -> Vec<u8> {
    let content = name.map(|name| names(&[(0, name.as_bytes())]));
    let mut extensions = MODERN.to_vec();
    if let Some(content) = &content {
        extensions.push((0, content));
    }
    records(&message(Some(&extensions)), MAX_RECORD)
}

fn of(extensions: &[(u16, &[u8])]) -> Hello {
    read(&records(&message(Some(extensions)), MAX_RECORD))
}

fn named(name: &str) -> Hello {
    Hello::Complete(Some(name.to_owned()))
}

#[test]
fn the_name_is_read_wherever_the_message_is_split() {
    let message = &hello(Some("a.example"))[5..];
    for size in 1..=message.len() {
        let whole = records(message, size);
        let mut reader = HelloReader::default();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Hello::Partial, "{length} bytes");
            assert_eq!(reader.read(&whole[..length]), Hello::Partial);
        }
        assert_eq!(reader.read(&whole), named("a.example"), "records of {size}");
        // What follows is for the server: early data, for one.
        let more = [&whole[..], &[23, 3, 3, 0, 1, 0]].concat();
        assert_eq!(read(&more), named("a.example"));
    }
}

#[test]
fn the_name_decides_and_nothing_else() {
    let name = names(&[(0, b"Old_1.example")]);
    // No signature_algorithms, no supported_groups, and what nobody knows.
    assert_eq!(of(&[(0, &name)]), named("Old_1.example"));
    let strange: &[(u16, &[u8])] = &[(13, b""), (10, b"x"), (0x0a0a, b"grease"), (0, &name)];
    assert_eq!(of(strange), named("Old_1.example"));
    // The outer name of Encrypted ClientHello: the only one on the wire.
    assert_eq!(
        of(&[(0xfe0d, &[0; 200]), (0, &name)]),
        named("Old_1.example")
    );
    for version in [[3, 0], [3, 1], [3, 2], [3, 3]] {
        let mut old = hello(Some("a.example"));
        old[1..3].copy_from_slice(&version);
        old[9..11].copy_from_slice(&version);
        assert_eq!(read(&old), named("a.example"), "{version:?}");
    }
    assert_eq!(read(&hello(None)), Hello::Complete(None));
    assert_eq!(of(&[]), Hello::Complete(None));
    let ancient = records(&message(None), MAX_RECORD);
    assert_eq!(read(&ancient), Hello::Complete(None));
}

#[test]
fn a_name_that_is_not_certain_is_none() {
    let long = [b'a'; 64];
    let many = [b"a.".repeat(127), b"ab".to_vec()].concat();
    for (name, why) in [
        (&b""[..], "its server name is not a host name"),
        (b"a.example.", "its server name ends with a dot"),
        (b".", "its server name ends with a dot"),
        (b"a.example\0.evil", "its server name is not a host name"),
        (b"a..example", "its server name is not a host name"),
        (b"*.example", "its server name is not a host name"),
        (b"a.example:443", "its server name is not a host name"),
        (b"a example", "its server name is not a host name"),
        (b"a\xff", "its server name is not ASCII"),
        (
            "\u{e9}.example".as_bytes(),
            "its server name is not a host name",
        ),
        (b"10.0.0.1", "its server name is an address"),
        (&long, "its server name is not a host name"),
        (&many, "its server name is not a host name"),
    ] {
        assert_eq!(
            of(&[(0, &names(&[(0, name)]))]),
            Hello::Bad(why),
            "{}",
            name.escape_ascii()
        );
    }
    let two = names(&[(0, b"a.example"), (0, b"b.example")]);
    assert_eq!(
        of(&[(0, &two)]),
        Hello::Bad("it has more than one server name")
    );
    let other = names(&[(1, b"a.example")]);
    assert_eq!(
        of(&[(0, &other)]),
        Hello::Bad("its server name is of an unknown type")
    );
    let one = names(&[(0, b"a.example")]);
    assert_eq!(
        of(&[(0, &one), (0, &one)]),
        Hello::Bad("an extension comes twice")
    );
    assert_eq!(
        of(&[(7, b""), (7, b"")]),
        Hello::Bad("an extension comes twice")
    );
    for list in [&b""[..], b"\0", b"\0\0", b"\0\x01\0", b"\0\x03\0\0\0\0"] {
        assert!(matches!(of(&[(0, list)]), Hello::Bad(_)), "{list:?}");
    }
}

#[test]
fn framing_is_strict_and_bounded() {
    let good = hello(Some("a.example"));
    let bad = |bytes: &[u8]| match read(bytes) {
        Hello::Bad(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        bad(b"\x16GET / HTTP/1.1\r\n"),
        "its record has no version of TLS"
    );
    assert_eq!(bad(&[22, 3, 1, 0, 0]), "its record is empty or too long");
    assert_eq!(bad(&[22, 3, 1, 0x40, 1]), "its record is empty or too long");
    assert_eq!(
        bad(&[22, 3, 1, 0, 1, 2]),
        "its first message is no ClientHello"
    );
    let cut = records(&good[5..], 20);
    let other = [&cut[..25], &[21, 3, 1, 0, 2, 1, 0]].concat();
    assert_eq!(
        bad(&other),
        "another record comes before the end of the first message"
    );
    let mut followed = good[5..].to_vec();
    followed.push(1);
    assert_eq!(
        bad(&records(&followed, MAX_RECORD)),
        "bytes follow the first message in its record"
    );
    // The length that a message claims is believed only so far, and nothing is kept beyond it.
    assert_eq!(
        bad(&[22, 3, 1, 0, 4, 1, 0, 0x80, 0]),
        "its first message is too long"
    );
    let padding = vec![0; MAX_HELLO - 200];
    let name = names(&[(0, b"a.example")]);
    let large = message(Some(&[(21, &padding), (0, &name)]));
    assert!(large.len() < MAX_HELLO);
    assert_eq!(read(&records(&large, MAX_RECORD)), named("a.example"));
    // Every length that is wrong by one is noticed.
    for at in 0..good.len() {
        for change in [1u8, 255] {
            let mut changed = good.clone();
            changed[at] = changed[at].wrapping_add(change);
            if let Hello::Complete(Some(name)) = read(&changed) {
                assert_eq!(name.len(), "a.example".len(), "byte {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn anything_is_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let _any = read(&bytes);
        let mut changed = hello(Some("a.example"));
        let at = at.index(changed.len());
        changed[at] = byte;
        let _any = read(&changed);
    }

    /// In pieces of any size it comes to the same.
    #[test]
    fn pieces_do_not_matter(
        name in "[a-z.]{0,12}",
        size in 1usize..80,
        step in 1usize..50,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = records(&hello(Some(&name))[5..], size);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let whole = read(&bytes);
        let mut reader = HelloReader::default();
        let mut end = 0;
        let pieces = loop {
            match reader.read(&bytes[..end]) {
                Hello::Partial if end < bytes.len() => end = (end + step).min(bytes.len()),
                found => break found,
            }
        };
        prop_assert_eq!(pieces, whole);
    }
}
