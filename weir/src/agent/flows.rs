//! What the kernel and the proxy tell, given to the observer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_abi::event::Event;
use weir_observe::{
    Intake,
    record::{Application, Query, Request, RequestVerdict},
};
use weir_proxy::flow::{L7Flow, Outcome};

use super::check::SelfCheck;

/// How long events gather between two readings.
const GATHER: Duration = Duration::from_millis(20);

/// Reads events until the agent ends.
pub async fn report(events: RingBuf<MapData>, intake: Intake, mut check: SelfCheck) {
    // SAFETY: the ring owns its descriptor and keeps it open and the same as long as it lives.
    let mut events = match unsafe { AsyncFd::register(events) } {
        Ok(events) => events,
        Err(error) => return tracing::error!(%error, "no flows are reported"),
    };
    loop {
        let mut guard = match events.readable_mut().await {
            Ok(guard) => guard,
            Err(error) => return tracing::error!(%error, "flows are no longer reported"),
        };
        while let Some(item) = guard.get_inner_mut().next() {
            if item.len() >= size_of::<Event>() {
                // SAFETY: the ring holds only whole events of this plain type.
                let event = unsafe { std::ptr::read_unaligned(item.as_ptr().cast::<Event>()) };
                check.sample(&event);
                intake.verdict(event);
            }
        }
        guard.clear_ready();
        // The kernel wakes us for the first event after a drained ring only: events that come
        // meanwhile cost no wake-up each.
        tokio::time::sleep(GATHER).await;
    }
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
