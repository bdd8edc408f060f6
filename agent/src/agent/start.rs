//! The start: what an earlier agent left is adopted, and the objects are put in force.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use tokio::sync::{Semaphore, mpsc};
use weir_cluster::Reading;
use weir_link::proxy::{AgentEnd, Trusted};
use weir_policy::{compile::Compiler, model::HostPolicies};
use weir_redirector::{Pins, Redirector, Sweeper, Tally};

use super::Agent;
use crate::{
    addresses::Addresses,
    change::Enforcement,
    check::SelfChecked,
    control, flows,
    health::Health,
    names::Learnt,
    observe::{Numbers, ObserveOptions, Observing},
    pods::Pods,
    proxies::Proxies,
    report::{ReportOptions, Reporting},
    source::{Origin, Source},
    tracking::Tracking,
    waiting::Waiting,
};

/// How an agent is set up.
pub struct Options {
    /// What it keeps in the kernel, and for which instance.
    pub pins: Pins,
    /// Where its objects come from.
    pub origin: Origin,
    /// The name of its node.
    pub node: String,
    /// Prefixes of pods' addresses, beside those of nodes.
    pub pod_ranges: Vec<IpNet>,
    /// What is recorded of flows, and who can read it.
    pub observe: ObserveOptions,
    /// What the API of a cluster is told.
    pub report: ReportOptions,
    /// What becomes of policies that select nodes.
    pub host_policies: HostPolicies,
    /// What the kernel's programs may do beside enforcing.
    pub kernel: weir_redirector::Options,
    /// Where probes are answered.
    pub health: Option<SocketAddr>,
}

impl Agent {
    /// Adopts what an earlier agent left, and puts the objects in force.
    ///
    /// # Errors
    /// Something that it needs is not to be had, or objects in files cannot be read at all; what was in
    /// force is in force.
    pub async fn start(options: Options) -> Result<Self> {
        let Options {
            pins, origin, node, ..
        } = options;
        let instance = pins.instance();
        let (sender, requests) = mpsc::channel(16);
        let health = Health::serve(options.health, sender.clone()).await?;
        let reporting = Reporting::start(&origin, &node, options.report);
        let addresses = Addresses::start(options.pod_ranges).await?;
        let mut source = Source::start(origin)?;
        source.synced().await;
        let pods = Pods::load(&instance.run_dir(), source.cluster().is_some())?;
        // Before anything is touched: what cannot be read at all must not be enforced as nothing.
        let policies = Arc::new(source.policies());
        let mut reading = source.read();
        refuse_fatal(&reading)?;
        pods.put_into(&mut reading);
        let mut kernel = tokio::task::block_in_place(|| Redirector::open(&pins, options.kernel))?;
        let compiler = Compiler::after(kernel.last_id(), kernel.revision()?.into());
        let trusted = Trusted::of_instance(instance)
            .context("cannot enter the proxy's network namespaces")?;
        let (checked, check) = SelfChecked::new();
        let tally = Tally::open(&pins).context("the connection table cannot be counted")?;
        let tracking = Tracking::start(move || tally.count());
        let tracking = tracking.context("no thread to count what is tracked")?;
        let numbers = Numbers::new(sender.clone(), tracking.clone());
        let observing = Observing::start(&options.observe, instance, &node, numbers).await?;
        let intake = observing.intake.clone();
        let recorded = options.observe.recorded();
        let records = Arc::new({
            let intake = intake.clone();
            move |records| intake.requests(records)
        });
        let link = AgentEnd::bind_recording(
            &instance.proxy_socket(),
            trusted,
            &recorded,
            Some(records),
        )
        .with_context(|| format!("cannot listen on {}", instance.proxy_socket().display()))?;
        tokio::spawn(flows::report(kernel.take_events()?, intake.clone(), check));
        let enforcement = Enforcement::new(&node, compiler, options.host_policies);
        let tables = enforcement.tables.subscribe();
        let sweeper =
            Sweeper::open(&pins).context("the connection table cannot be looked through")?;
        flows::sweep(sweeper).context("no thread to look through the connection table")?;
        let requests_judged = kernel.take_requests()?;
        tokio::spawn(flows::report_requests(
            requests_judged,
            intake.clone(),
            tables,
        ));
        let names = instance.run_dir().join("state/names.json");
        let mut agent = Self {
            source,
            reading,
            policies,
            addresses,
            pods,
            names: Learnt::load(&names, SystemTime::now()),
            enforcement,
            node,
            kernel,
            proxies: Proxies::new(link),
            checked,
            tracking: tracking.clone(),
            turn: Arc::new(Semaphore::new(1)),
            observing,
            reporting,
            waiting: Waiting::default(),
            requests,
            health,
            superseding: Some(pins.clone()),
        };
        agent.put_in_force().await;
        // On a cluster it stays, not ready, and tells: what was in force is in force, and new pods
        // are refused.
        if let Some(failure) = &agent.enforcement.state.failure
            && agent.source.cluster().is_none()
        {
            bail!("{failure}");
        }
        control::listen(&instance.agent_socket(), sender, tracking)?;
        agent.health.ready();
        agent.report();
        let state = &agent.enforcement.state;
        tracing::info!(
            revision = state.snapshot.revision,
            endpoints = state.places.len(),
            policies = state.world.policies.len(),
            "in force"
        );
        Ok(agent)
    }
}

fn refuse_fatal(reading: &Reading) -> Result<()> {
    let fatal: Vec<String> = reading.fatal().map(ToString::to_string).collect();
    if !fatal.is_empty() {
        bail!(
            "manifests that cannot be read, so nothing was changed:\n  {}",
            fatal.join("\n  ")
        );
    }
    Ok(())
}
