//! Processes that outlive the command that started them, known by pid and start time together.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a process may take to end after SIGTERM, and then after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process, and proof that its pid was not given to another one since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks between boot and its start.
    start_time: u64,
}

// === impl Process ===

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        let (start_time, _) = stat(pid)?;
        Some(Self { pid, start_time })
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        // Only the parent can reap; from any other process this does nothing.
        if let Ok(_) | Err(Errno::ECHILD) =
            waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG))
        {}
        stat(self.pid)
            .is_some_and(|(start_time, state)| start_time == self.start_time && state != 'Z')
    }

    fn signal(self, signal: Signal) -> Result<()> {
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send {signal} to process {}", self.pid))
            }
        }
    }
}

/// From now on Ctrl-C is for the commands of this process, which share its terminal, and not for it.
pub fn outlive_interrupts() -> Result<()> {
    extern "C" fn stay(_: i32) {}
    // SAFETY: the handler does nothing.
    unsafe { signal(Signal::SIGINT, SigHandler::Handler(stay)) }.context("cannot handle Ctrl-C")?;
    Ok(())
}

/// Ends processes: asks first, then kills, and waits until they are gone.
pub fn end(processes: &[Process]) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for process in processes.iter().filter(|process| process.is_alive()) {
            process.signal(signal)?;
        }
        if wait_until(PATIENCE, || !processes.iter().any(|p| p.is_alive())) {
            return Ok(());
        }
    }
    let left: Vec<i32> = processes
        .iter()
        .filter(|process| process.is_alive())
        .map(|process| process.pid)
        .collect();
    if !left.is_empty() {
        bail!("processes {left:?} did not end after SIGKILL");
    }
    Ok(())
}

/// Looks again and again until a condition holds; false when it did not in time.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// This process and those that started it.
pub fn ancestors() -> Vec<i32> {
    let mut found = Vec::new();
    let mut pid = std::process::id().cast_signed();
    while pid > 0 {
        found.push(pid);
        let Some(parent) = fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| {
                stat.rsplit(')')
                    .next()?
                    .split_whitespace()
                    .nth(1)?
                    .parse()
                    .ok()
            })
        else {
            break;
        };
        pid = parent;
    }
    found
}

/// Start time and state of a process.
fn stat(pid: i32) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so count from its end: state is field 3.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    Some((fields.get(19)?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_what_it_started_and_nothing_else() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let process = Process::of(child.id().cast_signed()).unwrap();
        assert!(process.is_alive());
        let stranger = Process {
            start_time: process.start_time + 1,
            ..process
        };
        end(&[stranger]).unwrap();
        assert!(process.is_alive());
        end(&[process]).unwrap();
        assert!(!process.is_alive());
        // Reaped already, by `is_alive`.
        assert!(child.wait().is_err());
    }
}
