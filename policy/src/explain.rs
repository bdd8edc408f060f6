//! Why a flow gets its verdict, in full: the verdict of either end, which the [`Simulator`] gives with
//! the rule that decided or came nearest, and what selects that end.

mod side;
pub mod target;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Action, Direction, Protocol, World},
    nearest::Miss,
    verdict::{Flow, FlowError, HttpRequest, Outcome, SideVerdict, Simulator},
};

use target::{Target, TargetError};

/// Explains flows of one world.
#[derive(Debug)]
pub struct Explainer<'a> {
    world: &'a World,
    simulator: Simulator<'a>,
}

/// A verdict with everything that led to it. Has all fields of
/// [`FlowVerdict`](crate::verdict::FlowVerdict), and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedFlow {
    /// Who opens it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The judged port; not for ICMP.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideExplanation {
    /// The verdict of this end's rules.
    #[serde(flatten)]
    pub side: SideVerdict,
    /// The policies that select this end for the direction.
    pub selected_by: Vec<SelectingPolicy>,
}

/// A policy that selects an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        target::name_port(self.world, &mut flow)?;
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
        let mut side = |direction, own, peer, side| SideExplanation {
            side,
            selected_by: side::selected_by(
                self.world,
                &mut self.simulator,
                &flow,
                direction,
                own,
                peer,
            ),
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
