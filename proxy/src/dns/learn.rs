//! Telling the agent what names resolve to, and waiting until that is enforced.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use weir_link::proxy::Learned;
use weir_policy::l7::RequestFlow;

/// How long an answer waits for the kernel. Past it the client gets it all the same: what it
/// cannot reach yet is denied, never allowed.
const ENFORCED: Duration = Duration::from_secs(2);
/// The most answers of one endpoint that wait at once: nobody makes the others late. What a further
/// one says is not learnt.
const SHARE: usize = 64;

/// Those who wait, by ticket.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Tickets>);

#[derive(Debug, Default)]
struct Tickets {
    by_number: HashMap<u64, oneshot::Sender<()>>,
    /// How many each endpoint has; no entry is none.
    of_endpoint: HashMap<u16, usize>,
}

/// Tells the agent; one for all workers.
#[derive(Debug, Clone)]
pub struct Teller {
    queue: mpsc::Sender<Learned>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
}

impl Waiting {
    /// The agent says that a ticket is enforced.
    pub fn done(&self, ticket: u64) {
        let waiting = self.lock().by_number.remove(&ticket);
        // Whoever waited may have given up.
        waiting.and_then(|waiting| waiting.send(()).ok());
    }

    /// A place among those who wait, where the endpoint has not had its share.
    fn begin(&self, ticket: u64, endpoint: u16) -> Option<(oneshot::Receiver<()>, Place<'_>)> {
        let mut tickets = self.lock();
        let own = tickets.of_endpoint.entry(endpoint).or_default();
        if *own >= SHARE {
            return None;
        }
        *own += 1;
        let (sender, done) = oneshot::channel();
        tickets.by_number.insert(ticket, sender);
        let place = Place {
            waiting: self,
            ticket,
            endpoint,
        };
        Some((done, place))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tickets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits; given back when dropped, however the wait ends.
struct Place<'a> {
    waiting: &'a Waiting,
    ticket: u64,
    endpoint: u16,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut tickets = self.waiting.lock();
        tickets.by_number.remove(&self.ticket);
        if let Some(own) = tickets.of_endpoint.get_mut(&self.endpoint) {
            *own -= 1;
            if *own == 0 {
                tickets.of_endpoint.remove(&self.endpoint);
            }
        }
    }
}

impl Teller {
    /// A teller, what it tells, and who waits.
    pub fn channel() -> (Self, mpsc::Receiver<Learned>, Arc<Waiting>) {
        let (queue, told) = mpsc::channel(256);
        let waiting = Arc::<Waiting>::default();
        let teller = Self {
            queue,
            waiting: Arc::clone(&waiting),
            // Tickets of a proxy before this one may still be answered.
            next: Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32)),
        };
        (teller, told, waiting)
    }

    /// Tells the agent and waits until it is enforced; `false` if that took too long, or the
    /// endpoint waits for too much already.
    pub async fn tell(
        &self,
        flow: RequestFlow,
        name: String,
        addresses: Vec<(IpAddr, u32)>,
    ) -> bool {
        if addresses.is_empty() {
            return true;
        }
        let ticket = self.next.fetch_add(1, Relaxed);
        let Some((done, _place)) = self.waiting.begin(ticket, flow.endpoint) else {
            return false;
        };
        let told = async {
            let learned = Learned {
                ticket,
                flow,
                name,
                addresses,
            };
            self.queue.send(learned).await.is_ok() && done.await.is_ok()
        };
        tokio::time::timeout(ENFORCED, told).await == Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_policy::model::{Direction, Protocol};

    #[tokio::test]
    async fn one_endpoint_does_not_make_another_late() {
        let (teller, mut told, waiting) = Teller::channel();
        let flow = |endpoint| RequestFlow {
            endpoint,
            direction: Direction::Egress,
            peer: "192.0.2.53".parse().unwrap(),
            protocol: Protocol::Udp,
            port: 53,
        };
        let tell = |endpoint| {
            let (teller, flow) = (teller.clone(), flow(endpoint));
            let address = ("192.0.2.1".parse().unwrap(), 30);
            tokio::spawn(async move { teller.tell(flow, "a.test".into(), vec![address]).await })
        };
        let greedy: Vec<_> = (0..SHARE).map(|_| tell(1)).collect();
        while told.len() < SHARE {
            tokio::task::yield_now().await;
        }
        assert!(!tell(1).await.unwrap(), "over its share");
        let modest = tell(2);
        let mut last = None;
        for _ in 0..=SHARE {
            last = told.recv().await;
        }
        let last = last.unwrap();
        assert_eq!(last.flow.endpoint, 2);
        waiting.done(last.ticket);
        assert!(modest.await.unwrap());
        for waits in greedy {
            waits.abort();
            assert!(waits.await.is_err(), "nobody answered");
        }
        assert!(waiting.lock().of_endpoint.is_empty());
        assert!(waiting.lock().by_number.is_empty());
    }
}
