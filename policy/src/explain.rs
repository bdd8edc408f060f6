//! Why a flow gets its verdict, in full: what selects either end, the rule that decided, and the
//! rule that came nearest.
//!
//! The verdict is the [`Simulator`]'s. Which rules match is told by the compiled snapshot; what a
//! rule lacks is read off the model, so that it can be said in the words of the object.

mod http;
mod misses;
mod peers;
mod ports;
mod side;
pub mod target;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::{
    model::{Action, Direction, Protocol, World},
    verdict::{Flow, FlowError, HttpRequest, Outcome, SideVerdict, Simulator},
};

pub use misses::{Miss, MissKind};
use target::{Target, TargetError};

/// Explains flows of one world.
#[derive(Debug)]
pub struct Explainer<'a> {
    world: &'a World,
    simulator: Simulator<'a>,
}

/// A verdict with everything that led to it. Has all fields of
/// [`FlowVerdict`](crate::verdict::FlowVerdict), and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The flow as it was judged.
    pub flow: JudgedFlow,
    /// What the client sees.
    pub verdict: Outcome,
    /// The client's side.
    pub egress: SideExplanation,
    /// The server's side.
    pub ingress: SideExplanation,
}

/// A flow as it was judged: names resolved, the service's port taken for the endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgedFlow {
    /// Who opens it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The endpoint's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `METHOD PATH` of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// `NAMESPACE/NAME:PORT` of the service by whose way it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// One end's part of an [`Explanation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideExplanation {
    /// The verdict of this end's rules.
    #[serde(flatten)]
    pub side: SideVerdict,
    /// The policies that select this end for the direction.
    pub selected_by: Vec<SelectingPolicy>,
    /// The rules that decided; empty where the direction's default did.
    pub decided_by: Vec<RuleAt>,
    /// For what the default denied: the rule that would allow it if the least were different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<NearestMiss>,
}

/// A policy that selects an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelectingPolicy {
    /// `Kind/NAMESPACE/NAME`.
    pub policy: String,
    /// Whether it makes the direction deny by default.
    pub isolates: bool,
    /// Whether it is in audit mode, and denies nothing.
    pub audit: bool,
    /// Each of its rules for the direction, and what it lacks.
    pub rules: Vec<RuleResult>,
}

/// A rule and what the flow lacks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleResult {
    /// Its place in the object.
    pub field: String,
    /// Allow or deny.
    pub action: Action,
    /// Whether peer, protocol and port fit; of HTTP rules nothing is said here.
    pub matches: bool,
    /// What does not fit.
    pub misses: Vec<Miss>,
}

/// A rule, by object and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleAt {
    /// `Kind/NAMESPACE/NAME`.
    pub policy: String,
    /// Its place in the object.
    pub field: String,
}

/// A rule that would have allowed the flow, but for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearestMiss {
    /// `Kind/NAMESPACE/NAME`.
    pub policy: String,
    /// Its place in the object.
    pub field: String,
    /// Which of the policy's rules for the direction it is, counted from 1.
    pub number: usize,
    /// What does not fit; never empty.
    pub misses: Vec<Miss>,
    /// All of it as one sentence.
    pub text: String,
}

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// An end that is not known.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A flow that cannot be judged.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

// === impl Explainer ===

impl<'a> Explainer<'a> {
    /// Explains flows of this world.
    pub fn new(world: &'a World) -> Self {
        Self {
            world,
            simulator: Simulator::new(world),
        }
    }

    /// Explains a flow, whose ends may be written as [`target::resolve`] takes them.
    ///
    /// # Errors
    /// [`ExplainError`] where an end is not known or the flow cannot be judged.
    pub fn explain(&mut self, flow: &Flow) -> Result<Explanation, ExplainError> {
        let from = match target::resolve(self.world, "from", &flow.from)? {
            Target::End(name) => name,
            Target::Service(service) => {
                return Err(TargetError::NoClient {
                    name: format!("{}/{}", service.namespace, service.name),
                }
                .into());
            }
        };
        let mut flow = Flow {
            from,
            ..flow.clone()
        };
        let service = target::destination(self.world, &mut flow)?;
        let verdict = self.simulator.judge(&flow)?;
        // The backends agree, or the simulator would have refused: the first stands for all.
        if let Some((address, port)) = service
            .as_ref()
            .and_then(|service| service.backends.first())
        {
            keep_host(&mut flow);
            flow.to = target::name_of(self.world, *address);
            flow.port = Some(*port);
        }
        let (from, to) = self.simulator.ends(&flow.from, &flow.to)?;
        let mut side = |direction, own, peer, verdict| {
            side::explain(
                self.world,
                &mut self.simulator,
                &flow,
                direction,
                own,
                peer,
                verdict,
            )
        };
        let egress = side(Direction::Egress, from, to, verdict.egress);
        let ingress = side(Direction::Ingress, to, from, verdict.ingress);
        Ok(Explanation {
            verdict: verdict.verdict,
            egress,
            ingress,
            flow: JudgedFlow {
                from: flow.from,
                to: flow.to,
                protocol: flow.protocol,
                port: flow.port.filter(|_| !is_icmp(flow.protocol)),
                request: flow.http.as_ref().map(request_line),
                service: service.map(|service| service.shown),
            },
        })
    }
}

/// A request without a host has the destination's as written, which must outlive its resolution.
fn keep_host(flow: &mut Flow) {
    let written = flow.to.clone();
    if let Some(http) = &mut flow.http {
        http.host.get_or_insert(written);
    }
}

/// Whether the protocol has no ports.
fn is_icmp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Icmp | Protocol::Icmpv6)
}

fn request_line(request: &HttpRequest) -> String {
    format!("{} {}", request.method, request.path)
}

// === impl Explanation ===

impl Explanation {
    /// The sides that did not allow the flow, client's first.
    pub fn denying(&self) -> impl Iterator<Item = &SideExplanation> {
        [&self.egress, &self.ingress]
            .into_iter()
            .filter(|side| side.side.verdict != Outcome::Allow)
    }
}
