//! Connections whose bytes pass unread: after an upgrade or CONNECT, TLS, and what audit mode lets
//! through. Their verdict is given again at each snapshot, and one that denies ends them.

use std::{pin::pin, time::Instant};

use weir_link::proxy::{Disposition, L7Record};

use crate::{
    context::{Context, Policy},
    permit::Permit,
    wire::{
        finish::Finish,
        peer::{End, Gone, Peer, Reader, Writer},
    },
};

/// Passes bytes between both ends until both have closed, one is reset, or the policy in force no
/// longer allows it. `record` is what was told when it began.
pub async fn tunnel(
    context: &Context,
    mut permit: Permit,
    record: L7Record,
    client: &mut Peer,
    server: &mut Peer,
) -> Finish {
    let mut policies = context.policy.follow();
    // Since the verdict a snapshot may have come that nobody followed yet.
    policies.mark_changed();
    let mut pipe = pin!(pipe(client, server));
    loop {
        // INVARIANT: a snapshot is looked at before any byte is moved, in the thread that puts it
        // in force. So when that is acknowledged, nothing passes any more that it denies.
        tokio::select! {
            biased;
            changed = policies.changed() => {
                let policy = changed.ok().and_then(|()| policies.borrow_and_update().clone());
                permit = match policy.and_then(|policy| again(context, permit, &policy, &record)) {
                    Some(permit) => permit,
                    None => return Finish::Reset,
                };
            }
            graceful = &mut pipe => {
                return if graceful { Finish::Mirror } else { Finish::Reset };
            }
        }
    }
}

/// Judges by a new policy. Tells what is denied now, and what only audit mode lets go on.
pub fn again(
    context: &Context,
    permit: Permit,
    policy: &Policy,
    record: &L7Record,
) -> Option<Permit> {
    let (since, audited) = (permit.revision(), permit.is_audited());
    let (verdict, renewed) = permit.renew(policy);
    let outcome = Disposition::of(verdict.allowed, verdict.audit);
    match outcome {
        Disposition::Denied => context.counters.tunnels_ended.add(),
        Disposition::Audited if !audited => context.counters.audited.add(),
        _ => return renewed,
    }
    let record = L7Record {
        verdict: outcome,
        nearest: verdict.nearest_text(),
        policies: verdict.policies,
        reason: format!(
            "{}; the connection was open, allowed by revision {since}",
            verdict.reason
        ),
        ..record.clone()
    };
    context.record(record.answered(None), Instant::now());
    renewed
}

/// A plain pipe between both ends until both have closed. `false` if one was reset.
async fn pipe(client: &mut Peer, server: &mut Peer) -> bool {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::try_join!(
        copy(&mut from_client, &mut to_server),
        copy(&mut from_server, &mut to_client),
    )
    .is_ok()
}

async fn copy(from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<(), Gone> {
    loop {
        let end = from.end();
        to.send(from.filled(), end == Some(End::Eof)).await?;
        from.discard();
        match end {
            Some(End::Eof) => {
                to.end();
                return Ok(());
            }
            Some(End::Reset) => return Err(Gone),
            None => from.fill().await,
        }
    }
}
