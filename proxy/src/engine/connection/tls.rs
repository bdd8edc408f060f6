//! TLS connections: judged by the server name of their first message, then passed on unread.

use tokio::time;
use weir_link::proxy::{Application, Disposition, L7Record, cut};

use super::{After, Connection};
use crate::{
    permit::{Ask, Permit},
    tls::{Hello, HelloReader},
    wire::{finish::Finish, peer::End},
};

impl Connection {
    /// Serves a connection that begins like TLS.
    pub(super) async fn tls(&mut self) -> After {
        let deadline = time::Instant::now() + self.context.limits.head_timeout;
        let mut hello = HelloReader::default();
        let name = loop {
            match hello.read(self.client.filled()) {
                Hello::Complete(name) => break name,
                Hello::Bad(reason) => return self.no_tls(reason).await,
                Hello::Partial if self.client.is_full() => {
                    return self.no_tls("its first message has too many records").await;
                }
                Hello::Partial => {}
            }
            match self.client.end() {
                Some(End::Reset) => return self.client_reset(),
                Some(End::Eof) => {
                    let reason = "the client closed within its first message";
                    return self.no_tls(reason).await;
                }
                None => {}
            }
            let mut reader = self.client.reader();
            tokio::select! {
                () = reader.fill() => {}
                () = time::sleep_until(deadline) => {
                    return self.no_tls("the client's first message took too long").await;
                }
            }
        };
        let Some(policy) = self.context.policy.get() else {
            return After::Finish(Finish::Reset);
        };
        let (verdict, permit) = Permit::ask(&policy, &self.key, Ask::Tls(name.as_deref()));
        let record = L7Record {
            application: Application::Tls {
                name: cut(&name.unwrap_or_default()),
            },
            nearest: verdict.nearest_text(),
            policies: verdict.policies,
            ..self.key.record(
                Disposition::of(verdict.allowed, verdict.audit),
                verdict.reason,
            )
        };
        if verdict.audit {
            self.context.counters.audited.add();
        }
        let Some(permit) = permit else {
            self.context.counters.tls_denied.add();
            self.context.record(record, self.since);
            return After::Finish(Finish::Reset);
        };
        self.context.counters.tls_allowed.add();
        self.plain(permit, record).await
    }

    /// A first message that cannot be judged.
    async fn no_tls(&mut self, reason: &str) -> After {
        if let Some((permit, record)) = self.unread(reason) {
            return self.plain(permit, record).await;
        }
        self.context.counters.tls_denied.add();
        let record = self
            .key
            .record(Disposition::Refused, format!("not TLS: {reason}"));
        self.context.record(record, self.since);
        After::Finish(Finish::Reset)
    }

    /// Passes everything on, unread, from the first byte held.
    pub(super) async fn plain(&mut self, permit: Permit, record: L7Record) -> After {
        if let Err(fault) = self.connect(&permit).await {
            self.context.record(record.failed(&fault), self.since);
            return After::Finish(Finish::Reset);
        }
        self.context.record(record.clone(), self.since);
        self.tunnel(permit, record).await
    }
}
