//! Starting what runs in pods, and waiting until it listens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Plan;
use crate::host::enter::Entrance;
use crate::host::process::{self, Process};
use crate::layout::Layout;
use crate::play::image::{self, Role};
use crate::play::pods::PodPlan;
use crate::spawn;
use crate::state::{Pod, State};

/// How long a workload may take to listen.
const LISTENING: Duration = Duration::from_secs(20);

/// Starts the workloads of pods that have none yet.
pub fn workloads(layout: &Layout, state: &mut State, plan: &Plan) -> Result<()> {
    let mut waiting = Vec::new();
    for plan in &plan.pods {
        let Some(pod) = state.pods.get(&plan.id()).filter(|pod| !pod.started) else {
            continue;
        };
        let mut processes = Vec::new();
        for role in image::roles(&plan.spec) {
            let (process, ports) = match &role {
                Role::Idle => continue,
                Role::Command(words) => {
                    let process = run_command(layout, pod, plan, words)?;
                    (process, Vec::new())
                }
                Role::BuiltIn { tcp, .. } => {
                    let process = run_built_in(layout, &state.program, pod, plan, &role)?;
                    (process, tcp.clone())
                }
            };
            processes.push(process);
            waiting.push((process, ports, pod.clone()));
        }
        if let Some(pod) = state.pods.get_mut(&plan.id()) {
            pod.processes = processes;
            pod.started = true;
        }
    }
    for (process, ports, pod) in waiting {
        let log = layout.pod_log(&pod.namespace, &pod.name);
        wait_listening(process, &ports, &log)
            .with_context(|| format!("the workload of pod {}", pod.id()))?;
    }
    Ok(())
}

fn run_built_in(
    layout: &Layout,
    program: &Path,
    pod: &Pod,
    plan: &PodPlan,
    role: &Role,
) -> Result<Process> {
    let Role::BuiltIn {
        kind,
        tcp,
        udp,
        sctp,
    } = role
    else {
        bail!("pod {}: {role:?} is not built in", pod.id());
    };
    let mut arguments: Vec<String> = ["lab", "workload", kind, "--pod"].map(Into::into).into();
    arguments.push(pod.id().to_string());
    for (option, ports) in [("--tcp", tcp), ("--udp", udp), ("--sctp", sctp)] {
        for port in ports {
            arguments.push(option.into());
            arguments.push(port.to_string());
        }
    }
    arguments.push("--zone".into());
    arguments.push(layout.zone().display().to_string());
    for container in &plan.spec.containers {
        for variable in container.env.iter().flatten() {
            if let Some(value) = &variable.value {
                arguments.push("--env".into());
                arguments.push(format!("{}={value}", variable.name));
            }
        }
    }
    let entrance = entrance(layout, pod)?;
    let log = layout.pod_log(&pod.namespace, &pod.name);
    spawn::detached(program, &arguments, entrance, &log)
}

fn run_command(layout: &Layout, pod: &Pod, plan: &PodPlan, words: &[String]) -> Result<Process> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    let log = layout.pod_log(&pod.namespace, &pod.name);
    spawn::detached(program.as_ref(), arguments, entrance(layout, pod)?, &log)
        .with_context(|| format!("{}: the command of pod {}", plan.source, pod.id()))
}

/// The way into a pod, for workloads and for `exec`.
pub fn entrance(layout: &Layout, pod: &Pod) -> Result<Entrance> {
    let etc = layout.etc(&pod.namespace, &pod.name);
    Entrance::pod(&pod.netns, &pod.name, &etc)
}

/// Waits until a process listens on each port; another's listener in its netns does not count.
pub fn wait_listening(process: Process, ports: &[u16], log: &Path) -> Result<()> {
    let mut alive = true;
    let ready = process::wait_until(LISTENING, || {
        alive = process.is_alive();
        let listening = listeners(process.pid);
        !alive || ports.iter().all(|port| listening.contains(port))
    });
    if !alive && !ports.is_empty() {
        bail!("it ended at once: {}", spawn::log_tail(log));
    }
    if !ready {
        bail!("it does not listen on {ports:?}: {}", spawn::log_tail(log));
    }
    Ok(())
}

/// A process's own TCP ports in LISTEN (0A): of its netns, those whose socket it holds.
fn listeners(pid: i32) -> BTreeSet<u16> {
    let held: BTreeSet<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .collect();
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9)?;
        if *fields.get(3)? != "0A" || !held.contains(Path::new(&format!("socket:[{inode}]"))) {
            return None;
        }
        u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()
    };
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(port).collect::<Vec<u16>>())
        .collect()
}
