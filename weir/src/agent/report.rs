//! What the agent tells the API of policies and of its pods.

use std::collections::BTreeSet;

use weir_cluster::kubernetes::{
    Resource,
    report::{Event, Report, status_patch},
};

use super::Agent;

impl Agent {
    /// Has the API told what is not said there yet. Never waits for it.
    pub(super) fn report(&self) {
        let (Some(cluster), Some(reporter)) = (self.source.cluster(), &self.reporter) else {
            return;
        };
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let nodes = &self.state.world.nodes;
        let nodes: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
        let in_force = self.state.failure.is_none();
        let mut report = Report::default();
        for policy in &self.policies {
            let kind = policy.kind.as_str();
            if let Some(patch) = status_patch(policy, &self.node, &nodes, in_force, &now) {
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
        for unmanaged in &self.state.unmanaged {
            let Some((namespace, name)) = unmanaged.pod.split_once('/') else {
                continue;
            };
            report.events.push(Event {
                version: "v1".to_owned(),
                kind: "Pod",
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                uid: cluster.uid_of_pod(namespace, name).unwrap_or_default(),
                reason: "NotUnderPolicy",
                message: unmanaged.reason.clone(),
            });
        }
        reporter.tell(report);
    }
}
