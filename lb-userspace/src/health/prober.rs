//! When which probe runs: one task, one schedule, results on one channel.
//!
//! The task keeps the targets, a queue ordered by time, and a bounded set of probes on their way. A target's first
//! probe comes at once (one probe verifies), its next ones an interval apart, each moved by up to a tenth of the
//! interval so that targets added together drift apart and two balancers never fall into step. A target has at
//! most one probe on its way; a result that belongs to an earlier version of a target, or to one removed, is dropped.
//!
//! Measured with 1,000 targets every 2 s over loopback (release build, Linux 6.18, a virtual AMD EPYC; the prober's thread,
//! the kernel's work for both ends included): tcp 0.05 ms a probe and 2 to 3 % of one core; tls 0.19 ms and 9 % resumed,
//! 0.23 ms and 12 % with a full handshake each time; https 0.19 ms and 9 %, 0.23 ms and 11 %. `cargo bench -p lb-tests --
//! --probes` measures it again.
//!
//! **In doubt, faster.** Whoever owns the machines says with [`Prober::hurry`] which targets are in doubt; those are
//! asked at their fast interval. A target that is down and stays down is not among them.
//!
//! A time-out that is noticed much later than it was due says more about this host than about the backend, and is
//! told as [`FailureReason::Late`].

mod schedule;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::schedule::{Due, Schedule};
use super::failure::FailureReason;
use super::outcome::{Outcome, ProbeResult};
use super::probe::{Asker, ProbeKind};

/// Probes on their way at once. Each holds one descriptor for at most its time-out; 256 stays well below the usual
/// limit of 1,024 and serves 1,000 targets that all time out (1 s each, every 2 s would be 500) with a delay of
/// two intervals at worst.
pub const MAX_IN_FLIGHT: usize = 256;

/// Results that may wait for their reader; a full channel holds the next probes back.
const RESULTS: usize = 1024;

/// Where results go.
pub type Results = mpsc::Sender<(TargetId, ProbeResult)>;

/// One service on one address of a backend, named by whoever owns the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// What to ask, how and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The backend's address and port.
    pub address: SocketAddr,
    /// The address to probe from; the kernel's choice when `None`.
    pub source: Option<IpAddr>,
    /// Local ports that probes must not use: those of SNAT.
    pub foreign_ports: Option<RangeInclusive<u16>>,
    /// How to ask.
    pub kind: ProbeKind,
    /// From the beginning of one probe to the beginning of the next.
    pub interval: Duration,
    /// The same while the target is in doubt.
    pub fast_interval: Duration,
    /// How long one probe may take; less than the interval.
    pub timeout: Duration,
}

enum Command {
    Set(TargetId, Target),
    Remove(TargetId),
    Replace(BTreeMap<TargetId, Target>),
    Ask(TargetId),
    Knock(TargetId, Duration, Results),
    Wake(TargetId),
    Hurry(TargetId, bool),
}

/// The handle. The task ends when it is dropped.
#[derive(Debug, Clone)]
pub struct Prober {
    commands: mpsc::UnboundedSender<Command>,
}

impl Prober {
    /// Starts the task on the present tokio runtime, without targets.
    pub fn start() -> (Self, mpsc::Receiver<(TargetId, ProbeResult)>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (results, output) = mpsc::channel(RESULTS);
        tokio::spawn(Task::new(results).run(receiver));
        (Self { commands }, output)
    }

    /// Adds or changes one target. Setting what is already set changes nothing; a changed one is asked at once.
    pub fn set(&self, id: TargetId, target: Target) {
        self.send(Command::Set(id, target));
    }

    /// Forgets one target.
    pub fn remove(&self, id: TargetId) {
        self.send(Command::Remove(id));
    }

    /// Makes the targets exactly these; those that stay the same keep their place in the schedule.
    pub fn replace(&self, targets: BTreeMap<TargetId, Target>) {
        self.send(Command::Replace(targets));
    }

    /// Asks one target once more, as soon as the probe on its way is over; for a question that has a bound of its own.
    pub fn ask(&self, id: TargetId) {
        self.send(Command::Ask(id));
    }

    /// Knocks at the port of a target beside its probes, and waits so long for an answer ([`Asker::knock`]).
    pub fn knock(&self, id: TargetId, patience: Duration, results: Results) {
        self.send(Command::Knock(id, patience, results));
    }

    /// Asks one target soon, as when a connection to it had to be saved: now, or a quarter of its interval after the
    /// last probe.
    pub fn wake(&self, id: TargetId) {
        self.send(Command::Wake(id));
    }

    /// Asks one target at its fast interval from now on, or no more.
    pub fn hurry(&self, id: TargetId, in_doubt: bool) {
        self.send(Command::Hurry(id, in_doubt));
    }

    fn send(&self, command: Command) {
        // The task lives as long as a handle does, unless its reader is gone: then nobody wants results.
        let _nobody_reads = self.commands.send(command);
    }
}

struct Answer {
    due: Due,
    result: ProbeResult,
}

struct Task {
    schedule: Schedule,
    probes: JoinSet<Answer>,
    results: Results,
}

impl Task {
    fn new(results: Results) -> Self {
        Self { schedule: Schedule::new(), probes: JoinSet::new(), results }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            self.begin_due();
            let room = self.probes.len() < MAX_IN_FLIGHT;
            let next = self.schedule.next_at().filter(|_| room);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some(Ok(answer)) = self.probes.join_next() => {
                    if self.schedule.finish(answer.due)
                        && self.results.send((answer.due.id, answer.result)).await.is_err() {
                        return;
                    }
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {},
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Set(id, target) => self.schedule.set(id, target, now),
            Command::Remove(id) => self.schedule.remove(id),
            Command::Replace(targets) => self.schedule.replace(targets, now),
            Command::Ask(id) => self.schedule.ask(id, now),
            Command::Knock(id, patience, results) => {
                if let Some(asker) = self.schedule.asker(id) {
                    tokio::spawn(async move {
                        let _nobody_reads = results.send((id, asker.knock(patience).await)).await;
                    });
                }
            }
            Command::Wake(id) => self.schedule.wake(id, now),
            Command::Hurry(id, in_doubt) => self.schedule.hurry(id, in_doubt, now),
        }
    }

    fn begin_due(&mut self) {
        let now = Instant::now();
        while self.probes.len() < MAX_IN_FLIGHT {
            let Some((due, asker)) = self.schedule.take_due(now) else { return };
            self.probes.spawn(async move { Answer { due, result: ask(&asker).await } });
        }
    }
}

/// Asks once. A probe that panics has found out nothing, and its target is asked again: without an answer nobody would ever
/// be told that it is not watched any more.
async fn ask(asker: &Asker) -> ProbeResult {
    let begun = std::time::Instant::now();
    let result = AssertUnwindSafe(asker.ask()).catch_unwind().await;
    result.unwrap_or_else(|_| {
        let failed = Outcome::Failed(FailureReason::Panicked);
        ProbeResult::new(failed, begun, std::time::Instant::now())
    })
}

#[cfg(test)]
mod tests;
