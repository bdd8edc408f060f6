use std::{net::SocketAddr, sync::Arc};

use weir_policy::{
    http::{Asked as Looked, Request},
    l7::Speaks,
    model::{Direction, Protocol},
};

use super::*;

/// Allows everything, or nothing.
struct All(bool);

impl Judge for All {
    fn speaks(&self, _: RequestFlow) -> Speaks {
        Speaks {
            anything: self.0,
            ..Speaks::default()
        }
    }

    fn judge_name(&self, _: RequestFlow, _: NameUse, _: Option<&str>) -> RequestVerdict {
        RequestVerdict::new(self.0, Vec::new(), "all")
    }

    fn asked(&self, _: RequestFlow) -> Arc<Looked> {
        Arc::default()
    }

    fn judge(&self, _: RequestFlow, _: &Request<'_>) -> RequestVerdict {
        RequestVerdict::new(self.0, Vec::new(), "all")
    }
}

fn policy(revision: u64, allows: bool) -> Policy {
    Policy {
        revision,
        generation: revision,
        judge: Arc::new(All(allows)),
    }
}

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn ask(policy: &Policy, ask: Ask<'_>) -> Option<Permit> {
    let end: SocketAddr = ([127, 0, 0, 1], 1).into();
    let key = FlowKey {
        endpoint: 1,
        direction: Direction::Ingress,
        client: end,
        server: end,
        protocol: Protocol::Tcp,
        mark: 0,
    };
    let (verdict, permit) = Permit::ask(policy, &key, ask);
    assert_eq!(verdict.allowed, permit.is_some());
    permit
}

#[test]
fn there_is_a_permit_exactly_where_the_verdict_allows() {
    let head = RequestHead::parse(HEAD).unwrap();
    let request = Ask::Request {
        head: &head,
        body: false,
    };
    for asked in [request, Ask::Tls(None), Ask::Query("a"), Ask::Unread] {
        assert!(ask(&policy(3, false), asked).is_none(), "{asked:?}");
        let permit = ask(&policy(3, true), asked).expect("a permit");
        assert_eq!(permit.revision(), 3);
    }
}

#[test]
fn a_tunnel_is_judged_again_by_what_it_asked() {
    let head = RequestHead::parse(HEAD).unwrap();
    let body = false;
    let mut request = ask(&policy(1, true), Ask::Request { head: &head, body }).unwrap();
    request.keep(HEAD, false, false);
    let tls = ask(&policy(1, true), Ask::Tls(Some("a"))).unwrap();
    let unread = ask(&policy(1, true), Ask::Unread).unwrap();
    for permit in [request, tls, unread] {
        let permit = permit.renew(&policy(2, true)).1.expect("a permit");
        assert_eq!(permit.revision(), 2);
        assert!(permit.renew(&policy(3, false)).1.is_none());
    }
}

#[test]
fn what_ends_with_its_answer_is_no_tunnel() {
    let query = ask(&policy(1, true), Ask::Query("a")).unwrap();
    assert!(query.renew(&policy(1, true)).1.is_none());
}
