//! Commands in a lab's pods, and what its containers have written.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1 as api;

use super::{Lab, NODE, NODE2, WORLD};
use crate::converge::{Plan, start};
use crate::host::enter::Entrance;
use crate::node::Node;
use crate::object::Key;
use crate::play::image::{containers, is_busybox};
use crate::play::pods::PodPlan;

/// Where a command is to run.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'a> {
    /// A pod, `deploy/NAME`, `@node`, `@node2` or `@world`.
    pub target: &'a str,
    pub namespace: &'a str,
    /// One of the pod's containers; the first one without it.
    pub container: Option<&'a str>,
    /// With the machine's tools, whatever the image.
    pub machine: bool,
}

// === impl Inside ===

impl<'a> Inside<'a> {
    /// A pod's first container, with the tools of its image.
    pub fn pod(target: &'a str, namespace: &'a str) -> Self {
        Self {
            target,
            namespace,
            container: None,
            machine: false,
        }
    }

    /// A pod, with the machine's tools.
    pub fn machine(target: &'a str, namespace: &'a str) -> Self {
        Self {
            machine: true,
            ..Self::pod(target, namespace)
        }
    }
}

impl Lab {
    /// A command that will run in a pod (or `@node`, `@world`), with the machine's tools.
    pub fn command(&self, target: &str, namespace: &str, words: &[&str]) -> Result<Command> {
        self.command_in(&Inside::machine(target, namespace), words)
    }

    /// A command that will run where it is said.
    ///
    /// # Errors
    /// There is no such pod or container.
    pub fn command_in(&self, inside: &Inside<'_>, words: &[&str]) -> Result<Command> {
        let (program, arguments) = words.split_first().context("no command was given")?;
        let entrance = match inside.target {
            NODE => Entrance::netns(&self.layout.node_netns(Node::FIRST))?,
            NODE2 => Entrance::netns(&self.layout.node_netns(self.second_node()?))?,
            WORLD => Entrance::netns(&self.layout.world_netns())?,
            target if inside.machine && inside.container.is_none() => {
                start::entrance(&self.layout, &self.pod_in(target, inside.namespace)?)?
            }
            target => {
                let pod = self.pod_in(target, inside.namespace)?;
                let plan = self.plan_of(&pod)?;
                let container = container(&plan, inside.container)?;
                match inside.machine {
                    true => start::entrance(&self.layout, &pod)?,
                    false => start::entrance_of(&self.layout, &pod, container)?,
                }
            }
        };
        let mut command = Command::new(program);
        command.args(arguments);
        entrance.apply(&mut command);
        Ok(command)
    }

    /// Whether what is typed in a pod means busybox's tools.
    pub fn has_applets(&self, target: &str) -> bool {
        let plan = self
            .pod_in(target, "default")
            .and_then(|pod| self.plan_of(&pod));
        plan.is_ok_and(|plan| plan.spec.containers.first().is_some_and(is_busybox))
    }

    /// The log file of a container, or as [`Lab::log_path`] where none is named.
    ///
    /// # Errors
    /// There is no such pod or container.
    pub fn container_log(&self, of: &str, namespace: &str, name: Option<&str>) -> Result<PathBuf> {
        if name.is_none() {
            return self.log_path(of, namespace);
        }
        let plan = self.plan_of(&self.pod_in(of, namespace)?)?;
        let container = container(&plan, name)?;
        Ok(start::log_of(&self.layout, &plan, container))
    }

    /// How many pods of an owner have started, and how many there are to be.
    ///
    /// # Errors
    /// There is no such owner.
    pub fn ready(&self, kind: &str, namespace: &str, name: &str) -> Result<(usize, usize)> {
        let mut state = self.state()?;
        let key = Key::new(kind, Some(namespace), name);
        if state.object(&key).is_none() {
            return Err(key.not_found());
        }
        let plan = Plan::of(&mut state)?;
        let owner = format!("{kind}/{name}");
        let wanted: Vec<&PodPlan> = plan
            .pods()
            .filter(|pod| pod.namespace == namespace && pod.owner.as_ref() == Some(&owner))
            .collect();
        let is_ready = |plan: &&&PodPlan| {
            let pod = state.pods.get(&plan.id());
            pod.is_some_and(|pod| pod.started && pod.fingerprint == plan.fingerprint)
        };
        Ok((wanted.iter().filter(is_ready).count(), wanted.len()))
    }

    fn plan_of(&self, pod: &crate::state::Pod) -> Result<PodPlan> {
        let plan = Plan::of(&mut self.state()?)?;
        let found = plan.pods().find(|plan| plan.id() == pod.id()).cloned();
        found.with_context(|| format!("pod {} is being taken away", pod.id()))
    }
}

fn container<'a>(plan: &'a PodPlan, name: Option<&str>) -> Result<&'a api::Container> {
    let Some(name) = name else {
        return plan
            .spec
            .containers
            .first()
            .context("a pod without containers");
    };
    if let Some(found) = containers(&plan.spec).find(|container| container.name == name) {
        return Ok(found);
    }
    let names: Vec<&str> = containers(&plan.spec)
        .map(|each| each.name.as_str())
        .collect();
    bail!(
        "pod {} has no container {name}; there are: {}",
        plan.id(),
        names.join(", ")
    )
}
