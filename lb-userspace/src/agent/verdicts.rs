//! When the connections of a backend that has gone down are reset: never by a false verdict. Pure.
//!
//! A probe that fails may say something of the backend, or of the balancer itself: its own uplink, its own CPU. So at the
//! verdict everybody is asked once more at the same time, and what follows depends on who answers:
//!
//! ```text
//!  down ──► each other backend has answered a probe begun after the verdict, and none has failed one meanwhile
//!             │ and this one has failed another, or is still silent after `PATIENCE`          ──► reset
//!  down ──► those that have not gone down too have answered, but the balancer was in trouble,
//!             │ or others failed at the same time: it may be the way to them that was lost
//!             │ and this one has failed as many probes again as make a verdict               ──► reset
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

/// So long is an answer waited for that each other backend gives, before silence counts as one more failure. It costs the
/// connections of a dead backend this time, and is a hundred round trips where a controller usually stands.
const PATIENCE: Duration = Duration::from_millis(25);

/// How many times as long as the slowest of the others, and as it took itself before, a backend may take to answer.
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
    /// It has failed a probe begun since.
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
    /// Until when silence is no failure.
    patience: Instant,
}

/// What a backend that is down has to do to lose its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Proof {
    /// Be silent for longer than the others.
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

    /// From when on its connections are to be reset, if nothing else is heard.
    fn due(&self, trouble: Option<Instant>) -> Option<Instant> {
        let cleared = self.cleared?;
        match self.wanted(trouble)? {
            Proof::Silence | Proof::Failure if self.has_failed => Some(cleared.at),
            Proof::Silence => Some(cleared.patience),
            Proof::Failure => None,
            Proof::Verdict => (self.failures >= self.fall).then_some(cleared.at),
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
            }
            if waiting.cleared.is_none() {
                let peers = machines.peers(of).filter(|peer| takes_part(peer, waiting));
                let usual = machines.machine(of).map_or(Duration::ZERO, Machine::took);
                waiting.cleared = heard(peers, waiting, usual, result.at);
            }
        }
    }

    /// When the next verdict is to be carried out, if nothing else is heard.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|waiting| waiting.due(self.trouble)).min()
    }

    /// Whose connections are to be reset now; each is told once.
    pub fn due(&mut self, now: Instant) -> Vec<Probed> {
        let trouble = self.trouble;
        let is_due = |waiting: &Waiting| waiting.due(trouble).is_some_and(|due| due <= now);
        let due: Vec<Probed> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| is_due(waiting))
            .map(|(probed, _)| probed.clone())
            .collect();
        self.waiting.retain(|_, waiting| !is_due(waiting));
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

    /// Whether a backend that is down is worth asking often: its next probes decide.
    pub fn is_in_doubt(&self, probed: &Probed) -> bool {
        self.waiting.get(probed).is_some_and(|waiting| waiting.cleared.is_some())
    }
}

/// Whether another backend can speak for the balancer: one that was not down before.
fn takes_part(peer: &Machine, waiting: &Waiting) -> bool {
    peer.health() != Health::Unverified
        && (peer.health() != Health::Down || peer.since() >= waiting.first_failure)
}

/// What the others say, where the backend itself usually takes so long to answer: `None` until each has answered a probe begun after the verdict, or has gone down too, and at least
/// one has answered.
fn heard<'a>(
    peers: impl Iterator<Item = &'a Machine>,
    waiting: &Waiting,
    usual: Duration,
    now: Instant,
) -> Option<Cleared> {
    let (mut slowest, mut asked, mut wanted) = (None, waiting.since, Proof::Silence);
    for peer in peers {
        let last = peer.last().filter(|last| last.begun >= waiting.since)?;
        match last.outcome {
            Outcome::Failed(_) if peer.health() == Health::Down => {}
            Outcome::Failed(_) => return None,
            Outcome::Up | Outcome::Opaque | Outcome::NotReady => {
                slowest = slowest.max(Some(last.at.saturating_duration_since(last.begun)));
            }
        }
        asked = asked.max(last.begun);
        if peer.failed_at().is_some_and(|failed| failed >= waiting.first_failure) {
            wanted = Proof::Verdict;
        }
    }
    let patience = PATIENCE.max(slowest?.max(usual) * PATIENCE_FACTOR);
    Some(Cleared { at: now, wanted, patience: now.max(asked + patience) })
}

#[cfg(test)]
mod tests;
