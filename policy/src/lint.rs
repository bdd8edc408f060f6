//! Mistakes that are easy to make in policies and hard to see.
//!
//! A lint looks at one policy as it is written and as it is understood, in the world of its
//! neighbours. What is wrong everywhere is said without pods; what depends on pods is said only
//! where the manifests have them. `docs/lints.md` lists all of them.

mod context;
mod dns;
mod grpc;
mod help;
mod host;
mod http;
mod ignore;
mod isolation;
mod names;
mod namespaces;
mod peers;
mod ports;
pub mod registry;
pub mod sarif;
mod services;
mod shadow;
mod structure;
#[cfg(test)]
mod tests;

use std::{cell::OnceCell, collections::BTreeSet, net::IpAddr};

use serde::Serialize;
use serde_json::Value;

use crate::{
    model::World,
    objects::{self, Parsed},
};

use context::Context;
pub use help::help;
pub use ignore::ANNOTATION as IGNORE_ANNOTATION;
pub use registry::{LINTS, Lint, Severity};

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Input<'a> {
    /// The pods, namespaces, services and policies that are there, addresses included.
    pub world: World,
    /// The policy objects as written.
    pub policies: Vec<&'a Value>,
    /// Pod addresses that are real; those of `world` may have been made up.
    pub pod_addresses: BTreeSet<IpAddr>,
    /// Addresses of services that are real, likewise.
    pub service_addresses: BTreeSet<IpAddr>,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id of its lint: `W002`.
    pub id: &'static str,
    /// Name of its lint: `cross-namespace`.
    pub lint: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// `Kind/NAMESPACE/NAME` of the policy.
    pub object: String,
    /// The field, as a path.
    pub field: String,
    /// What is wrong.
    pub why: String,
    /// What would be right.
    pub fix: String,
    /// The policy's place in [`Input::policies`].
    #[serde(skip)]
    pub policy: usize,
}

/// Looks at every policy; findings come in order of policy and id.
pub fn lint(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let compiled = OnceCell::new();
    for (index, value) in input.policies.iter().enumerate() {
        let Some(kind) = objects::kind_of(value) else {
            continue;
        };
        let (policy, problems) = match objects::parse(kind, value) {
            Ok(Parsed { policy, problems }) => (Some(policy), problems),
            Err(refused) => (None, refused.problems),
        };
        let object = objects::reference(kind, value);
        let mut report = Report {
            index,
            object: object.to_string(),
            found: Vec::new(),
        };
        for problem in problems {
            let fix = objects::unrendered(&problem.reason)
                .unwrap_or("correct it: as it is, this part is left out or denies");
            report.add(&registry::REFUSED, problem.field, problem.reason, fix);
        }
        let ignored = ignore::read(value, &mut report);
        if let Some(policy) = policy {
            let context = Context {
                input,
                value,
                policy: &policy,
                compiled: &compiled,
            };
            structure::check(&context, &mut report);
            isolation::check(&context, &mut report);
            host::check(&context, &mut report);
            peers::check(&context, &mut report);
            ports::check(&context, &mut report);
            services::check(&context, &mut report);
            dns::check(&context, &mut report);
            names::check(&context, &mut report);
            http::check(&context, &mut report);
            shadow::check(&context, &mut report);
        }
        report.found.retain(|finding| !ignored.contains(finding.id));
        report
            .found
            .sort_by(|a, b| (a.id, &a.field).cmp(&(b.id, &b.field)));
        report.found.dedup();
        findings.append(&mut report.found);
    }
    findings
}

/// Collects the findings of one policy.
struct Report {
    index: usize,
    object: String,
    found: Vec<Finding>,
}

// === impl Report ===

impl Report {
    fn add(
        &mut self,
        lint: &'static Lint,
        field: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.found.push(Finding {
            id: lint.id,
            lint: lint.name,
            severity: lint.severity,
            object: self.object.clone(),
            field: field.into(),
            why: why.into(),
            fix: fix.into(),
            policy: self.index,
        });
    }
}
