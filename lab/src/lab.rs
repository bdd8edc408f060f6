//! A lab as its users hold it: up, look, change, run commands in pods, down.

mod change;
mod enter;
mod view;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};

use weir_link::tools::Synced;
use weir_policy::{explain::Explanation, model::HostPolicies, verdict::Flow};

use crate::agent::{self, Part};
use crate::converge::{self, Plan, start};
use crate::host::enter::Entrance;
use crate::host::{self, applets, link, process, tool};
use crate::layout::{LABS, Layout};
use crate::node::{self, Node};
use crate::object::{Key, Object, read};
use crate::state::{Pod, State, Topology};
use crate::{down, names, spawn, store, target};

pub use change::RunPod;
pub use enter::Inside;

/// The words for the netns that are no pods.
const NODE: &str = "@node";
const NODE2: &str = "@node2";
const WORLD: &str = "@world";

/// How a lab is made.
#[derive(Debug, Clone)]
pub struct UpOptions {
    pub name: String,
    pub topology: Topology,
    /// Files and folders of manifests.
    pub manifests: Vec<PathBuf>,
    /// More manifests, as text.
    pub yaml: Vec<String>,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// Whether to run the agent and the proxy.
    pub weir: bool,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// The `weir` binary, where it is not this program or beside it.
    pub program: Option<PathBuf>,
    /// Let the kernel judge simple requests.
    pub l7_kernel: bool,
    /// Tell pods by ICMP that egress rules deny a packet.
    pub deny_icmp: bool,
    /// What becomes of policies that select nodes.
    pub host_policies: HostPolicies,
}

/// A lab that is up. Dropping it takes it down unless it was opened or kept.
#[derive(Debug)]
pub struct Lab {
    layout: Layout,
    owned: bool,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `networkpolicy.networking.k8s.io/NAME`.
    pub resource: String,
    /// `created`, `configured`, `unchanged`, `patched`, `labeled`, `deleted` or `restarted`.
    pub what: &'static str,
}

/// What a change led to.
#[derive(Debug, Clone)]
pub struct Applied {
    pub changes: Vec<Change>,
    pub report: Synced,
}

// === impl UpOptions ===

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            name: "lab".into(),
            topology: Topology::default(),
            manifests: Vec::new(),
            yaml: Vec::new(),
            namespace: "default".into(),
            weir: true,
            nodes: 1,
            program: None,
            l7_kernel: false,
            deny_icmp: false,
            host_policies: HostPolicies::Audit,
        }
    }
}

// === impl Lab ===

impl Lab {
    /// Makes a lab and returns when everything is in force; what fails leaves nothing behind.
    pub fn up(options: UpOptions) -> Result<(Self, Synced)> {
        names::check_lab_name(&options.name)?;
        host::check_root()?;
        tool::check_installed()?;
        if !(1..=node::MOST).contains(&options.nodes) {
            bail!("a lab has 1 or {} nodes, not {}", node::MOST, options.nodes);
        }
        let program = program(options.program.clone())?;
        let layout = Layout::new(&options.name);
        let mut state = State::new(
            options.topology,
            options.weir,
            options.nodes,
            program.clone(),
        );
        state.l7_kernel = options.l7_kernel;
        state.deny_icmp = options.deny_icmp;
        state.host_policies = options.host_policies.word().to_owned();
        let mut objects = read::text(include_str!("system.yaml"), "the lab itself", "default")?;
        objects.extend(read::paths(&options.manifests, &options.namespace)?);
        for (index, yaml) in options.yaml.iter().enumerate() {
            let source = format!("text {}", index + 1);
            objects.extend(read::text(yaml, &source, &options.namespace)?);
        }
        store::store(&mut state, objects);
        let plan = Plan::of(&mut state)?;

        make_root(&layout)?;
        let lock = lock(&layout)?;
        let made = make(&layout, &mut state, &plan);
        if made.is_err() {
            // The first error says what went wrong; a second one would only hide it.
            drop(down::down(&layout, &program));
        }
        drop(lock);
        let report = made.with_context(|| format!("lab {} did not come up", options.name))?;
        Ok((
            Self {
                layout,
                owned: true,
            },
            report,
        ))
    }

    /// A lab that somebody else made.
    pub fn open(name: &str) -> Result<Self> {
        names::check_lab_name(name)?;
        host::check_root()?;
        let layout = Layout::new(name);
        if !layout.state().exists() {
            bail!("there is no lab {name}: make one with `weir lab up -f DIR --lab {name}`");
        }
        Ok(Self {
            layout,
            owned: false,
        })
    }

    /// The names of the labs that are up, in order.
    pub fn all() -> Result<Vec<String>> {
        host::check_root()?;
        let mut names: Vec<String> = match fs::read_dir(LABS) {
            Ok(entries) => entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| Layout::new(name).state().exists())
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context("cannot list the labs"),
        };
        names.sort();
        Ok(names)
    }

    /// Lets the lab outlive this value.
    pub fn keep(mut self) {
        self.owned = false;
    }

    /// Takes the lab away, whatever is left of it; false when there was nothing.
    pub fn remove(name: &str) -> Result<bool> {
        names::check_lab_name(name)?;
        host::check_root()?;
        let layout = Layout::new(name);
        let lock = lock(&layout);
        let removed = down::down(&layout, &program(None).unwrap_or_default());
        drop(lock);
        removed
    }

    /// Takes this lab down.
    pub fn down(mut self) -> Result<()> {
        self.owned = false;
        Self::remove(self.layout.name()).map(|_| ())
    }

    /// Applies the objects of a text.
    pub fn apply(&self, yaml: &str) -> Result<Applied> {
        self.apply_in(yaml, "default")
    }

    /// Applies the objects of a text; those that name no namespace go to the given one.
    pub fn apply_in(&self, yaml: &str, namespace: &str) -> Result<Applied> {
        self.apply_objects(read::text(yaml, "text", namespace)?)
    }

    /// Applies files and folders; `-` is standard input.
    pub fn apply_paths(&self, paths: &[PathBuf], namespace: &str) -> Result<Applied> {
        self.apply_objects(read::paths(paths, namespace)?)
    }

    /// Deletes one object; `Ok` also says whether it was there.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<Applied> {
        let cluster_scoped = crate::object::kind::is_cluster_scoped(kind);
        let namespace = (!cluster_scoped).then_some(namespace);
        self.delete_keys(&[Key::new(kind, namespace, name)])
    }

    /// Deletes the objects that files and folders describe.
    pub fn delete_paths(&self, paths: &[PathBuf], namespace: &str) -> Result<Applied> {
        self.delete_keys(&keys(&read::paths(paths, namespace)?))
    }

    /// Deletes every object of a kind in a namespace.
    pub fn delete_all(&self, kind: &str, namespace: &str) -> Result<Applied> {
        let cluster_scoped = crate::object::kind::is_cluster_scoped(kind);
        let keys: Vec<Key> = self
            .state()?
            .objects
            .iter()
            .map(|object| object.key.clone())
            .filter(|key| key.kind == kind)
            .filter(|key| cluster_scoped || key.namespace.as_deref() == Some(namespace))
            .collect();
        self.delete_keys(&keys)
    }

    /// Makes the pods of a Deployment or its like anew, as `kubectl rollout restart` does.
    pub fn rollout_restart(&self, kind: &str, namespace: &str, name: &str) -> Result<Applied> {
        let key = Key::new(kind, Some(namespace), name);
        self.change(|state| store::restart(state, &key))
    }

    /// A pod by `NS/POD`, `POD`, `deploy/NAME` or `NS/deploy/NAME`.
    pub fn pod(&self, target: &str) -> Result<Pod> {
        self.pod_in(target, "default")
    }

    pub fn pod_in(&self, target: &str, namespace: &str) -> Result<Pod> {
        target::find(&self.state()?, target, namespace).cloned()
    }

    /// All pods, by namespace and name.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        Ok(self.state()?.pods.into_values().collect())
    }

    /// The virtual addresses of a service, IPv4 first.
    pub fn service(&self, id: &str) -> Result<Vec<std::net::IpAddr>> {
        let state = self.state()?;
        match state.service_addresses.get(id) {
            Some(addresses) => Ok(addresses.clone()),
            None => bail!("service {id} has no virtual address"),
        }
    }

    /// Runs a command in a pod (or `@node`, `@world`) and waits for it.
    pub fn exec(&self, target: &str, words: &[&str]) -> Result<Output> {
        let mut command = self.command(target, "default", words)?;
        let place = || format!("cannot run {words:?} in {target}");
        command.output().with_context(place)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.layout.name()
    }

    /// The folder with all that its agents have: what is in force.
    pub fn manifests(&self) -> PathBuf {
        self.layout.manifests()
    }

    /// The folder that its shells have first in PATH.
    pub fn bin(&self) -> PathBuf {
        self.layout.bin()
    }

    /// The `weir` binary that plays this lab.
    pub fn program(&self) -> Result<PathBuf> {
        Ok(self.state()?.program)
    }

    /// Waits until everything that is applied is in force.
    pub fn sync(&self) -> Result<Synced> {
        agent::sync(&self.layout, &self.state()?)
    }

    /// The control socket of the agent of this lab's first node.
    pub fn agent_socket(&self) -> Result<PathBuf> {
        let state = self.state()?;
        let node = state.nodes.first().context("a lab without nodes")?;
        Ok(self.layout.instance(node.node)?.agent_socket())
    }

    /// The sockets of the agents' observers, one for each node.
    pub fn observers(&self) -> Result<Vec<PathBuf>> {
        let state = self.state()?;
        let nodes = state.nodes.iter().map(|node| node.node);
        let socket = |node| Ok(self.layout.instance(node)?.observer_socket());
        nodes.map(socket).collect()
    }

    /// What the agent would do with a flow, and why.
    pub fn explain(&self, flow: Flow) -> Result<Explanation> {
        agent::explain(&self.layout, &self.state()?, flow)
    }

    /// Starts the agent or the proxy again if it died; a living one is ended first.
    pub fn restart(&self, part: Part) -> Result<Synced> {
        let _lock = lock(&self.layout)?;
        let mut state = self.state()?;
        for node in 0..state.nodes.len() {
            if let Some(running) = part.process(&mut state.nodes[node]).take() {
                process::end(&[running])?;
            }
            agent::start(&self.layout, &mut state, node, part)?;
        }
        state.save(&self.layout.state())?;
        agent::sync(&self.layout, &state)
    }

    /// The pid of the first node's agent or proxy while it runs.
    pub fn pid(&self, part: Part) -> Result<Option<i32>> {
        let mut state = self.state()?;
        let node = state.nodes.first_mut().context("a lab without nodes")?;
        let running = part.process(node).filter(|p| p.is_alive());
        Ok(running.map(|process| process.pid))
    }

    /// The log file of the agent, the proxy or a pod.
    pub fn log_path(&self, of: &str, namespace: &str) -> Result<PathBuf> {
        Ok(match of {
            "agent" | "proxy" | "takeover" | "flows" => self.layout.log(of),
            "agent2" | "proxy2" | "takeover2" | "flows2" => self.layout.log(of),
            WORLD => self.layout.log("world"),
            _ => {
                let pod = self.pod_in(of, namespace)?;
                self.layout.pod_log(&pod.namespace, &pod.name)
            }
        })
    }

    fn second_node(&self) -> Result<Node> {
        let state = self.state()?;
        let second = state.nodes.get(1).map(|node| node.node);
        second.context("this lab has one node: `weir lab up --nodes 2` makes two")
    }

    fn state(&self) -> Result<State> {
        State::load(&self.layout.state())
    }

    fn apply_objects(&self, objects: Vec<Object>) -> Result<Applied> {
        self.change(|state| Ok(store::store(state, objects)))
    }

    fn delete_keys(&self, keys: &[Key]) -> Result<Applied> {
        self.change(|state| store::delete(state, keys))
    }

    /// Changes the objects, then the lab. A mistake in the objects changes nothing.
    fn change(&self, work: impl FnOnce(&mut State) -> Result<Vec<Change>>) -> Result<Applied> {
        let _lock = lock(&self.layout)?;
        let mut state = self.state()?;
        let changes = work(&mut state)?;
        let plan = Plan::of(&mut state)?;
        let report = converge::converge(&self.layout, &mut state, &plan)?;
        Ok(Applied { changes, report })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = Self::remove(self.layout.name())
        {
            eprintln!("lab {}: {error:#}", self.layout.name());
        }
    }
}

fn keys(objects: &[Object]) -> Vec<Key> {
    objects.iter().map(|object| object.key.clone()).collect()
}

fn make_root(layout: &Layout) -> Result<()> {
    let name = layout.name();
    let root = layout.root();
    if let Some(labs) = root.parent() {
        fs::create_dir_all(labs).with_context(|| format!("cannot make {}", labs.display()))?;
    }
    match fs::create_dir(root) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "lab {name} exists already: take it down with `weir lab down --lab {name}` or use another --lab"
        ),
        made => made.with_context(|| format!("cannot make {}", root.display()))?,
    }
    for folder in [layout.manifests(), layout.logs()] {
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(())
}

fn make(layout: &Layout, state: &mut State, plan: &Plan) -> Result<Synced> {
    state.save(&layout.state())?;
    if !applets::install(&layout.applets())? && plan.wants_busybox() {
        eprintln!(
            "there is no busybox: pods of its image have this machine's tools, which take other \
             options (scripts/setup.sh builds one)"
        );
    }
    link::make_nodes(layout, state)?;
    let world = ["lab", "workload", "echo", "--pod", "world", "--tcp", "80"];
    let entrance = Entrance::netns(&layout.world_netns())?;
    let world = spawn::detached(&state.program, &world, entrance, &layout.log("world"))?;
    state.world = Some(world);
    if state.weir {
        for node in 0..state.nodes.len() {
            agent::start(layout, state, node, Part::Agent)?;
        }
        state.save(&layout.state())?;
        // The proxy enters netns that the agent makes.
        for node in 0..state.nodes.len() {
            agent::wait_ready(layout, &state.nodes[node])?;
            agent::start(layout, state, node, Part::Proxy)?;
            if state.l7_kernel {
                agent::start(layout, state, node, Part::Takeover)?;
            }
        }
    }
    state.save(&layout.state())?;
    let report = converge::converge(layout, state, plan)?;
    if state.weir && !report.proxy {
        let error = anyhow!("weir proxy did not start");
        return Err(agent::with_logs(layout, &error));
    }
    start::wait_listening(world, &[80], &layout.log("world"))
        .context("the world outside the node")?;
    Ok(report)
}

/// One command at a time changes a lab.
fn lock(layout: &Layout) -> Result<Flock<File>> {
    let root = layout.root();
    let folder = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
    Flock::lock(folder, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock {}", root.display()))
}

/// The `weir` binary: what was asked for, this program, or what cargo built beside it.
fn program(asked: Option<PathBuf>) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let is_weir = |path: &Path| path.file_name().is_some_and(|name| name == "weir");
    let found = asked.or_else(|| {
        if is_weir(&own) {
            return Some(own.clone());
        }
        // target/debug/deps/test-123 and target/debug/examples/x stand one folder below weir.
        own.ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join("weir"))
            .find(|path| path.is_file())
    });
    match found {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => bail!("{} is not a program", path.display()),
        None => bail!(
            "the weir binary is not beside {}: build it with `cargo build -p weir`",
            own.display()
        ),
    }
}
