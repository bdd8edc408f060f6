//! Learning what names resolve to. A proxy says what servers told endpoints; what counts is what the
//! endpoint's own DNS rule lets it ask that server for, and only what the endpoint's rules name.

use std::time::SystemTime;

use weir_policy::{
    compile::{Atom, Owner, PeerMatch},
    model::Direction,
    names::Name,
};
use weir_proxy::dns::learn::Learned;

use super::{
    Agent,
    names::{Question, Refused},
};

impl Agent {
    /// Takes in what the proxy has learnt of names. Its answers wait for this.
    pub(super) async fn learn(&mut self) {
        let learnt = std::mem::take(&mut self.proxy.learnt);
        let mut new = false;
        for learned in &learnt {
            new |= self.take_in(learned);
        }
        if new {
            self.put_in_force().await;
        }
        for learned in learnt {
            self.link.enforced(learned.ticket);
        }
    }

    /// Takes in one answer; tells whether it says anything new.
    fn take_in(&mut self, learned: &Learned) -> bool {
        let Learned {
            flow,
            name,
            addresses,
            ..
        } = learned;
        let Some(pod) = self.table.endpoint_name(flow.endpoint).map(str::to_owned) else {
            self.learnt.refuse(Refused::Unasked);
            return false;
        };
        // The proxy judged the query by a snapshot; by that of now the answer counts, or does not.
        if !self.table.teaches(*flow, name) {
            tracing::debug!(pod, name, server = %flow.peer, "an answer that the pod may not ask for");
            self.learnt.refuse(Refused::Unasked);
            return false;
        }
        if flow.direction != Direction::Egress || !self.names(&pod, name) {
            return false;
        }
        let world = &self.state.world;
        let snapshot = &self.state.snapshot;
        let taken = |address| {
            let owner = snapshot.address(address).map(|entry| &entry.owner);
            owner.is_some_and(|owner| *owner != Owner::Outside)
                || (world.services.iter()).any(|service| service.fronts().any(|of| of == address))
        };
        let question = Question::of(name, flow);
        self.learnt
            .learn(&pod, &question, addresses, SystemTime::now(), taken)
    }

    /// Whether a rule about a pod names this name.
    fn names(&self, pod: &str, name: &str) -> bool {
        let snapshot = &self.state.snapshot;
        let set = pod
            .split_once('/')
            .and_then(|(namespace, name)| snapshot.endpoint(namespace, name))
            .and_then(|endpoint| snapshot.sets.get(&endpoint.set));
        let (Some(set), Some(name)) = (set, Name::parse(name)) else {
            return false;
        };
        set.egress.rules.iter().any(|rule| match &rule.peers {
            PeerMatch::OneOf(atoms) => atoms.iter().any(|atom| match snapshot.atoms.get(atom) {
                Some(Atom::Name(pattern, _)) => pattern.matches(&name),
                _ => false,
            }),
            PeerMatch::Any => false,
        })
    }

    /// Lets go of addresses whose time is over, unless a connection still uses them.
    pub(super) async fn forget_names(&mut self) {
        let now = SystemTime::now();
        if !self.learnt.has_expired(now) {
            return;
        }
        let in_use = tokio::task::block_in_place(|| self.redirector.remotes());
        let places = &self.state.places;
        let used = |pod: &str, address| {
            let place = pod
                .split_once('/')
                .and_then(|(namespace, name)| places.get(namespace, name));
            place.is_some_and(|place| in_use.contains(&(place.index, address)))
        };
        if self.learnt.expire(now, used) {
            self.put_in_force().await;
        }
    }

    /// Puts the objects and the names in force. Answers that no longer count under the policies that
    /// are now in force are forgotten, and their addresses with them.
    pub(super) async fn put_in_force(&mut self) {
        let mut reading = std::mem::take(&mut self.reading);
        loop {
            reading.world.names = self.learnt.world();
            self.addresses.put_into(&mut reading.world, &self.node);
            self.apply(&reading).await;
            if self.state.failure.is_some() || !self.forget_unasked() {
                break;
            }
        }
        self.reading = reading;
    }

    /// Forgets what pods may no longer ask for, and what pods asked that are gone. Each round takes
    /// away, so it ends.
    fn forget_unasked(&mut self) -> bool {
        let (table, snapshot) = (&self.table, &self.state.snapshot);
        let (places, world) = (&self.state.places, &self.state.world);
        // A name may resolve to the address of its own server, which a rule about the name opens whole.
        let passes = |namespace: &str, name: &str, asked: &Question| {
            let endpoint = snapshot.endpoint(namespace, name);
            endpoint.is_some_and(|endpoint| {
                snapshot.passes_unread(endpoint, asked.server, asked.protocol, asked.port)
            })
        };
        self.learnt.judge(|pod, question| {
            let Some((namespace, name)) = pod.split_once('/') else {
                return false;
            };
            match places.get(namespace, name) {
                Some(place) => {
                    table.teaches(question.flow(place.index), &question.name)
                        || passes(namespace, name, question)
                }
                // Its interface is not found yet, or for good.
                None => world
                    .pods
                    .iter()
                    .any(|known| known.namespace == namespace && known.name == name),
            }
        })
    }
}
