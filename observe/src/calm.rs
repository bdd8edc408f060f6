//! Observing yields to traffic: its threads get what processor time the others leave.

use rustix::process::{Pid, setpriority_process};

/// Niceness of the observer's threads. With both at work, a thread of the proxy's gets nine times
/// the time of one of these (`sched_prio_to_weight` in Linux: 1024 to 110).
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
