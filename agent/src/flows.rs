//! What the kernel tells, given to the observer and the self-check.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use weir_link::proxy::{Application, Disposition, HttpRecord, HttpVersion, L7Record, cut};
use weir_observe::{Intake, calm};
use weir_policy::{
    http::Request,
    l7::{Judge as _, L7Table, RequestFlow},
    model::Protocol,
};
use weir_redirector::{Events, Judged, Requests, Sweeper, Told};

use crate::check::SelfCheck;

/// Gives events to the observer and the self-check until the agent ends.
pub async fn report(events: Events, intake: Intake, mut check: SelfCheck) {
    let error = events
        .read(|told| match told {
            Told::Verdict(event) => {
                check.sample(&event);
                intake.verdict(event);
            }
            Told::Ended(ended) => intake.ended(ended),
        })
        .await;
    tracing::error!(%error, "flows are no longer reported");
}

/// How often the next piece of the connection table is looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// Has the kernel look for flows that have ended, for ever, on a thread that yields to traffic.
///
/// # Errors
/// Where no thread can be started.
pub fn sweep(mut sweeper: Sweeper) -> io::Result<()> {
    let look = move || {
        calm::yield_to_traffic();
        while sweeper
            .turn()
            .inspect_err(|error| tracing::error!(%error, "idle flows are no longer told of"))
            .is_ok()
        {
            std::thread::sleep(SWEEP);
        }
    };
    let thread = std::thread::Builder::new().name("weir-sweep".into());
    thread.spawn(look).map(drop)
}

/// Gives requests that the kernel judged to the observer, as the proxy gives its own, until the agent
/// ends. `tables` says what is in force.
pub async fn report_requests(
    requests: Requests,
    intake: Intake,
    tables: watch::Receiver<Arc<L7Table>>,
) {
    requests
        .read(|gathered| {
            let table = Arc::clone(&tables.borrow());
            let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
            let now = Moment {
                since_boot: since_boot.unwrap_or_default(),
                time: SystemTime::now(),
            };
            let records = gathered.iter().map(|one| record(one, &table, &now));
            intake.requests(records.collect());
        })
        .await;
}

/// One moment by both clocks.
struct Moment {
    since_boot: Duration,
    time: SystemTime,
}

/// The record of a request. Which rule allowed it is found here; where another revision is in force
/// by now, none may.
fn record(judged: &Judged, table: &L7Table, now: &Moment) -> L7Record {
    let peer = match judged.direction {
        weir_policy::model::Direction::Ingress => judged.client.ip(),
        weir_policy::model::Direction::Egress => judged.server.ip(),
    };
    let flow = RequestFlow {
        endpoint: judged.endpoint,
        direction: judged.direction,
        peer,
        protocol: Protocol::Tcp,
        port: judged.server.port(),
    };
    let verdict = table.judge(
        flow,
        &Request {
            method: &judged.method,
            path: Some(&judged.path),
            host: Some(&judged.host),
            headers: &[],
            body: false,
        },
    );
    let (policies, reason) = match verdict.allowed {
        true => (verdict.policies, verdict.reason),
        false => (
            Vec::new(),
            "allowed by rules that are no longer in force".to_owned(),
        ),
    };
    let ago = now
        .since_boot
        .saturating_sub(Duration::from_nanos(judged.at));
    let at = now.time.checked_sub(ago).unwrap_or(now.time);
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    L7Record {
        time_us: at.duration_since(UNIX_EPOCH).map_or(0, micros),
        endpoint: Some(judged.endpoint),
        direction: judged.direction,
        client: judged.client,
        server: judged.server,
        application: Application::Http(HttpRecord {
            method: judged.method.clone(),
            path: cut(&judged.path),
            host: judged.host.clone(),
            version: HttpVersion::Http11,
            headers: Vec::new(),
            status: judged.status,
            grpc_status: None,
        }),
        verdict: Disposition::Allowed,
        policies,
        reason,
        nearest: None,
        latency_us: micros(judged.latency),
    }
}
