//! Whose word is the first, where anything may be spoken: of many protocols it is the server's (SMTP,
//! MySQL, SSH), and a proxy that waited for a request would wait for ever.

use super::{After, Connection};
use crate::{
    engine::sniff::no_request_line,
    permit::{Ask, Permit},
    wire::{finish::Finish, peer::End},
};

impl Connection {
    /// Connects to the server and waits for whoever speaks first. `None`: the client did, or whatever
    /// is spoken must be asked for first.
    pub(super) async fn first_word(&mut self) -> Option<After> {
        let policy = self.context.policy.get()?;
        if !policy.judge.speaks(self.key.request_flow()).anything {
            return None;
        }
        let (_, permit) = Permit::ask(&policy, &self.key, Ask::Unread);
        if let Err(fault) = self.connect(&permit?).await {
            let (_, record) = self.unread("the server cannot be reached")?;
            self.context.record(record.failed(&fault), self.since);
            return Some(After::Finish(Finish::Reset));
        }
        let mut draining = self.context.draining.clone();
        loop {
            let server = self.server.as_mut()?;
            match self.client.end() {
                Some(End::Reset) => return Some(self.client_reset()),
                // It may still listen: what the server says goes to it.
                Some(End::Eof) if self.client.filled().is_empty() => break,
                Some(End::Eof) => return None,
                None if !self.client.filled().is_empty() => return None,
                None => {}
            }
            if !server.filled().is_empty() {
                break;
            }
            match server.end() {
                Some(End::Reset) => {
                    self.context.counters.upstream_resets.add();
                    return Some(After::Finish(Finish::Reset));
                }
                Some(End::Eof) => return Some(After::Finish(Finish::Mirror)),
                None => {}
            }
            let (mut client, mut server) = (self.client.reader(), server.reader());
            tokio::select! {
                () = client.fill() => {}
                () = server.fill() => {}
                _ = draining.wait_for(|draining| *draining) => return None,
            }
        }
        let (permit, record) = self.unread("the client did not speak first")?;
        Some(self.plain(permit, record).await)
    }

    /// Why a first line is no request, where it need not be one.
    pub(super) fn no_request(&self, held: &[u8]) -> Option<&'static str> {
        no_request_line(held).filter(|_| self.speaks().anything)
    }
}
