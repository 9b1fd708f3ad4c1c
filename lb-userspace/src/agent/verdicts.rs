//! When the connections of a backend that has gone down are reset: never by a false verdict. Pure.
//!
//! A probe that fails may say something of the backend, or of the balancer itself: its own uplink, its own CPU. So at the
//! verdict everybody is asked once more at the same time, at the port of the one that is down is knocked besides
//! ([`Asker::knock`](crate::health::probe::Asker::knock)), and what follows depends on who answers:
//!
//! ```text
//!  down ──► each other backend has answered a probe begun after the verdict, and none has failed one meanwhile
//!             │ and this one has failed another, or not answered the knocks                   ──► reset
//!  down ──► those that have not gone down too have answered, but the balancer was in trouble,
//!             │ or others failed at the same time: it may be the way to them that was lost
//!             │ and this one has failed as many probes again as make a verdict, and none of
//!             │ the others has failed one since                                              ──► reset
//! ```
//!
//! Those that were down already are nobody's witnesses. Without any witness there is no reset. A backend that answers
//! keeps its connections, and begins to be judged anew.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::machines::{Machines, Probed};
use crate::health::{Health, Machine, Outcome, ProbeResult, Transition};

/// So long is an answer to the last knock waited for. It costs the connections of a dead backend this time, and is fifty round
/// trips where a controller usually stands.
const PATIENCE: Duration = Duration::from_millis(15);

/// How many times as long as a backend took to answer its last probe it may take to answer a knock.
const PATIENCE_FACTOR: u32 = 2;

/// The verdicts that wait.
#[derive(Debug, Default)]
pub struct Verdicts {
    waiting: BTreeMap<Probed, Waiting>,
    /// When the balancer was last in trouble itself.
    trouble: Option<Instant>,
}

/// A backend that has gone down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    /// When the verdict fell, the backend answered, or the balancer was in trouble since.
    since: Instant,
    /// When the first of the failed probes was begun.
    first_failure: Instant,
    /// How many failures make a verdict.
    fall: u32,
    /// What is wanted of it, whatever the others say.
    least: Proof,
    /// What the others have said, once all have been heard.
    cleared: Option<Cleared>,
    /// It has failed a probe begun since, or not answered the knocks.
    has_failed: bool,
    /// Failed probes begun after the others were heard.
    failures: u32,
}

/// What the other backends said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cleared {
    /// When the last of them was heard.
    at: Instant,
    /// What is wanted, by what they said.
    wanted: Proof,
}

/// What a backend that is down has to do to lose its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Proof {
    /// Be silent when it is knocked at.
    Silence,
    /// Fail one more probe.
    Failure,
    /// Fail as many as make a verdict.
    Verdict,
}

/// Why a verdict has not been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not every other backend has answered since, or there is none.
    NoWitness,
    /// It is asked again: others failed at the same time, or the balancer was in trouble.
    Doubt,
}

impl Waiting {
    fn begin(since: Instant, first_failure: Instant, fall: u32, least: Proof) -> Self {
        Self { since, first_failure, fall, least, cleared: None, has_failed: false, failures: 0 }
    }

    /// Begins again: what was heard is worth nothing.
    fn again(&mut self, now: Instant) {
        *self = Self::begin(now, self.first_failure, self.fall, Proof::Verdict);
    }

    /// Takes in what it was that its own probe found.
    fn probed(&mut self, result: &ProbeResult) {
        if result.begun < self.since {
            return;
        }
        match result.outcome {
            Outcome::Failed(reason) if reason.is_local() => {}
            Outcome::Failed(_) => {
                self.has_failed = true;
                self.failures += u32::from(self.cleared.is_some_and(|cleared| result.begun >= cleared.at));
            }
            Outcome::Up | Outcome::Opaque | Outcome::NotReady => self.again(result.at),
        }
    }

    /// What is wanted of it, once the others have been heard.
    fn wanted(&self, trouble: Option<Instant>) -> Option<Proof> {
        let in_trouble = trouble.is_some_and(|trouble| trouble >= self.first_failure);
        let wanted = self.cleared?.wanted.max(self.least);
        Some(if in_trouble { Proof::Verdict } else { wanted })
    }

    /// Whether its connections are to be reset.
    fn is_due(&self, trouble: Option<Instant>) -> bool {
        match self.wanted(trouble) {
            None => false,
            Some(Proof::Silence | Proof::Failure) => self.has_failed,
            Some(Proof::Verdict) => self.failures >= self.fall,
        }
    }
}

impl Verdicts {
    /// Takes in a change of health. `fall` is how many failures make a verdict.
    pub fn changed(&mut self, probed: &Probed, transition: &Transition, fall: u32) {
        self.waiting.remove(probed);
        if transition.to != Health::Down {
            return;
        }
        let first_failure = transition.first_failure.unwrap_or(transition.at);
        // One failure takes down whoever has never answered; that is not enough to end what others have begun there.
        let least = if transition.from == Health::Unverified { Proof::Verdict } else { Proof::Silence };
        self.waiting.insert(probed.clone(), Waiting::begin(transition.at, first_failure, fall, least));
    }

    /// Takes up the verdict of a former agent, of which nobody knows whether it was carried out.
    pub fn resume(&mut self, probed: Probed, now: Instant, fall: u32) {
        self.waiting.insert(probed, Waiting::begin(now, now, fall, Proof::Failure));
    }

    /// Takes in that the balancer itself is in trouble: what its probes say is worth nothing.
    pub fn trouble(&mut self, now: Instant) {
        self.trouble = Some(now);
        self.waiting.values_mut().for_each(|waiting| waiting.again(now));
    }

    /// Takes in a probe's result, and what the machines have made of it.
    pub fn probed(&mut self, probed: &Probed, result: &ProbeResult, machines: &Machines) {
        let of_the_service =
            |(of, _): &(&Probed, &mut Waiting)| of.service == probed.service && of.family == probed.family;
        for (of, waiting) in self.waiting.iter_mut().filter(of_the_service) {
            if of == probed {
                waiting.probed(result);
            } else if waiting.cleared.is_some() && has_newly_failed(probed, result, machines) {
                // What it said is worth nothing any more: the way to all of them may be lost again.
                waiting.again(result.at);
            }
            if waiting.cleared.is_none() {
                let peers = machines.peers(of).filter(|peer| takes_part(peer, waiting));
                waiting.cleared = heard(peers, waiting, result.at);
            }
        }
    }

    /// Takes in whether a backend that has gone down answered when it was knocked at.
    pub fn knocked(&mut self, probed: &Probed, result: &ProbeResult) {
        let Some(waiting) = self.waiting.get_mut(probed).filter(|waiting| result.begun >= waiting.since)
        else {
            return;
        };
        match result.outcome {
            Outcome::Failed(reason) if reason.is_local() => {}
            Outcome::Failed(_) => waiting.has_failed |= waiting.least == Proof::Silence,
            // Something listens there: let it fail a whole probe.
            Outcome::Up | Outcome::Opaque | Outcome::NotReady => {
                waiting.least = waiting.least.max(Proof::Failure)
            }
        }
    }

    /// Forgets verdicts of what is not probed any more.
    pub fn keep(&mut self, is_probed: impl Fn(&Probed) -> bool) {
        self.waiting.retain(|probed, _| is_probed(probed));
    }

    /// Whose connections are to be reset now; each is told once.
    pub fn due(&mut self) -> Vec<Probed> {
        let trouble = self.trouble;
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.is_due(trouble));
        let due: Vec<Probed> = due.map(|(probed, _)| probed.clone()).collect();
        self.waiting.retain(|_, waiting| !waiting.is_due(trouble));
        due
    }

    /// What waits, and why.
    pub fn waiting(&self) -> impl Iterator<Item = (&Probed, Reason)> {
        self.waiting.iter().filter_map(|(probed, waiting)| match waiting.wanted(self.trouble) {
            None => Some((probed, Reason::NoWitness)),
            Some(Proof::Silence) => None,
            Some(Proof::Failure | Proof::Verdict) => Some((probed, Reason::Doubt)),
        })
    }

    /// Those of a service that are worth asking often although they are down: their next probes decide.
    pub fn in_doubt(&self, service: &str) -> Vec<Probed> {
        let in_doubt =
            |(of, waiting): &(&Probed, &Waiting)| of.service == service && waiting.cleared.is_some();
        self.waiting.iter().filter(in_doubt).map(|(of, _)| of.clone()).collect()
    }
}

/// How long to wait for an answer when a backend is knocked at that has gone down.
pub fn patience(probed: &Probed, machines: &Machines) -> Duration {
    let all = machines.peers(probed).chain(machines.machine(probed));
    let slowest = all.map(Machine::took).max().unwrap_or_default();
    PATIENCE.max(slowest * PATIENCE_FACTOR)
}

/// Whether a witness has failed by this result that had not failed before.
fn has_newly_failed(probed: &Probed, result: &ProbeResult, machines: &Machines) -> bool {
    let has_failed = matches!(result.outcome, Outcome::Failed(reason) if !reason.is_local());
    let is_new = |peer: &Machine| {
        peer.health() != Health::Down
            || peer.since() == result.at
            || peer.failing().is_some_and(|(failures, _)| failures == 1)
    };
    has_failed && machines.machine(probed).is_some_and(is_new)
}

/// Whether another backend can speak for the balancer: one that was not down before.
fn takes_part(peer: &Machine, waiting: &Waiting) -> bool {
    peer.health() != Health::Unverified
        && (peer.health() != Health::Down || peer.since() >= waiting.first_failure)
}

/// What the others say: `None` until each has answered a probe begun after the verdict, or has gone down too, and at least
/// one has answered.
fn heard<'a>(peers: impl Iterator<Item = &'a Machine>, waiting: &Waiting, now: Instant) -> Option<Cleared> {
    let (mut answered, mut wanted) = (false, Proof::Silence);
    for peer in peers {
        let last = peer.last().filter(|last| last.begun >= waiting.since)?;
        match last.outcome {
            Outcome::Failed(_) if peer.health() == Health::Down => {}
            Outcome::Failed(_) => return None,
            Outcome::Up | Outcome::Opaque | Outcome::NotReady => answered = true,
        }
        if peer.failed_at().is_some_and(|failed| failed >= waiting.first_failure) {
            wanted = Proof::Verdict;
        }
    }
    answered.then_some(Cleared { at: now, wanted })
}

#[cfg(test)]
mod tests;
