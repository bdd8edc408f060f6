//! TLS connections: judged by the server name of their first message, then passed on unread.

use std::io::Cursor;

use rustls::server::Acceptor;
use tokio::time;
use weir_policy::http::NameUse;

use super::{After, Connection};
use crate::{
    engine::{finish::Finish, peer::End},
    flow::{L7Flow, Outcome},
};

/// What is known of a TLS client's first message.
#[derive(Debug, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    Partial,
    /// It is complete, with the server name if it has one (RFC 6066, 3).
    Complete(Option<String>),
    /// It is malformed, and why.
    Bad(String),
}

impl Connection {
    /// Serves a connection that begins like TLS.
    pub(super) async fn tls(&mut self) -> After {
        let deadline = time::Instant::now() + self.context.limits.head_timeout;
        let name = loop {
            match read(self.client.filled()) {
                Hello::Complete(name) => break name,
                Hello::Bad(reason) => return self.no_tls(&reason),
                Hello::Partial => {}
            }
            match self.client.end() {
                Some(End::Reset) => return self.client_reset(),
                Some(End::Eof) => return self.no_tls("the client closed within its first message"),
                None => {}
            }
            let mut reader = self.client.reader();
            tokio::select! {
                () = reader.fill() => {}
                () = time::sleep_until(deadline) => {
                    return self.no_tls("the client's first message took too long");
                }
            }
        };
        let Some(policy) = self.context.policy.get() else {
            return After::Finish(Finish::Reset);
        };
        let verdict = policy.judge_name(self.key.request_flow(), NameUse::Tls, name.as_deref());
        let record = L7Flow {
            method: "TLS".into(),
            host: name.unwrap_or_default(),
            policies: verdict.policies,
            ..self
                .key
                .record(Outcome::of(verdict.allowed, verdict.audit), verdict.reason)
        };
        if verdict.audit {
            self.context.counters.audited.add();
        }
        if !verdict.allowed {
            self.context.counters.tls_denied.add();
            self.context.record(record, self.since);
            return After::Finish(Finish::Reset);
        }
        self.context.counters.tls_allowed.add();
        self.plain(record).await
    }

    fn no_tls(&mut self, reason: &str) -> After {
        self.context.counters.tls_denied.add();
        let record = self
            .key
            .record(Outcome::Refused, format!("not TLS: {reason}"));
        self.context.record(record, self.since);
        After::Finish(Finish::Reset)
    }

    /// Passes everything on, unread, from the first byte held.
    pub(super) async fn plain(&mut self, record: L7Flow) -> After {
        if let Err(fault) = self.connect().await {
            self.context.record(record.failed(&fault), self.since);
            return After::Finish(Finish::Reset);
        }
        self.context.record(record, self.since);
        self.tunnel().await
    }
}

/// Reads a client's first message as far as it is there.
pub fn read(bytes: &[u8]) -> Hello {
    let mut acceptor = Acceptor::default();
    let mut rest = Cursor::new(bytes);
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Hello::Complete(name);
            }
            Ok(None) => {}
            Err((error, _)) => return Hello::Bad(error.to_string()),
        }
        match acceptor.read_tls(&mut rest) {
            Ok(0) => return Hello::Partial,
            Ok(_) => {}
            Err(error) => return Hello::Bad(error.to_string()),
        }
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello in one record (RFC 8446, 4.1.2), as small as servers take it.
    pub fn hello(name: Option<&str>) -> Vec<u8> {
        let mut extensions = vec![
            0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ecdsa_secp256r1_sha256
            0, 43, 0, 3, 2, 3, 4, // supported_versions: 1.3
            0, 10, 0, 4, 0, 2, 0, 29, // supported_groups: x25519
        ];
        if let Some(name) = name {
            let length = name.len() as u16;
            extensions.extend([0, 0]);
            extensions.extend((length + 5).to_be_bytes());
            extensions.extend((length + 3).to_be_bytes());
            extensions.push(0);
            extensions.extend(length.to_be_bytes());
            extensions.extend(name.as_bytes());
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        let mut record = vec![0x16, 3, 1];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    #[test]
    fn the_name_is_read_wherever_the_message_is_split() {
        let whole = hello(Some("a.example"));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Hello::Partial, "{length} bytes");
        }
        assert_eq!(read(&whole), Hello::Complete(Some("a.example".into())));
        assert_eq!(read(&hello(None)), Hello::Complete(None));
        assert!(matches!(read(b"\x16GET / HTTP/1.1\r\n"), Hello::Bad(_)));
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
    }
}
