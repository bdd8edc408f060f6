//! DNS over UDP. The client's datagram comes with the address that it was sent to and with the
//! mark of its flow; the answer is sent from that address, and the server sees the client's own
//! address (with another port: two queries of one client port would be one flow there).

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::fd::AsRawFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{io::Interest, time};
use weir_abi::mark;
use weir_policy::model::{Direction, Protocol};

use super::{
    message::{self, Answer, Question},
    query,
};
use crate::{
    context::Context,
    datapath,
    flow::FlowKey,
    permit::{Ask, Permit},
    sys,
};

/// How long a server may take. Clients ask again after five seconds.
const ANSWER: Duration = Duration::from_secs(10);
/// Queries of a worker that wait for an answer at once; more are dropped, as DNS may.
const QUERIES: usize = 4096;
/// Those of one endpoint: a pod whose server never answers takes nothing from the others.
const SHARE: usize = 256;
/// The largest datagram.
const LARGEST: usize = 65_535;
/// How long a socket that cannot be read is left alone.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// Where answers arrive: few need the room that all could.
    static ARRIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGEST]);
}

/// Serves a socket until the proxy is told to stop.
pub async fn serve(
    context: Arc<Context>,
    socket: socket2::Socket,
    direction: Direction,
) -> io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(socket.into())?;
    let shares = Shares::default();
    let mut draining = context.draining.clone();
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = tokio::select! {
            received = socket.async_io(Interest::READABLE, || sys::receive_marked(&socket, &mut buffer)) => received,
            _ = draining.wait_for(|draining| *draining) => return Ok(()),
        };
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier datagram, or out of memory: neither ends the service.
                tracing::debug!(%error, "datagram not received");
                // Should it go on, the processor is not spent on it.
                time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(endpoint) = mark::endpoint(received.mark) else {
            context.counters.strangers.add();
            continue;
        };
        let key = FlowKey {
            endpoint,
            direction,
            client: received.from,
            server: received.to,
            protocol: Protocol::Udp,
            mark: received.mark,
        };
        let bytes = buffer.get(..received.length).unwrap_or_default();
        let question = message::question(bytes);
        let unread = match question {
            Some(_) => None,
            None => passes_unread(&context, &key),
        };
        if question.is_none() && unread.is_none() {
            context.counters.queries_malformed.add();
            continue;
        }
        let Some(share) = shares.take(endpoint) else {
            context.counters.queries_dropped.add();
            continue;
        };
        let (context, bytes) = (Arc::clone(&context), bytes.to_vec());
        tokio::spawn(async move {
            let answered = match (question, unread) {
                (Some(question), _) => answer(&context, &key, &question, &bytes).await,
                (None, Some(permit)) => pass(&context, &permit, &bytes).await,
                (None, None) => Ok(()),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "answer not sent");
            }
            drop(share);
        });
    }
}

/// Queries that wait, by endpoint; an endpoint without one has no entry.
#[derive(Debug, Clone, Default)]
struct Shares(Arc<Mutex<HashMap<u16, usize>>>);

impl Shares {
    /// Room for one more, where there is some for the endpoint and in all.
    fn take(&self, endpoint: u16) -> Option<Share> {
        let mut waiting = self.lock();
        let own = waiting.get(&endpoint).copied().unwrap_or(0);
        if own >= SHARE || waiting.values().sum::<usize>() >= QUERIES {
            return None;
        }
        waiting.insert(endpoint, own + 1);
        Some(Share {
            shares: self.clone(),
            endpoint,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one query; given back when dropped.
#[derive(Debug)]
struct Share {
    shares: Shares,
    endpoint: u16,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut waiting = self.shares.lock();
        if let Some(own) = waiting.get_mut(&self.endpoint) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.endpoint);
            }
        }
    }
}

/// The permit for what is no query, where only policies in audit mode ask for DNS.
fn passes_unread(context: &Context, key: &FlowKey) -> Option<Permit> {
    Permit::ask(&context.policy.get()?, key, Ask::Unread).1
}

/// Passes on a datagram that is no query, and the answer that comes to it, if one comes.
async fn pass(context: &Context, permit: &Permit, bytes: &[u8]) -> io::Result<()> {
    context.counters.audited.add();
    let socket = towards_server(permit)?;
    socket.send(bytes).await?;
    reply(
        permit.key(),
        &time::timeout(ANSWER, receive(&socket)).await??,
    )
}

/// Answers one query.
async fn answer(
    context: &Context,
    key: &FlowKey,
    question: &Question,
    bytes: &[u8],
) -> io::Result<()> {
    let mut judged = query::judge(context, key, question);
    let Some(permit) = judged.permit.take() else {
        judged.denied(context);
        return reply(key, &question.denied(context.limits.denied_query));
    };
    let asked = time::timeout(ANSWER, ask(context, &permit, question, bytes)).await;
    match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok((bytes, answer)) => {
            judged.answered(context, answer);
            reply(key, &bytes)
        }
        Err(error) => {
            judged.failed(context, format!("the DNS server: {error}"));
            reply(key, &question.unanswered())
        }
    }
}

/// Asks the server in the client's name.
async fn ask(
    context: &Context,
    permit: &Permit,
    question: &Question,
    bytes: &[u8],
) -> io::Result<(Vec<u8>, Answer)> {
    let socket = towards_server(permit)?;
    socket.send(bytes).await?;
    loop {
        let received = receive(&socket).await?;
        // Anything else is not for us: somebody guesses.
        if let Some(answer) = query::told(context, permit.key(), question, &received).await {
            return Ok((received, answer));
        }
    }
}

/// The next datagram.
async fn receive(socket: &tokio::net::UdpSocket) -> io::Result<Vec<u8>> {
    let take = || {
        ARRIVED.with_borrow_mut(|arrived| {
            let length = socket.try_recv(arrived)?;
            io::Result::Ok(arrived.get(..length).unwrap_or_default().to_vec())
        })
    };
    loop {
        socket.readable().await?;
        match take() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// A socket to the server, in the client's name.
fn towards_server(permit: &Permit) -> io::Result<tokio::net::UdpSocket> {
    tokio::net::UdpSocket::from_std(datapath::udp_to_server(permit)?.into())
}

/// Answers from the address that the client asked.
fn reply(key: &FlowKey, bytes: &[u8]) -> io::Result<()> {
    let socket = datapath::udp_to_client(key)?;
    socket.send_to(bytes, &key.client.into())?;
    tracing::trace!(socket = socket.as_raw_fd(), "answered");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_its_share_of_queries_and_no_more() {
        let shares = Shares::default();
        let mut held: Vec<_> = (0..SHARE).map(|_| shares.take(1).unwrap()).collect();
        assert!(shares.take(1).is_none());
        let other = shares.take(2);
        assert!(other.is_some());
        held.pop();
        assert!(shares.take(1).is_some());
        drop((held, other));
        assert!(shares.lock().is_empty());
    }
}
