//! Which answers count. A proxy says what servers told endpoints; what counts is what the endpoint's
//! own DNS rule lets it ask that server for, and only what the endpoint's rules name.

use std::{collections::HashSet, net::IpAddr, time::SystemTime};

use weir_link::proxy::Learned;
use weir_policy::{
    compile::{Atom, Owner, PeerMatch, Snapshot},
    l7::L7Table,
    model::{Direction, PodName},
    names::Name,
};
use weir_redirector::Places;

use super::{Learnt, Question, Refused};
use crate::change::State;

/// Takes in one answer; tells whether it says anything new.
pub fn take_in(names: &mut Learnt, learned: &Learned, table: &L7Table, state: &State) -> bool {
    let Learned {
        flow,
        name,
        addresses,
        ..
    } = learned;
    let Some(pod) = table.pod(flow.endpoint) else {
        names.refuse(Refused::Unasked);
        return false;
    };
    // The proxy judged the query by a snapshot; by that of now the answer counts, or does not.
    if !table.teaches(*flow, name) {
        tracing::debug!(%pod, name, server = %flow.peer, "an answer that the pod may not ask for");
        names.refuse(Refused::Unasked);
        return false;
    }
    if flow.direction != Direction::Egress || !is_named(&state.snapshot, pod, name) {
        return false;
    }
    let taken = |address| {
        let owner = state.snapshot.address(address).map(|entry| &entry.owner);
        let services = &state.world.services;
        owner.is_some_and(|owner| *owner != Owner::Outside)
            || (services.iter()).any(|service| service.fronts().any(|of| of == address))
    };
    let question = Question::of(name, flow);
    names.learn(pod, &question, addresses, SystemTime::now(), taken)
}

/// Whether a rule about a pod names this name.
fn is_named(snapshot: &Snapshot, pod: &PodName, name: &str) -> bool {
    let set = snapshot
        .endpoint(pod)
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

/// Lets go of addresses whose time is over, unless a connection still uses them (`in_use`: endpoints
/// with the other ends of their connections); tells whether any went.
pub fn expire(
    names: &mut Learnt,
    now: SystemTime,
    in_use: &HashSet<(u16, IpAddr)>,
    places: &Places,
) -> bool {
    names.expire(now, |pod, address| {
        let place = places.get(pod);
        place.is_some_and(|place| in_use.contains(&(place.index, address)))
    })
}

/// Forgets what pods may no longer ask for, and what pods asked that are gone.
pub fn forget_unasked(names: &mut Learnt, table: &L7Table, state: &State) -> bool {
    let State {
        snapshot,
        places,
        world,
        ..
    } = state;
    // A name may resolve to the address of its own server, which a rule about the name opens whole.
    let passes = |pod: &PodName, asked: &Question| {
        let endpoint = snapshot.endpoint(pod);
        endpoint.is_some_and(|endpoint| {
            snapshot.passes_unread(endpoint, asked.server, asked.protocol, asked.port)
        })
    };
    names.judge(|pod, question| {
        match places.get(pod) {
            Some(place) => {
                table.teaches(question.flow(place.index), &question.name) || passes(pod, question)
            }
            // Its interface is not found yet, or for good.
            None => world.pods.iter().any(|known| known.id() == *pod),
        }
    })
}
