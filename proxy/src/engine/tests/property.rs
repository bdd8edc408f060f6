//! Random request sequences in random pieces: what is allowed arrives byte for byte.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Kind {
    Get,
    Length(usize),
    Chunked(Vec<usize>),
    Head,
}

fn requests() -> impl Strategy<Value = Vec<(bool, Kind)>> {
    let kind = prop_oneof![
        Just(Kind::Get),
        Just(Kind::Head),
        (0usize..3000).prop_map(Kind::Length),
        proptest::collection::vec(1usize..700, 0..4).prop_map(Kind::Chunked),
    ];
    proptest::collection::vec((proptest::bool::weighted(0.7), kind), 1..8)
}

fn bytes((number, (allowed, kind)): (usize, &(bool, Kind))) -> String {
    let path = if *allowed {
        format!("/ok/{number}")
    } else {
        format!("/denied/{number}")
    };
    let host = "hOST:  h:80 \r\nX-Odd:   spaces  and\ttabs \r\n";
    match kind {
        Kind::Get => format!("GET {path} HTTP/1.1\r\n{host}\r\n"),
        Kind::Head => format!("HEAD {path} HTTP/1.1\r\n{host}\r\n"),
        Kind::Length(length) => {
            // Bodies look like requests, so that a framing error shows.
            let body: String = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
                .chars()
                .cycle()
                .take(*length)
                .collect();
            format!("POST {path} HTTP/1.1\r\ncontent-LENGTH: {length}\r\n{host}\r\n{body}")
        }
        Kind::Chunked(sizes) => {
            let chunks: String = sizes
                .iter()
                .map(|size| {
                    format!(
                        "{size:X};a=\"b\"\r\n{}\r\n",
                        "\r\n0\r\n".chars().cycle().take(*size).collect::<String>()
                    )
                })
                .collect();
            format!(
                "PUT {path} HTTP/1.1\r\n{host}Transfer-Encoding: Chunked\r\n\r\n{chunks}0\r\nTrailing: x\r\n\r\n"
            )
        }
    }
}

async fn run(requests: Vec<(bool, Kind)>, cuts: Vec<usize>) {
    let lab = Lab::new().await;
    let texts: Vec<String> = requests.iter().enumerate().map(bytes).collect();
    let stream: String = texts.concat();
    let mut client = lab.client().await.0;
    let (mut from_proxy, mut to_proxy) = client.split();
    let send = async {
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            to_proxy.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
            rest = after;
        }
    };
    let answer = async {
        if !requests.iter().any(|(allowed, _)| *allowed) {
            return None;
        }
        let mut server = lab.accept().await;
        for (text, (_, kind)) in texts
            .iter()
            .zip(&requests)
            .filter(|(_, (allowed, _))| *allowed)
        {
            server.expect(text).await;
            server
                .send(if matches!(kind, Kind::Head) {
                    &OK[..OK.len() - 2]
                } else {
                    OK
                })
                .await;
        }
        Some(server)
    };
    let read = async {
        let mut expected = String::new();
        for (allowed, kind) in &requests {
            expected += match (allowed, kind) {
                (true, Kind::Head) => &OK[..OK.len() - 2],
                (true, _) => OK,
                (false, Kind::Head) => DENIED.trim_end_matches("Access denied\r\n"),
                (false, _) => DENIED,
            };
        }
        let mut read = vec![0; expected.len()];
        timeout(SOON, from_proxy.read_exact(&mut read))
            .await
            .expect("all answers")
            .unwrap();
        assert_eq!(lossy(&read), expected);
    };
    // Kept open until all is read: the proxy would pass on its end.
    let ((), _server, ()) = tokio::join!(send, answer, read);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn sequences_arrive_unchanged(requests in requests(), cuts in proptest::collection::vec(1usize..2000, 1..6)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(requests, cuts));
    }
}
