//! What the kernel and the proxy tell, given to the observer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_link::proxy::{L7Flow, Outcome};
use weir_observe::{
    Intake,
    record::{Application, Query, Request, RequestVerdict},
};
use weir_redirector::Events;

use crate::check::SelfCheck;

/// Gives events to the observer and the self-check until the agent ends.
pub async fn report(events: Events, intake: Intake, mut check: SelfCheck) {
    let error = events
        .read(|event| {
            check.sample(&event);
            intake.verdict(event);
        })
        .await;
    tracing::error!(%error, "flows are no longer reported");
}

/// A record of the proxy as the observer takes it.
pub fn request(flow: L7Flow) -> Request {
    let verdict = match flow.verdict {
        Outcome::Allowed => RequestVerdict::Allowed,
        Outcome::Audited => RequestVerdict::Audited,
        Outcome::Denied | Outcome::Refused => RequestVerdict::Denied,
        Outcome::Error => RequestVerdict::Error,
    };
    // A request may have any method, `DNS` and `TLS` too: it has a path then, and no query.
    let application = match (flow.method.as_str(), flow.dns) {
        (_, Some(dns)) => Application::Dns(Query {
            name: flow.host,
            tcp: dns.tcp,
            types: dns.query_types,
            code: dns.code,
            addresses: dns.addresses,
            ttl: dns.ttl,
            aliases: dns.aliases,
            answer_types: dns.answer_types,
        }),
        ("TLS", None) if flow.path.is_empty() => Application::Tls { name: flow.host },
        ("", None) => Application::Unknown,
        (_, None) => Application::Http {
            method: flow.method,
            path: flow.path,
            host: flow.host,
            version: format!("HTTP/1.{}", flow.minor_version),
            headers: flow.headers,
            status: flow.status,
        },
    };
    Request {
        time: UNIX_EPOCH
            .checked_add(Duration::from_micros(flow.time_us))
            .unwrap_or_else(SystemTime::now),
        endpoint: flow.endpoint,
        direction: flow.direction,
        client: flow.client,
        server: flow.server,
        application,
        verdict,
        policies: flow.policies,
        reason: flow.reason,
        latency_ns: flow.latency_us.saturating_mul(1000),
    }
}
