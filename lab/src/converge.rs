//! From what is applied to what runs: the one way in which a lab changes.
//!
//! A new pod gets its link first, then the agent must have it under enforcement, then its
//! workload starts: no packet of it is ever unjudged. A pod that goes loses its backends first,
//! then its processes and link, and only then its manifest, for the same reason.

pub mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use weir_link::tools::Synced;
use weir_policy::model::PodName;

use crate::agent;
use crate::host::process::{self, Process};
use crate::host::{link, netns, tool};
use crate::layout::{DNS_V4, Layout};
use crate::names;
use crate::node::Node;
use crate::play::endpoints::{self, Ready};
use crate::play::image::{self, Role};
use crate::play::ingress::{self, IngressPlan};
use crate::play::pods::PodPlan;
use crate::play::service::ServicePlan;
use crate::play::zone::Zone;
use crate::play::{manifest, nft, pods, service};
use crate::state::{Pod, State, now, write_atomic};
use crate::workload::ingress::routes_beside;

/// Everything that the objects ask for. Made before anything is changed, so that a mistake in
/// them changes nothing.
pub struct Plan {
    pods: Vec<PodPlan>,
    services: Vec<ServicePlan>,
    ingresses: Vec<IngressPlan>,
}

// === impl Plan ===

impl Plan {
    pub fn of(state: &mut State) -> Result<Self> {
        let pods = pods::plan(&state.objects, &state.incarnations)?;
        if let Some(pod) = pods
            .iter()
            .find(|pod| pod.node.index() >= state.nodes.len())
        {
            let name = pod.node.name();
            bail!(
                "{}: there is no node {name}: `--nodes 2` makes two",
                pod.source
            );
        }
        let services = service::plan(
            &state.objects,
            &mut state.service_pool,
            &mut state.service_addresses,
        )?;
        let ingresses = ingress::plan(&state.objects)?;
        Ok(Self {
            pods,
            services,
            ingresses,
        })
    }

    /// The pods that should be there.
    pub fn pods(&self) -> impl Iterator<Item = &PodPlan> {
        self.pods.iter()
    }

    /// Whether people may type what only busybox's tools take.
    pub fn wants_busybox(&self) -> bool {
        let mut containers = self
            .pods
            .iter()
            .flat_map(|pod| image::containers(&pod.spec));
        containers.any(image::is_busybox)
    }

    /// How each container of a pod is played.
    fn roles(&self, pod: &PodPlan) -> Vec<Role> {
        image::roles(&pod.spec, &endpoints::asked(pod, &self.services))
    }

    /// Everything as an API server would show it: pods and services with what the lab gave them.
    pub fn view(&self, state: &State) -> Vec<Value> {
        let ready = ready(state, self, |pod| pod.started);
        let nodes: Vec<Node> = state.nodes.iter().map(|node| node.node).collect();
        let files = manifest::render(
            &nodes,
            &state.objects,
            &self.services,
            &self.pods,
            &state.pods,
            &ready,
        );
        files.into_values().collect()
    }
}

/// Makes the lab what its objects say and waits until it is in force.
pub fn converge(layout: &Layout, state: &mut State, plan: &Plan) -> Result<Synced> {
    let wanted: BTreeMap<PodName, u64> = plan
        .pods
        .iter()
        .map(|plan| (plan.id(), plan.fingerprint))
        .collect();
    let (keep, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut state.pods)
        .into_iter()
        // A pod that never started is what a failed change left: it is made anew.
        .partition(|(id, pod)| pod.started && wanted.get(id) == Some(&pod.fingerprint));
    state.pods = keep;
    for plan in &plan.pods {
        if let Some(pod) = state.pods.get_mut(&plan.id()) {
            pod.labels.clone_from(&plan.labels);
        }
    }
    let gone: Vec<Pod> = gone.into_values().collect();
    if !gone.is_empty() {
        publish_services(layout, state, plan)?;
        remove(layout, state, &gone)?;
    }
    let new = allocate(layout, state, plan)?;
    // Written ahead: whatever is made from here on, `down` knows of.
    state.save(&layout.state())?;
    let made: Vec<&Pod> = new.iter().filter_map(|id| state.pods.get(id)).collect();
    link::make_pods(layout, state.topology, &made)?;
    for pod in &made {
        write_etc(layout, pod)?;
    }
    write_manifests(layout, state, plan)?;
    let report = match state.weir {
        true => agent::sync(layout, state)?,
        false => Synced::default(),
    };
    start::workloads(layout, state, plan)?;
    publish_services(layout, state, plan)?;
    state.save(&layout.state())?;
    Ok(report)
}

/// Gives addresses and names to pods that do not exist yet; answers which they are.
fn allocate(layout: &Layout, state: &mut State, whole: &Plan) -> Result<Vec<PodName>> {
    let mut new = Vec::new();
    for plan in &whole.pods {
        if state.pods.contains_key(&plan.id()) {
            continue;
        }
        let host_network = plan.spec.host_network.unwrap_or(false);
        let node = plan.node;
        let (netns, addresses) = if host_network {
            (layout.node_netns(node), node.addresses().to_vec())
        } else {
            let pool = &mut state.nodes[node.index()].pods;
            let host = pool.take().with_context(|| {
                format!("{}: no address is free for pod {}", plan.source, plan.id())
            })?;
            let addresses = vec![pool.v4(host), pool.v6(host)];
            (free_netns(layout, state, plan), addresses)
        };
        let interface = names::interface(layout.name(), &plan.namespace, &plan.name);
        let pod = Pod {
            namespace: plan.namespace.clone(),
            name: plan.name.clone(),
            labels: plan.labels.clone(),
            owner: plan.owner.clone(),
            node,
            netns,
            interface: (!host_network).then_some(interface),
            addresses,
            workload: image::summary(&whole.roles(plan)),
            fingerprint: plan.fingerprint,
            running: Vec::new(),
            created: now(),
            started: false,
        };
        new.push(pod.id());
        state.pods.insert(pod.id(), pod);
    }
    Ok(new)
}

/// Pod c of namespace a-b and pod b-c of namespace a would share a name.
fn free_netns(layout: &Layout, state: &State, plan: &PodPlan) -> String {
    let name = layout.pod_netns(&plan.namespace, &plan.name);
    if state.pods.values().any(|pod| pod.netns == name) {
        let hash = names::hash(&[&plan.namespace, &plan.name]);
        format!("{name}-{}", names::suffix(hash, 5))
    } else {
        name
    }
}

fn remove(layout: &Layout, state: &mut State, gone: &[Pod]) -> Result<()> {
    let netns: Vec<String> = gone
        .iter()
        .filter(|pod| pod.interface.is_some())
        .map(|pod| pod.netns.clone())
        .collect();
    let mut processes: Vec<Process> = gone.iter().flat_map(Pod::processes).collect();
    processes.extend(netns::processes(&netns)?);
    process::end(&processes)?;
    link::remove_pods(layout, gone)?;
    for pod in gone {
        for address in &pod.addresses {
            state.nodes[pod.node.index()].pods.release(*address);
        }
    }
    Ok(())
}

/// Services lead only to pods that have started.
fn publish_services(layout: &Layout, state: &State, plan: &Plan) -> Result<()> {
    let ready = ready(state, plan, |pod| pod.started);
    let zone = Zone::of(&state.objects, &plan.services, &ready);
    write_atomic(&layout.zone(), &serde_json::to_vec_pretty(&zone)?)?;
    let routes = ingress::routes(&plan.ingresses, &plan.services, &ready);
    let path = routes_beside(&layout.zone());
    write_atomic(&path, &serde_json::to_vec_pretty(&routes)?)?;
    for node in &state.nodes {
        let rules = nft::rules(&plan.services, &ready, node.node);
        tool::nft(&layout.node_netns(node.node), &rules)
            .context("cannot load the rules of the services")?;
    }
    Ok(())
}

fn ready<'a>(state: &'a State, plan: &'a Plan, is_ready: fn(&Pod) -> bool) -> Vec<Ready<'a>> {
    plan.pods
        .iter()
        .filter_map(|plan| {
            let pod = state.pods.get(&plan.id())?;
            is_ready(pod).then_some(Ready {
                plan,
                addresses: &pod.addresses,
            })
        })
        .collect()
}

/// What a pod finds in /etc.
fn write_etc(layout: &Layout, pod: &Pod) -> Result<()> {
    let folder = layout.etc(&pod.namespace, &pod.name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // As a kubelet writes it, but with less patience: where policy cuts the DNS off, people wait.
    let resolv = format!(
        "nameserver {DNS_V4}\nsearch {}.svc.cluster.local svc.cluster.local cluster.local\n\
         options ndots:5 timeout:1 attempts:2\n",
        pod.namespace
    );
    let mut hosts = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
    for address in &pod.addresses {
        hosts += &format!("{address}\t{}\n", pod.name);
    }
    write_atomic(&folder.join("resolv.conf"), resolv.as_bytes())?;
    write_atomic(&folder.join("hosts"), hosts.as_bytes())
}

/// Writes what changed and removes what is gone.
fn write_manifests(layout: &Layout, state: &State, plan: &Plan) -> Result<()> {
    let ready = ready(state, plan, |_| true);
    let nodes: Vec<Node> = state.nodes.iter().map(|node| node.node).collect();
    let files = manifest::render(
        &nodes,
        &state.objects,
        &plan.services,
        &plan.pods,
        &state.pods,
        &ready,
    );
    let folder = layout.manifests();
    for (name, value) in &files {
        let text = serde_yaml_ng::to_string(value).context("cannot write YAML")?;
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        write_atomic(&path, text.as_bytes())?;
    }
    let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    let entries = fs::read_dir(&folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        if !names.contains(entry.file_name().to_string_lossy().as_ref()) {
            fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}
