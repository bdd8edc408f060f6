//! The thread that makes records: what the kernel and the proxy tell, named, explained and kept.

mod again;
mod dialled;
mod intake;
mod passed;

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io,
    sync::{
        Arc, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use nix::time::{ClockId, clock_gettime};
use weir_abi::event::{Ended, Event};
use weir_link::proxy::L7Record;

use crate::{
    api::flow::{Flow, LostEventSource},
    calm,
    log::FlowLog,
    metrics::Metrics,
    names::Directory,
    record::{self, EndedFlow, Later},
    redact::Redaction,
    ring::{Item, Ring, lost},
    why::Reasoner,
};

use again::Again;
use dialled::Dialled;
use intake::{Input, Shared};

pub use intake::Intake;

/// Events that wait for the thread at most, and requests.
const QUEUE: usize = 1 << 16;
/// Bytes of the requests that wait at most: a client may write them long.
const QUEUED: u64 = 32 << 20;
/// How long a request is held: the kernel's events gather for 20 ms, and what they tell of its
/// connection comes before it then, with the service that was dialled.
const SETTLE: Duration = Duration::from_millis(40);
/// Where records go.
#[derive(Debug)]
pub struct Recorder {
    ring: Arc<Ring>,
    metrics: Arc<Metrics>,
    log: Option<FlowLog>,
    redaction: Arc<Redaction>,
    shared: Arc<Shared>,
    again: Again,
    dialled: Dialled,
    /// Requests whose connection the kernel may not have told of yet.
    held: VecDeque<(Instant, Vec<L7Record>)>,
    /// Two halves of what tells records of this run from all others.
    run: u64,
    made: u64,
    told_lost: (u64, u64),
}

// === impl Recorder ===

impl Recorder {
    /// Starts the thread; it ends with the last [`Intake`].
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        ring: Arc<Ring>,
        metrics: Arc<Metrics>,
        log: Option<FlowLog>,
        redaction: Redaction,
    ) -> io::Result<Intake> {
        let (queue, inputs) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut recorder = Self {
            ring,
            metrics,
            log,
            redaction: Arc::new(redaction),
            shared: Arc::clone(&shared),
            again: Again::default(),
            dialled: Dialled::default(),
            held: VecDeque::new(),
            run: RandomState::new().hash_one(std::process::id()),
            made: 0,
            told_lost: (0, 0),
        };
        std::thread::Builder::new()
            .name("weir-observe".into())
            .spawn(move || {
                calm::yield_to_traffic();
                recorder.run(&inputs);
            })?;
        Ok(Intake {
            queue,
            shared,
            idle: false,
        })
    }

    fn names(&self) -> Arc<Directory> {
        let names = self.shared.names.lock();
        names.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run(&mut self, inputs: &Receiver<Input>) {
        let (mut waiting, mut before) = (None, Arc::new(Directory::default()));
        loop {
            let names = self.names();
            self.metrics.renamed(&names);
            self.ring.settle();
            // Events of the revision before are still on their way when a new one is in force.
            let mut reasoners = [Reasoner::new(&names), Reasoner::new(&before)];
            // One turn for each revision: reasons are of the revision's rules.
            loop {
                let Some(input) = waiting.take().or_else(|| self.next(inputs)) else {
                    return;
                };
                if !Arc::ptr_eq(&names, &self.names()) {
                    waiting = Some(input);
                    break;
                }
                self.take(input, [&names, &before], &mut reasoners);
                for input in inputs.try_iter().take(256) {
                    self.take(input, [&names, &before], &mut reasoners);
                }
                self.settle(SETTLE, &names);
                self.tell_lost();
                self.ring.publish();
                if let Some(log) = &mut self.log {
                    log.flush();
                }
            }
            before = names;
        }
    }

    fn take(
        &mut self,
        input: Input,
        [names, names_before]: [&Arc<Directory>; 2],
        reasoners: &mut [Reasoner<'_>; 2],
    ) {
        let [now, before] = reasoners;
        match input {
            Input::Verdict(event) => {
                let old = before.revision() == event.revision && now.revision() != event.revision;
                self.verdict(&event, if old { before } else { now });
            }
            Input::Ended(ended) => {
                // The flows of a pod end with it, and what is now does not know it.
                let known = |names: &Directory| names.endpoint(ended.key.endpoint).is_some();
                let old = known(names_before) && !known(names);
                self.ended(*ended, if old { names_before } else { names });
            }
            Input::Requests(requests) => self.held.push_back((Instant::now(), requests)),
            Input::Flush(done) => {
                self.settle(Duration::ZERO, names);
                self.tell_lost();
                self.ring.publish();
                // Who waited may have gone.
                done.send(()).ok();
            }
            Input::Look => {}
        }
    }

    /// What comes next; nothing for the moment where held requests are due.
    fn next(&self, inputs: &Receiver<Input>) -> Option<Input> {
        let Some((since, _)) = self.held.front() else {
            return inputs.recv().ok();
        };
        match inputs.recv_timeout(SETTLE.saturating_sub(since.elapsed())) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => Some(Input::Look),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Records the requests that were held for so long.
    fn settle(&mut self, age: Duration, names: &Arc<Directory>) {
        let due = |(since, _): &mut (Instant, Vec<L7Record>)| since.elapsed() >= age;
        while let Some((_, requests)) = self.held.pop_front_if(due) {
            let (count, bytes) = (requests.len() as u64, intake::weight(&requests));
            // Where all is logged the records are needed at once.
            let all = self.log.as_ref().is_some_and(FlowLog::logs_all);
            let later = |request: &L7Record| !all && Later::fits(request);
            let passed = requests.iter().filter(|request| later(request));
            passed::count(passed, names, &self.metrics);
            for request in requests {
                match later(&request) {
                    true => self.put_off(request, names),
                    false => self.request(&request, names),
                }
            }
            self.shared.recorded(count, bytes);
        }
    }

    fn put_off(&mut self, request: L7Record, names: &Arc<Directory>) {
        let service = self.dialled.of_request(&request).cloned();
        let first = (self.run, self.made + 1);
        let (names, redaction) = (Arc::clone(names), Arc::clone(&self.redaction));
        let later = Arc::new(Later::new(request, names, redaction, service, first));
        for index in 0..later.count() {
            self.made += 1;
            self.ring.push(Item::Later(Arc::clone(&later), index));
        }
    }

    fn request(&mut self, request: &L7Record, names: &Directory) {
        self.metrics.request(request, names);
        let mut flows = record::requests(request, names, &self.redaction);
        record::dialled(&mut flows, self.dialled.of_request(request));
        if let Some(log) = &mut self.log {
            log.request(&flows);
        }
        for flow in flows {
            self.keep(flow);
        }
    }

    fn verdict(&mut self, event: &Event, reasoner: &mut Reasoner<'_>) {
        if let Some(numbers) = self.again.known(event) {
            for number in numbers.into_iter().flatten() {
                self.ring.amend(number, |flow| {
                    flow.weir.get_or_insert_default().repeats += 1;
                });
            }
            self.metrics.repeated(event);
            return;
        }
        let time = wall_clock(event.time);
        let mut flows = match event.is_failure() {
            true => vec![record::failure(event, time, reasoner.names())],
            false => {
                let reasons = reasoner.reasons(event);
                record::verdicts(event, time, reasoner.names(), &reasons)
            }
        };
        if !event.is_failure() {
            self.dialled.complete(event, &mut flows);
        }
        let mut numbers = [None; 2];
        for (number, flow) in numbers.iter_mut().zip(flows) {
            if let Some(log) = &mut self.log {
                log.write(&flow);
            }
            *number = Some(self.keep(flow));
        }
        self.again.remember(event, numbers);
    }

    fn ended(&mut self, ended: Ended, names: &Arc<Directory>) {
        self.metrics.ended(&ended, names);
        self.made += 1;
        let number = (self.run, self.made);
        let ended = EndedFlow::new(ended, wall_clock(ended.time), Arc::clone(names), number);
        self.ring.push(Item::Ended(Arc::new(ended)));
    }

    fn keep(&mut self, mut flow: Flow) -> u64 {
        self.made += 1;
        flow.uuid = record::uuid(self.run, self.made);
        self.metrics.flow(&flow);
        self.ring.push(Item::Flow(Arc::new(flow)))
    }

    fn tell_lost(&mut self) {
        let now = (
            self.shared.lost_in_kernel.load(Relaxed),
            self.shared.lost.load(Relaxed),
        );
        let sources = [
            (
                LostEventSource::PerfEventRingBuffer,
                self.told_lost.0,
                now.0,
            ),
            (
                LostEventSource::ObserverEventsQueue,
                self.told_lost.1,
                now.1,
            ),
        ];
        for (source, before, now) in sources {
            let count = now.saturating_sub(before);
            if count > 0 {
                self.metrics.lost(source, count);
                self.ring.push(Item::Lost(lost(source, count)));
            }
        }
        self.told_lost = now;
    }
}

/// The time of a monotonic one.
fn wall_clock(monotonic: u64) -> SystemTime {
    let now = SystemTime::now();
    let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let age = since_boot
        .unwrap_or_default()
        .saturating_sub(Duration::from_nanos(monotonic));
    now.checked_sub(age).unwrap_or(now)
}

#[cfg(test)]
mod tests;
