//! The agent: objects in, snapshot compiled, proxy told, kernel switched.
//!
//! One task owns everything; requests, changes of the folder and reports of the proxy come to it
//! one after the other. The order of a change is: proxy first (it then judges by the new snapshot
//! and still serves what the kernel sends it), kernel second.

mod addresses;
pub mod alone;
mod attach;
mod attachments;
mod check;
mod control;
mod facts;
mod flows;
mod health;
mod known;
mod learning;
mod locate;
mod names;
mod observe;
mod proxy;
mod report;
mod source;
mod status;
mod stored;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use weir_cluster::{
    Reading, SourceProblem,
    kubernetes::{PolicyState, report::Reporter},
};
use weir_observe::names::Names;
use weir_policy::{
    compile::{Compiler, Local, Snapshot},
    l7::L7Table,
    model::{Pod, World},
};
use weir_proxy::link::{agent::AgentEnd, trust::Trusted};
use weir_redirector::{Instance, Places, Redirector, RedirectorError, Unmanaged};

use addresses::Addresses;
use attach::Waiting;
use attachments::Attachments;
use control::Request;
use health::Health;
use known::KnownPods;
use locate::{Located, interfaces};
use observe::Observing;
use proxy::ProxyState;
use report::LostPods;
use source::Source;

pub use observe::ObserveOptions;
pub use report::ReportOptions;
pub use source::Origin;

/// How often addresses of names are looked through for those whose time is over.
const EXPIRY: Duration = Duration::from_secs(5);
/// How often learnt names are written down, where they have changed.
const STORING: Duration = Duration::from_secs(1);
/// How often calls of the CNI plugin are looked at that wait for their pod.
const SETTLING: Duration = Duration::from_millis(500);
/// How often pods are looked for whose interface was not found.
const SEARCH: Duration = Duration::from_secs(10);

/// A running agent.
pub struct Agent {
    node: String,
    source: Source,
    addresses: Addresses,
    /// Pods that the CNI plugin told of, and its calls that are not answered yet.
    attachments: Attachments,
    waiting: Vec<Waiting>,
    /// Pods of this node as they were known last.
    known: KnownPods,
    /// Pods that were found by their addresses; `None`: they are not looked for.
    located: Option<Located>,
    health: Health,
    /// Until pins of other versions are removed.
    superseding: Option<Instance>,
    /// Tells the API of a cluster.
    reporter: Option<Reporter>,
    reporting: ReportOptions,
    lost_pods: LostPods,
    /// Policies as the API showed them when the objects were read last.
    policies: Vec<PolicyState>,
    compiler: Compiler,
    redirector: Redirector,
    link: AgentEnd,
    proxy: ProxyState,
    requests: mpsc::Receiver<Request>,
    observing: Observing,
    rooms: facts::Rooms,
    /// What the self-check derives verdicts from, and what came of it.
    basis: watch::Sender<Arc<check::Basis>>,
    checks: Arc<check::Counts>,
    learnt: names::Names,
    /// What the proxy was sent last, which tells whose answers count.
    table: Arc<L7Table>,
    /// The objects as they were read last.
    reading: Reading,
    state: State,
}

/// What is in force.
#[derive(Default)]
struct State {
    world: Arc<World>,
    snapshot: Arc<Snapshot>,
    places: Places,
    problems: Vec<SourceProblem>,
    unmanaged: Vec<Unmanaged>,
    /// Pods, `NAMESPACE/NAME`, whose object is gone.
    orphans: Vec<String>,
    /// Some interface could not be looked up: it is tried again soon.
    unknown: bool,
    /// Some interface took no program: the next reading tries again.
    unattached: bool,
    /// The last change could not be put in force.
    failure: Option<String>,
}

impl Agent {
    /// Adopts what an earlier agent left, and puts the objects in force.
    pub async fn start(
        instance: Instance,
        origin: Origin,
        node: String,
        pod_ranges: Vec<IpNet>,
        observe: &ObserveOptions,
        reporting: ReportOptions,
        health: Option<SocketAddr>,
    ) -> Result<Self> {
        let (sender, requests) = mpsc::channel(16);
        let health = Health::serve(health, sender.clone()).await?;
        let reporter = match &origin {
            Origin::Cluster(client, _) => Some(Reporter::start(client.clone(), &node)),
            Origin::Manifests(..) => None,
        };
        let addresses = Addresses::start(pod_ranges).await?;
        let mut source = Source::start(origin)?;
        source.synced().await;
        let attachments = Attachments::load(&instance.run_dir().join("attachments.json"))?;
        let known = KnownPods::load(&instance.run_dir().join("known.json"))?;
        // Before anything is touched: what cannot be read at all must not be enforced as nothing.
        let policies = source.policies();
        let reading = source.read(attachments.all());
        refuse_fatal(&reading)?;
        let mut redirector = tokio::task::block_in_place(|| Redirector::open(&instance))?;
        let compiler = Compiler::after(redirector.last_id(), redirector.revision()?.into());
        let recorded = observe.recorded();
        let proxies = Trusted::of_instance(instance.name())
            .context("cannot enter the proxy's network namespaces")?;
        let link = AgentEnd::bind_recording(&instance.proxy_socket(), proxies, &recorded)
            .with_context(|| format!("cannot listen on {}", instance.proxy_socket().display()))?;
        let (basis, checked_against) = watch::channel(Arc::default());
        let checks = Arc::<check::Counts>::default();
        let check = check::SelfCheck::new(checked_against, Arc::clone(&checks));
        let observing = Observing::start(observe, &instance, &node, sender.clone()).await?;
        let intake = observing.intake.clone();
        tokio::spawn(flows::report(
            redirector.take_events()?,
            intake.clone(),
            check,
        ));
        let mut agent = Self {
            node,
            located: source.cluster().map(|_| Located::default()),
            source,
            addresses,
            attachments,
            waiting: Vec::new(),
            known,
            health,
            superseding: Some(instance.clone()),
            reporter,
            reporting,
            lost_pods: LostPods::default(),
            policies,
            compiler,
            redirector,
            link,
            proxy: ProxyState::new(intake),
            requests,
            observing,
            rooms: facts::rooms(&instance),
            basis,
            checks,
            learnt: names::Names::load(
                &instance.run_dir().join("state/names.json"),
                SystemTime::now(),
            ),
            table: Arc::default(),
            reading,
            state: State::default(),
        };
        agent.put_in_force().await;
        // On a cluster it stays, not ready, and tells: what was in force is in force, and new pods
        // are refused.
        if let Some(failure) = &agent.state.failure
            && agent.source.cluster().is_none()
        {
            bail!("{failure}");
        }
        control::listen(&instance.agent_socket(), sender)?;
        agent.health.ready();
        agent.report();
        tracing::info!(
            revision = agent.state.snapshot.revision,
            endpoints = agent.state.places.len(),
            policies = agent.state.world.policies.len(),
            "in force"
        );
        Ok(agent)
    }

    /// Runs until it is told to stop. Enforcement goes on without it.
    pub async fn run(mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut every_few_seconds = interval(EXPIRY);
        every_few_seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut settling, mut searching) = (interval(SETTLING), interval(SEARCH));
        let mut storing = interval(STORING);
        storing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        searching.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.source.changed() => {
                    changed?;
                    self.reconcile().await;
                }
                () = self.addresses.changed() => {
                    self.put_in_force().await;
                    self.settle();
                }
                Some(request) = self.requests.recv() => self.answer(request).await,
                Some(event) = self.link.next() => {
                    self.proxy.handle(event, &self.link, &mut self.redirector);
                }
                _ = every_few_seconds.tick() => {
                    self.forget_names().await;
                    self.sweep().await;
                    self.note_losses();
                    self.hear_proxy();
                }
                _ = storing.tick(), if self.learnt.changed() => self.learnt.store(),
                _ = settling.tick(), if !self.waiting.is_empty() => self.settle(),
                _ = searching.tick(), if self.located.is_some() => {
                    self.drop_dead_attachments();
                    if !self.state.unmanaged.is_empty() {
                        self.reconcile().await;
                    }
                    self.report();
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
            while !self.proxy.learnt.is_empty() {
                self.learn().await;
            }
        }
        if self.learnt.changed() {
            self.learnt.store();
        }
        tracing::info!("stopping; what is in force stays in force");
        Ok(())
    }

    /// Reads the objects, and puts them in force where they have changed.
    async fn reconcile(&mut self) {
        // Read before the objects: what is said of them is never newer than what is in force.
        self.policies = self.source.policies();
        let attachments = self.attachments.all();
        self.reading = tokio::task::block_in_place(|| self.source.read(attachments));
        self.put_in_force().await;
        self.settle();
        self.report();
    }

    /// Lets go of interfaces that are gone, and looks again for what could not be looked up.
    async fn sweep(&mut self) {
        match tokio::task::block_in_place(|| self.redirector.release_gone()) {
            Ok(0) if !self.state.unknown => {}
            Ok(_) => self.reconcile().await,
            Err(error) => tracing::warn!(%error, "interfaces that are gone have entries"),
        }
    }

    async fn apply(&mut self, reading: &Reading) {
        let noticed = Instant::now();
        self.tell_problems(reading);
        let placed = tokio::task::block_in_place(|| self.place(reading));
        let (places, mut unmanaged, orphans) = match placed {
            Ok(placed) => placed,
            Err(error) => return self.failed(error.to_string()),
        };
        self.state.orphans = orphans.iter().map(Pod::full_name).collect();
        let world = match orphans.is_empty() {
            true => Cow::Borrowed(&reading.world),
            false => {
                let mut world = reading.world.clone();
                world.pods.extend(orphans);
                Cow::Owned(world)
            }
        };
        let unchanged = *world == *self.state.world
            && places == self.state.places
            && self.state.failure.is_none()
            && !self.state.unattached
            && self.state.snapshot.revision > 0;
        if unchanged {
            return;
        }
        self.known.learn(reading, &places, self.attachments.all());
        let snapshot = self.compiler.compile(&world, Local::Node(&self.node));
        let (world, snapshot) = (Arc::new(world.into_owned()), Arc::new(snapshot));
        let table = L7Table::new(&snapshot, |namespace, name| {
            places.get(namespace, name).map(|place| place.index)
        });
        if let Err(error) = self.link.send_snapshot(&table) {
            return self.failed(format!("the proxy's snapshot: {error}"));
        }
        self.table = Arc::new(table);
        self.proxy
            .wait_for(snapshot.revision, &mut self.link, &mut self.redirector)
            .await;
        let index = |namespace: &str, name: &str| Some(places.get(namespace, name)?.index);
        let names = Names::new(&self.node, world.clone(), snapshot.clone(), index);
        self.observing.intake.names(Arc::new(names));
        self.basis
            .send_replace(Arc::new(check::Basis::new(snapshot.clone(), &places)));
        let applied = tokio::task::block_in_place(|| {
            self.redirector
                .apply(&snapshot, &reading.world.services, &places)
        });
        match applied {
            Ok(unattached) => {
                self.state.unattached = !unattached.is_empty();
                unmanaged.extend(unattached);
            }
            Err(error) => return self.failed(error.to_string()),
        }
        self.lost_pods.are(&unmanaged);
        tracing::info!(
            revision = snapshot.revision,
            endpoints = places.len(),
            policies = reading.world.policies.len(),
            refused = self.state.problems.len(),
            "in force"
        );
        self.observing.metrics.agent().enforced(noticed.elapsed());
        self.state.world = world;
        self.state.snapshot = snapshot;
        self.tell_problems(reading);
        self.state.places = places;
        self.state.unmanaged = unmanaged;
        self.state.failure = None;
        self.supersede();
    }

    /// Where the pods of this node are, which have no place, and pods whose object is gone.
    fn place(
        &mut self,
        reading: &Reading,
    ) -> Result<(Places, Vec<Unmanaged>, Vec<Pod>), RedirectorError> {
        self.redirector.release_gone()?;
        let redirector = &self.redirector;
        self.known
            .forget_gone(|interface| matches!(redirector.is_there(interface), Ok(false)));
        let is_gone = |name: &str| matches!(redirector.is_there_by_name(name), Ok(false));
        let located = self.located.as_mut();
        let (pods, mut unmanaged) = interfaces(reading, &self.node, located, is_gone);
        let (mut places, unplaced) = self.redirector.place(&pods)?;
        unmanaged.extend(unplaced);
        self.state.unknown = unmanaged.iter().any(|pod| pod.unknown);
        let on_cluster = self.source.cluster().is_some();
        let completion = self.known.complete(reading, &places, on_cluster);
        let (more, _) = self.redirector.place(&completion.places)?;
        places.extend(more);
        // Where it was in force before, it is in force.
        let in_force = |(namespace, name): (&str, &str)| places.get(namespace, name).is_some();
        unmanaged.retain(|pod| pod.pod.split_once('/').is_none_or(|pod| !in_force(pod)));
        Ok((places, unmanaged, completion.orphans))
    }

    /// Tells what is not in force as written, of the objects and of what they say together. What was told
    /// already is not logged again.
    fn tell_problems(&mut self, reading: &Reading) {
        let mut problems = reading.problems.clone();
        problems.extend(self.state.snapshot.contested.iter().map(contested));
        for problem in problems.iter().filter(|p| !self.state.problems.contains(p)) {
            tracing::warn!(%problem, "not in force as written");
        }
        self.state.problems = problems;
    }

    /// Removes what agents of other versions left, once this one is in charge.
    fn supersede(&mut self) {
        // While an interface has only their programs, they stay.
        if !self.redirector.unguarded().is_empty() {
            return;
        }
        let Some(instance) = self.superseding.take() else {
            return;
        };
        match instance.remove_other_versions() {
            Ok(removed) => {
                for path in removed {
                    let path = path.display();
                    tracing::info!(%path, "removed what an agent of another version left");
                }
            }
            Err(error) => {
                tracing::error!(%error, "programs of another version are still attached");
                self.superseding = Some(instance);
            }
        }
    }

    /// What was in force stays in force.
    fn failed(&mut self, reason: String) {
        tracing::error!(reason, "the change is not in force");
        self.observing.metrics.agent().failed();
        self.state.failure = Some(reason);
    }
}

/// An address that more than one have, as a problem of the one that came last.
fn contested((address, owners): (&IpAddr, &Vec<String>)) -> SourceProblem {
    let (last, others) = owners
        .split_last()
        .map_or(("", &[][..]), |(last, others)| (last, others));
    SourceProblem {
        place: String::new(),
        object: last.to_owned(),
        field: "status.podIPs".to_owned(),
        reason: format!(
            "{address} is of {} too: as long as it is, no rule that allows holds for it",
            others.join(" and ")
        ),
        fatal: false,
    }
}

fn refuse_fatal(reading: &Reading) -> Result<()> {
    let fatal: Vec<String> = reading
        .problems
        .iter()
        .filter(|problem| problem.fatal)
        .map(ToString::to_string)
        .collect();
    if !fatal.is_empty() {
        bail!(
            "manifests that cannot be read, so nothing was changed:\n  {}",
            fatal.join("\n  ")
        );
    }
    Ok(())
}
