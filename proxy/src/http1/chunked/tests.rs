use proptest::prelude::*;

use super::*;

fn whole(input: &[u8]) -> Result<(usize, bool), Refusal> {
    let mut decoder = ChunkDecoder::default();
    let read = decoder.scan(input)?;
    Ok((read, decoder.is_done()))
}

#[test]
fn complete_bodies() {
    for good in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n000\r\n\r\n",
        "5;a=b;c=\"d e\\\"f\";g\r\nhello\r\n0;x=y\r\n\r\n",
        "A\r\n0123456789\r\n1\r\n\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
    ] {
        assert_eq!(whole(good.as_bytes()), Ok((good.len(), true)), "{good:?}");
        let followed = format!("{good}GET /");
        assert_eq!(
            whole(followed.as_bytes()),
            Ok((good.len(), true)),
            "{good:?}"
        );
    }
}

#[test]
fn every_split_reads_the_same() {
    let body = b"5;a=\"b\"\r\nhello\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
    for split in 0..body.len() {
        let mut decoder = ChunkDecoder::default();
        let read = decoder.scan(&body[..split]).unwrap();
        let more = decoder.scan(&body[read..]).unwrap();
        assert_eq!(
            (read + more, decoder.is_done()),
            (body.len(), true),
            "split at {split}"
        );
    }
}

#[test]
fn malformed_bodies() {
    use Refusal::*;
    for (bad, why) in [
        ("\r\n", ChunkSize),
        ("x\r\n", ChunkSize),
        ("0x5\r\nhello\r\n", ChunkSize),
        ("+5\r\n", ChunkSize),
        ("-5\r\n", ChunkSize),
        (" 5\r\n", ChunkSize),
        ("5 \r\n", ChunkSize),
        ("5 ;a\r\n", ChunkSize),
        ("5\nhello", ChunkSize),
        ("5\rhello\r\n", ChunkSize),
        ("FFFFFFFFFFFFFFFF\r\n", ChunkSize),
        ("10000000000000000\r\n", ChunkSize),
        ("5;\r\n", ChunkExtension),
        ("5;a=\r\n", ChunkExtension),
        ("5; a\r\n", ChunkExtension),
        ("5;a b\r\n", ChunkExtension),
        ("5;a=\"b\r\n", ChunkExtension),
        ("5;a=\"b\"c\r\n", ChunkExtension),
        ("5\r\nhelloX", ChunkEnd),
        ("5\r\nhello\rX", ChunkEnd),
        ("5\r\nhello\n", ChunkEnd),
        ("0\r\nbad\r\n\r\n", Trailer),
        ("0\r\nX : y\r\n\r\n", Trailer),
        ("0\r\n X: y\r\n\r\n", Trailer),
        ("0\r\nX: y\n\r\n", Trailer),
        ("0\r\nX: \0\r\n\r\n", Trailer),
        ("0\r\nContent-Length: 1\r\n\r\n", Trailer),
        ("0\r\nTransfer_Encoding: chunked\r\n\r\n", Trailer),
        ("0\r\nHOST: a\r\n\r\n", Trailer),
    ] {
        assert_eq!(whole(bad.as_bytes()), Err(why), "{bad:?}");
    }
}

#[test]
fn lines_are_bounded() {
    let long = format!("5;{}\r\n", "a".repeat(MAX_CHUNK_HEAD));
    assert_eq!(whole(long.as_bytes()), Err(Refusal::ChunkExtension));
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(MAX_TRAILERS / 6 + 1));
    assert_eq!(whole(many.as_bytes()), Err(Refusal::Trailer));
    let endless = format!("0\r\nX: {}", "y".repeat(MAX_TRAILERS));
    assert_eq!(whole(endless.as_bytes()), Err(Refusal::Trailer));
}

#[test]
fn no_part_of_a_line_is_released() {
    assert_eq!(whole(b"5;a"), Ok((0, false)));
    assert_eq!(whole(b"5\r\nhello\r\n0\r\nX: y\r\n"), Ok((10, false)));
    assert_eq!(whole(b"5\r\nhello\r"), Ok((8, false)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_nor_overrun(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok((read, _)) = whole(&input) {
            prop_assert!(read <= input.len());
        }
    }

    #[test]
    fn chunk_like_bytes_never_panic(input in "[0-9a-f]{1,3}(;[a-z=\"]{0,5})?\r?\n[a-z\r\n]{0,20}(0\r\n)?([A-Z:]{0,5}\r\n)?\r\n") {
        let mut decoder = ChunkDecoder::default();
        let mut read = 0;
        for end in 0..=input.len() {
            match decoder.scan(&input.as_bytes()[read..end]) {
                Ok(more) => read += more,
                Err(_) => {
                    // What is refused byte by byte is refused in one piece, and the other way round.
                    prop_assert!(whole(input.as_bytes()).is_err());
                    return Ok(());
                }
            }
        }
        prop_assert_eq!(whole(input.as_bytes()), Ok((read, decoder.is_done())));
    }
}
