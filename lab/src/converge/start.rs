//! Starting what runs in pods, and waiting until it listens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1 as api;

use super::Plan;
use crate::host::enter::Entrance;
use crate::host::process::{self, Process};
use crate::layout::Layout;
use crate::play::image::{self, Role, containers};
use crate::play::pods::PodPlan;
use crate::spawn;
use crate::state::{Pod, Running, State};

/// How long a workload may take to listen.
const LISTENING: Duration = Duration::from_secs(20);

/// Starts the workloads of pods that have none yet, and those that services ask something else of.
pub fn workloads(layout: &Layout, state: &mut State, whole: &Plan) -> Result<()> {
    let mut waiting = Vec::new();
    for plan in &whole.pods {
        let Some(pod) = state.pods.get(&plan.id()).cloned() else {
            continue;
        };
        let roles = whole.roles(plan);
        let summary = image::summary(&roles);
        let mut running = Vec::new();
        for (at, (role, container)) in roles.into_iter().zip(containers(&plan.spec)).enumerate() {
            match pod.running.get(at) {
                Some(old) if old.role == role => {
                    running.push(old.clone());
                    continue;
                }
                Some(old) => process::end(old.process.as_slice())?,
                None => {}
            }
            let started = Container {
                layout,
                pod: &pod,
                plan,
                container,
            };
            let process = started.start(&state.program, &role)?;
            if let (Some(process), Role::BuiltIn { tcp, .. }) = (process, &role) {
                waiting.push((process, tcp.clone(), started.log(), pod.id()));
            }
            running.push(Running { role, process });
        }
        if let Some(pod) = state.pods.get_mut(&plan.id()) {
            pod.running = running;
            pod.workload = summary;
            pod.started = true;
        }
    }
    for (process, ports, log, pod) in waiting {
        wait_listening(process, &ports, &log)
            .with_context(|| format!("the workload of pod {pod}"))?;
    }
    Ok(())
}

/// A container that is about to be played.
struct Container<'a> {
    layout: &'a Layout,
    pod: &'a Pod,
    plan: &'a PodPlan,
    container: &'a api::Container,
}

impl Container<'_> {
    /// What plays it; nothing for one that is idle.
    fn start(&self, program: &Path, role: &Role) -> Result<Option<Process>> {
        match role {
            Role::Idle => Ok(None),
            Role::Command(words) => self.run_command(words).map(Some),
            Role::BuiltIn {
                kind,
                tcp,
                udp,
                sctp,
            } => {
                let ports = [("--tcp", tcp), ("--udp", udp), ("--sctp", sctp)];
                self.run_built_in(program, kind, &ports).map(Some)
            }
        }
    }

    fn run_built_in(
        &self,
        program: &Path,
        kind: &str,
        ports: &[(&str, &Vec<u16>)],
    ) -> Result<Process> {
        let mut arguments: Vec<String> = ["lab", "workload", kind, "--pod"].map(Into::into).into();
        arguments.push(self.pod.id().to_string());
        for (option, numbers) in ports {
            for port in *numbers {
                arguments.push((*option).to_owned());
                arguments.push(port.to_string());
            }
        }
        arguments.push("--zone".into());
        arguments.push(self.layout.zone().display().to_string());
        for variable in self.container.env.iter().flatten() {
            if let Some(value) = &variable.value {
                arguments.push("--env".into());
                arguments.push(format!("{}={value}", variable.name));
            }
        }
        let entrance = entrance(self.layout, self.pod)?;
        spawn::detached(program, &arguments, entrance, &self.log())
    }

    fn run_command(&self, words: &[String]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("an empty command")?;
        let entrance = entrance_of(self.layout, self.pod, self.container)?;
        spawn::detached(program.as_ref(), arguments, entrance, &self.log())
            .with_context(|| format!("{}: the command of pod {}", self.plan.source, self.pod.id()))
    }

    fn log(&self) -> PathBuf {
        log_of(self.layout, self.plan, self.container)
    }
}

/// The log of a container; that of the first one is the pod's.
pub fn log_of(layout: &Layout, pod: &PodPlan, container: &api::Container) -> PathBuf {
    let first = pod.spec.containers.first();
    match first.is_some_and(|first| first.name == container.name) {
        true => layout.pod_log(&pod.namespace, &pod.name),
        false => layout.container_log(&pod.namespace, &pod.name, &container.name),
    }
}

/// The way into a pod, with the machine's tools.
pub fn entrance(layout: &Layout, pod: &Pod) -> Result<Entrance> {
    let etc = layout.etc(&pod.namespace, &pod.name);
    Entrance::pod(&pod.netns, &pod.name, &etc)
}

/// The way into a container of a pod, with the tools of its image.
pub fn entrance_of(layout: &Layout, pod: &Pod, container: &api::Container) -> Result<Entrance> {
    let entrance = entrance(layout, pod)?;
    let applets = layout.applets();
    Ok(match image::is_busybox(container) && applets.is_dir() {
        true => entrance.with_tools(applets),
        false => entrance,
    })
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
