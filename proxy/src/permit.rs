//! Proof of a verdict: whatever opens a way to a server takes one.
//!
//! A [`Permit`] comes of a verdict that allows, and of nothing else. It says by which revision and,
//! where the connection may outlive that, what was asked: so it can be judged again.

use std::sync::Arc;

use weir_policy::http::judge_every_reading;
use weir_policy::l7::{Judge, NameUse, RequestFlow, RequestVerdict};

use crate::{
    context::Policy, flow::FlowKey, http1::request::RequestHead, http2::request::Head, judge::judge,
};

/// What is asked on a flow.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// A request.
    Request {
        /// Its head.
        head: &'a RequestHead<'a>,
        /// Whether the head announces a body.
        body: bool,
    },
    /// A request of HTTP/2.
    Stream(&'a Head),
    /// A TLS connection to a server of this name; `None`: the client names none.
    Tls(Option<&'a str>),
    /// A DNS query for this name.
    Query(&'a str),
    /// Anything: bytes that nobody looks at.
    Unread,
}

/// A verdict allowed this flow to reach its server.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    key: FlowKey,
    revision: u64,
    generation: u64,
    audit: bool,
    asked: Asked,
}

/// What was asked, as long as it may have to be judged again.
#[derive(Debug)]
enum Asked {
    /// A request or a query that ends with its answer.
    Once,
    /// A request whose connection may become a tunnel.
    Request(Box<Kept>),
    /// A stream, which may last.
    Stream(Arc<Head>),
    Tls(Option<Box<str>>),
    Unread,
}

/// A request that was judged.
#[derive(Debug)]
struct Kept {
    head: Box<[u8]>,
    body: bool,
    unjudged: bool,
}

// === impl Ask ===

impl Ask<'_> {
    fn verdict(self, policy: &dyn Judge, flow: RequestFlow) -> RequestVerdict {
        match self {
            Self::Request { head, body } => judge(policy, flow, head, body),
            Self::Stream(head) => head.show(|request| {
                judge_every_reading(request, |request| policy.judge(flow, request))
            }),
            Self::Tls(name) => policy.judge_name(flow, NameUse::Tls, name),
            Self::Query(name) => policy.judge_name(flow, NameUse::Dns, Some(name)),
            Self::Unread => unread(policy, flow),
        }
    }
}

fn unread(policy: &dyn Judge, flow: RequestFlow) -> RequestVerdict {
    let speaks = policy.speaks(flow);
    if speaks.anything {
        return RequestVerdict {
            audit: !speaks.watched,
            ..RequestVerdict::new(true, Vec::new(), "passed on unread")
        };
    }
    let reason = "what was passed on unread is for rules to judge now";
    RequestVerdict::new(false, Vec::new(), reason)
}

// === impl Permit ===

impl Permit {
    /// Judges what is asked. There is a permit exactly where the verdict allows.
    pub fn ask(policy: &Policy, key: &FlowKey, ask: Ask<'_>) -> (RequestVerdict, Option<Self>) {
        let verdict = ask.verdict(&*policy.judge, key.request_flow());
        let permit = verdict.allowed.then(|| Self {
            key: *key,
            revision: policy.revision,
            generation: policy.generation,
            audit: verdict.audit,
            asked: match ask {
                Ask::Request { .. } | Ask::Stream(_) | Ask::Query(_) => Asked::Once,
                Ask::Tls(name) => Asked::Tls(name.map(Box::from)),
                Ask::Unread => Asked::Unread,
            },
        });
        (verdict, permit)
    }

    /// Keeps the request, whose connection may become a tunnel. `unjudged`: parts of it passed that
    /// only an audit mode lets pass.
    pub fn keep(&mut self, head: &[u8], body: bool, unjudged: bool) {
        self.asked = Asked::Request(Box::new(Kept {
            head: head.into(),
            body,
            unjudged,
        }));
    }

    /// Keeps the request of a stream, which is judged again as long as it is open.
    pub fn of_stream(mut self, head: Arc<Head>) -> Self {
        self.asked = Asked::Stream(head);
        self
    }

    /// Judges again what was asked, by another snapshot.
    pub fn renew(self, policy: &Policy) -> (RequestVerdict, Option<Self>) {
        let verdict = self.asked.verdict(&*policy.judge, self.key.request_flow());
        let permit = verdict.allowed.then_some(Self {
            revision: policy.revision,
            generation: policy.generation,
            audit: verdict.audit,
            ..self
        });
        (verdict, permit)
    }

    /// Whose flow it is.
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// The revision of the snapshot that allowed it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Which of the worker's policies allowed it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it holds only because policies are in audit mode.
    pub fn is_audited(&self) -> bool {
        self.audit
    }
}

// === impl Asked ===

impl Asked {
    fn verdict(&self, policy: &dyn Judge, flow: RequestFlow) -> RequestVerdict {
        let denied = |reason: &str| RequestVerdict::new(false, Vec::new(), reason);
        match self {
            Self::Once => denied("what was asked is over"),
            Self::Stream(head) => Ask::Stream(head).verdict(policy, flow),
            Self::Tls(name) => Ask::Tls(name.as_deref()).verdict(policy, flow),
            Self::Unread => unread(policy, flow),
            Self::Request(kept) if kept.unjudged && !policy.speaks(flow).anything => {
                denied("only audit mode let the request pass as it was")
            }
            Self::Request(kept) => match RequestHead::parse(&kept.head) {
                Ok(head) => {
                    let (head, body) = (&head, kept.body);
                    Ask::Request { head, body }.verdict(policy, flow)
                }
                Err(refusal) => denied(refusal.reason()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
