//! Who asks for flows: so many at once, each peer with its share, and so many patterns for all of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{
    Request, Status,
    transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo},
};
use weir_gate::{Gate, Limits, Pass, Peer, Refused};

use crate::{api::observer::GetFlowsRequest, filter::patterns};

/// Requests for flows that are answered at once. Each may hold some 500 KiB for a client that does not
/// read.
const LIMITS: Limits = Limits {
    total: 128,
    per_peer: 64,
};
/// Patterns of all of them, of some 400 KiB each at the most.
const PATTERNS: usize = 256;
/// As metrics tell of them.
const NAME: &str = "observer-flows";

/// Those who ask one server for flows.
#[derive(Debug, Clone)]
pub struct Askers {
    gate: Arc<Gate>,
    patterns: Arc<Semaphore>,
}

/// The place of one request, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _pass: Pass,
    _patterns: OwnedSemaphorePermit,
}

// === impl Askers ===

impl Default for Askers {
    fn default() -> Self {
        Self {
            gate: Gate::told(NAME, LIMITS),
            patterns: Arc::new(Semaphore::new(PATTERNS)),
        }
    }
}

impl Askers {
    /// Lets a request in, before anything is compiled for it.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, with the bound, where there is no room for it.
    pub fn enter(&self, peer: Peer, request: &GetFlowsRequest) -> Result<Place, Status> {
        let pass = self.gate.enter(peer).map_err(|refused| {
            let Limits { total, per_peer } = LIMITS;
            Status::resource_exhausted(match refused {
                Refused::Full => {
                    format!("{total} requests for flows are answered at once, no more")
                }
                Refused::Peer => {
                    format!(
                        "{per_peer} requests for flows of one peer are answered at once, no more"
                    )
                }
            })
        })?;
        let number = u32::try_from(patterns(request)).unwrap_or(u32::MAX);
        let patterns = Arc::clone(&self.patterns).try_acquire_many_owned(number);
        let patterns = patterns.map_err(|_| {
            Status::resource_exhausted(format!(
                "filters may have {PATTERNS} patterns in all requests at once, no more"
            ))
        })?;
        Ok(Place {
            _pass: pass,
            _patterns: patterns,
        })
    }

    /// How many are answered now.
    #[cfg(test)]
    pub fn answering(&self) -> usize {
        self.gate.count().open
    }
}

/// Whom a request comes from.
pub fn peer<T>(request: &Request<T>) -> Peer {
    let known = request.extensions();
    let user = known.get::<UdsConnectInfo>().and_then(|of| of.peer_cred);
    let tcp = known.get::<TcpConnectInfo>();
    let tls = known.get::<TlsConnectInfo<TcpConnectInfo>>();
    let address = tcp.or_else(|| tls.map(TlsConnectInfo::get_ref));
    match (user, address.and_then(TcpConnectInfo::remote_addr)) {
        (Some(user), _) => Peer::User(user.uid()),
        (None, Some(address)) => Peer::Address(address.ip()),
        (None, None) => Peer::Anybody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::flow::FlowFilter;

    fn with_patterns(number: usize) -> GetFlowsRequest {
        let filter = FlowFilter {
            http_path: vec!["^/a".to_owned(); number],
            ..FlowFilter::default()
        };
        GetFlowsRequest {
            whitelist: vec![filter],
            ..GetFlowsRequest::default()
        }
    }

    #[test]
    fn no_peer_takes_all_places_and_each_is_given_back() {
        let (askers, plain) = (Askers::default(), GetFlowsRequest::default());
        let enter = |user| askers.enter(Peer::User(user), &plain);
        let half: Vec<Place> = (0..64).map(|_| enter(1).expect("room")).collect();
        let refused = enter(1).expect_err("it has its share");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("64 requests"), "{refused:?}");
        let other: Vec<Place> = (0..64).map(|_| enter(2).expect("room")).collect();
        let refused = enter(3).expect_err("all places are taken");
        assert!(refused.message().contains("128 requests"), "{refused:?}");
        drop(half);
        assert!(enter(3).is_ok());
        drop(other);
    }

    #[test]
    fn patterns_are_bounded_over_all_requests() {
        let askers = Askers::default();
        let enter = |number| askers.enter(Peer::Anybody, &with_patterns(number));
        let many: Vec<Place> = (0..8).map(|_| enter(32).expect("room")).collect();
        let refused = enter(1).expect_err("no patterns are left");
        assert!(refused.message().contains("256 patterns"), "{refused:?}");
        assert!(enter(0).is_ok(), "who needs none is answered");
        drop(many);
        assert!(enter(32).is_ok());
    }
}
