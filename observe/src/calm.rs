//! Observing yields to traffic: its threads get what processor time the others leave.

use rustix::process::{Pid, setpriority_process};

/// Niceness of the observer's threads. Against a thread of niceness 0 they get a tenth of the time
/// (`sched_prio_to_weight` in Linux: 110 to 1024). Linux weighs threads of one control group (and,
/// with autogroups, of one session) against each other; between the agent's and the proxy's groups
/// their own weights decide.
const NICE: i32 = 10;

/// Lowers the priority of the calling thread. Where a flood leaves too little time for it, its
/// queue fills, and what does not fit is counted as lost.
pub fn yield_to_traffic() {
    // In Linux a priority is a thread's, named by its own number.
    let thread: Option<Pid> = Some(rustix::thread::gettid());
    if let Err(error) = setpriority_process(thread, NICE) {
        tracing::warn!(%error, "observing has the priority of traffic");
    }
}
