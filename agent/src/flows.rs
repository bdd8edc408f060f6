//! What the kernel tells, given to the observer and the self-check.

use weir_observe::Intake;
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
