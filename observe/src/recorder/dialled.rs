//! Which service a client had dialled. Only the client's side knows: it translates the address, and
//! what the server's side and the proxy see is a backend.

use std::{collections::HashMap, net::SocketAddr};

use weir_abi::event::Event;
use weir_link::proxy::L7Record;

use crate::{
    api::flow::{Flow, Service},
    record::address,
};

/// Connections that are remembered; past it all are forgotten together.
const REMEMBERED: usize = 1 << 15;

/// Services by connection: client, and server after translation.
#[derive(Debug, Default)]
pub struct Dialled(HashMap<(SocketAddr, SocketAddr), Service>);

impl Dialled {
    /// Remembers what a verdict tells of a service, or tells the records what is remembered.
    pub fn complete(&mut self, event: &Event, flows: &mut [Flow]) {
        let key = (
            SocketAddr::new(address(event.source), event.source_port),
            SocketAddr::new(address(event.destination), event.destination_port),
        );
        let known = flows
            .first()
            .and_then(|flow| flow.destination_service.clone());
        match known {
            Some(service) => {
                if self.0.len() >= REMEMBERED {
                    self.0.clear();
                }
                self.0.insert(key, service);
            }
            // The same ports may be used again for the backend itself: what is judged at the
            // client's side has told already.
            None if event.direction == weir_abi::policy::direction::EGRESS => {
                self.0.remove(&key);
            }
            None => {
                for flow in flows {
                    flow.destination_service = self.0.get(&key).cloned();
                }
            }
        }
    }

    /// The service that the client of a request had dialled.
    pub fn of_request(&self, request: &L7Record) -> Option<&Service> {
        self.0.get(&(request.client, request.server))
    }
}

#[cfg(test)]
mod tests {
    use weir_abi::policy::{direction, verdict};

    use super::*;
    use crate::testing::{DENY, policy, syn};

    #[test]
    fn the_servers_side_is_told_what_the_client_dialled() {
        let mut dialled = Dialled::default();
        let mut event = syn(&policy(DENY), verdict::ALLOW);
        let service = Service {
            name: "httpbin".into(),
            namespace: "default".into(),
        };
        event.direction = direction::EGRESS;
        let mut client = [Flow {
            destination_service: Some(service.clone()),
            ..Flow::default()
        }];
        dialled.complete(&event, &mut client);
        event.direction = direction::INGRESS;
        let mut server = [Flow::default()];
        dialled.complete(&event, &mut server);
        assert_eq!(server[0].destination_service, Some(service));
        event.source_port += 1;
        let mut other = [Flow::default()];
        dialled.complete(&event, &mut other);
        assert_eq!(other[0].destination_service, None);
    }
}
