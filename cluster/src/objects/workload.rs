//! Workloads that make pods, for readers of manifests that have no cluster to make them.

use serde::Deserialize;

use super::{
    Fault, Meta, Object, ObjectKey, Raw, or_default,
    pod::{self, PodObject},
};

/// More replicas than this are not made: a manifest is no proof of a machine that carries them.
const MAX_REPLICAS: u32 = 10_000;

/// Labels that a cluster gives the pods of a Job: its name. Those of a CronJob have the name of a Job
/// that is not known before.
const JOB_NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// A kind that makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

/// A workload: its pod, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The pod without name and address.
    pub template: PodObject,
    /// `None`: one for each node.
    pub replicas: Option<u32>,
    /// Another workload made it and stands for its pods.
    pub owned: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSpec {
    replicas: Option<u32>,
    /// How many pods of a Job run at once.
    parallelism: Option<u32>,
    /// A CronJob's Job.
    #[serde(rename = "jobTemplate", deserialize_with = "or_default")]
    job_template: RawJobTemplate,
    #[serde(deserialize_with = "or_default")]
    template: RawTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawJobTemplate {
    #[serde(deserialize_with = "or_default")]
    spec: RawJobSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawJobSpec {
    parallelism: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    template: RawTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTemplate {
    #[serde(deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    spec: pod::RawSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStatus {
    /// When a Job was complete.
    #[serde(rename = "completionTime")]
    completion_time: Option<String>,
}

pub(super) fn workload(
    kind: WorkloadKind,
    key: &ObjectKey,
    raw: Raw<RawSpec, RawStatus>,
) -> Result<Object, Fault> {
    let spec = raw.spec;
    let of_job = spec.job_template.spec;
    let (template, counted, within, number) = match kind {
        WorkloadKind::CronJob => (
            of_job.template,
            of_job.parallelism,
            "spec.jobTemplate.spec",
            "parallelism",
        ),
        WorkloadKind::Job => (spec.template, spec.parallelism, "spec", "parallelism"),
        _ => (spec.template, spec.replicas, "spec", "replicas"),
    };
    let replicas = match kind {
        WorkloadKind::DaemonSet => None,
        // Its pods have run; a cluster's index leaves them out likewise.
        WorkloadKind::Job if raw.status.completion_time.is_some() => Some(0),
        _ => Some(counted.unwrap_or(1)),
    };
    if let Some(count) = replicas.filter(|count| *count > MAX_REPLICAS) {
        return Err((
            format!("{within}.{number}"),
            format!("`{count}` is more than {MAX_REPLICAS}"),
        ));
    }
    let mut labels = template.metadata.labels;
    if kind == WorkloadKind::Job {
        for label in JOB_NAME_LABELS {
            labels.insert(label.to_owned(), key.name.clone());
        }
    }
    let template = pod::of_template(&key.namespace, labels, &template.spec)
        .map_err(|(field, reason)| (format!("{within}.template.{field}"), reason))?;
    Ok(Object::Workload(Box::new(Workload {
        template,
        replicas,
        owned: raw
            .metadata
            .owner_references
            .iter()
            .any(|owner| WorkloadKind::named(&owner.kind).is_some()),
    })))
}

impl WorkloadKind {
    /// The kind that objects name so.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Deployment" => Self::Deployment,
            "ReplicaSet" => Self::ReplicaSet,
            "StatefulSet" => Self::StatefulSet,
            "DaemonSet" => Self::DaemonSet,
            "Job" => Self::Job,
            "CronJob" => Self::CronJob,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// The group and version of the API that it is of.
    pub fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::ReplicaSet | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
        }
    }
}
