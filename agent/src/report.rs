//! What the agent tells the API of policies and of its pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use weir_cluster::kubernetes::{
    ClusterSource, Resource,
    report::{Event, Report, Reporter, enforcing, pod_patch, status_patch},
};
use weir_policy::model::PodName;
use weir_redirector::Unmanaged;

use crate::{Agent, source::Origin};

/// The API has addresses of pods from before a node started again until the kubelet has started each
/// of them: what is not under policy for so long only may be no fault.
const GRACE: Duration = Duration::from_secs(30);

/// Pods that are not under policy, and since when.
#[derive(Debug, Default)]
pub struct LostPods {
    since: BTreeMap<PodName, (Instant, Unmanaged)>,
}

impl LostPods {
    /// Takes in which pods are not under policy now; each is logged once.
    pub fn are(&mut self, unmanaged: &[Unmanaged]) {
        let mut before = std::mem::take(&mut self.since);
        for pod in unmanaged {
            let known = before.remove(&pod.pod);
            if known.as_ref().is_none_or(|(_, known)| known != pod) {
                tracing::error!(pod = %pod.pod, reason = pod.reason, "not under policy");
            }
            let since = known.map_or_else(Instant::now, |(since, _)| since);
            self.since.insert(pod.pod.clone(), (since, pod.clone()));
        }
        for pod in before.into_keys() {
            tracing::info!(%pod, "under policy, or gone");
        }
    }

    /// Those of them that the API is told of.
    fn for_long(&self) -> impl Iterator<Item = &Unmanaged> {
        let lost = self.since.values();
        lost.filter(|(since, _)| since.elapsed() >= GRACE)
            .map(|(_, pod)| pod)
    }
}

/// What the API of a cluster is told, and by whom.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// Name of the agent's own pod: its DaemonSet tells which nodes shall enforce a policy; else all
    /// nodes count.
    pub pod_name: Option<String>,
    /// Namespace of the agent's own pod.
    pub pod_namespace: Option<String>,
    /// Tell pods that are not under policy by a condition, too.
    pub pod_conditions: bool,
}

/// Tells the API of a cluster.
pub struct Reporting {
    reporter: Option<Reporter>,
    options: ReportOptions,
    /// Pods that are not under policy.
    pub lost_pods: LostPods,
}

impl Reporting {
    /// Begins to tell the cluster that objects come from, where they do.
    pub fn start(origin: &Origin, node: &str, options: ReportOptions) -> Self {
        let reporter = match origin {
            Origin::Cluster(client, _) => Some(Reporter::start(client.clone(), node)),
            Origin::Manifests(..) => None,
        };
        Self {
            reporter,
            options,
            lost_pods: LostPods::default(),
        }
    }

    /// Has the API told what is not said there yet. Never waits for it.
    pub fn report(&self, agent: &Agent, cluster: &ClusterSource) {
        let Some(reporter) = &self.reporter else {
            return;
        };
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let nodes = self.nodes_with_agents(agent);
        let in_force = agent.enforcement.state.failure.is_none();
        let mut report = Report::default();
        for policy in agent.policies.iter() {
            let kind = policy.kind.as_str();
            if let Some(patch) = status_patch(policy, &agent.node, &nodes, in_force, &now) {
                let key = (kind, policy.namespace.clone(), policy.name.clone());
                report.statuses.insert(key, patch);
            }
            for problem in &policy.problems {
                report.events.push(Event {
                    version: Resource::of_kind(kind)
                        .map_or_else(String::new, Resource::api_version),
                    kind,
                    namespace: policy.namespace.clone(),
                    name: policy.name.clone(),
                    uid: policy.uid.clone(),
                    reason: "PolicyRefused",
                    message: format!("{}: {}", problem.field, problem.reason),
                });
            }
        }
        for unmanaged in self.lost_pods.for_long() {
            let pod = &unmanaged.pod;
            report.events.push(Event {
                version: "v1".to_owned(),
                kind: "Pod",
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: cluster.uid_of_pod(pod).unwrap_or_default(),
                reason: "NotUnderPolicy",
                message: unmanaged.reason.clone(),
            });
        }
        if self.options.pod_conditions {
            let here = &agent.reading.placements;
            for pod in here.iter().filter(|pod| pod.node == agent.node) {
                let mut lost = self.lost_pods.for_long();
                let fault = lost.find(|lost| lost.pod == pod.pod);
                let fault = fault.map(|unmanaged| unmanaged.reason.as_str());
                if let Some(patch) = pod_patch(pod, fault, &now) {
                    let key = ("Pod", pod.pod.namespace.clone(), pod.pod.name.clone());
                    report.statuses.insert(key, patch);
                }
            }
        }
        reporter.tell(report);
    }

    /// The nodes that shall enforce policies.
    fn nodes_with_agents(&self, agent: &Agent) -> BTreeSet<String> {
        let own = self.options.pod_namespace.as_ref();
        let own = own.zip(self.options.pod_name.as_ref());
        let placements = &agent.reading.placements;
        let meant =
            own.and_then(|(namespace, name)| enforcing(placements, &PodName::new(namespace, name)));
        meant.unwrap_or_else(|| {
            let nodes = &agent.enforcement.state.world.nodes;
            nodes.iter().map(|node| node.name.clone()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_hears_of_pods_that_stay_lost() {
        let pod = |reason: &str| Unmanaged {
            pod: PodName::new("default", "sleep"),
            reason: reason.to_owned(),
            unknown: false,
        };
        let told = |lost: &LostPods| lost.for_long().cloned().collect::<Vec<_>>();
        let mut lost = LostPods::default();
        lost.are(&[pod("no interface")]);
        assert_eq!(told(&lost), []);
        let Some(long_ago) = Instant::now().checked_sub(GRACE) else {
            panic!("a machine that runs for less than {GRACE:?}");
        };
        lost.since
            .values_mut()
            .for_each(|(since, _)| *since = long_ago);
        // Another reason is no other loss.
        lost.are(&[pod("two pods have its address")]);
        assert_eq!(told(&lost), [pod("two pods have its address")]);
        lost.are(&[]);
        lost.are(&[pod("no interface")]);
        assert_eq!(told(&lost), []);
    }
}
