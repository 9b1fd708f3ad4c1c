//! When the connections of a backend that has gone down are reset: never by a false verdict. Pure.
//!
//! A probe that fails may say something of the backend, or of the balancer itself: its own uplink, its own CPU. So a
//! verdict waits until the balancer has shown that it could know:
//!
//! ```text
//!  down ──► every other backend has answered a probe begun after the verdict ──► this one has failed a probe begun
//!           after that ──► reset
//! ```
//!
//! The others are those that were not down already; without any there is no reset. As many failures as made the verdict
//! are wanted again where the balancer was itself in trouble around the failures (no carrier, late), and where others went
//! down at the same time, for it may be the way to them that is lost.

use std::{collections::BTreeMap, time::Instant};

use super::machines::{Machines, Probed};
use crate::health::{Health, Machine, Outcome, ProbeResult, Transition};

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
    /// When the verdict fell, or the balancer was in trouble since.
    since: Instant,
    /// When the first of the failures was known.
    first_failure: Instant,
    /// When every other backend had answered.
    cleared: Option<Instant>,
    /// Failures since then.
    failures: u32,
    /// It is being asked once more.
    asked: bool,
    /// Others went down at the same time: it may be the way to all of them.
    is_doubtful: bool,
}

impl Waiting {
    fn begin(since: Instant, first_failure: Instant) -> Self {
        Self { since, first_failure, cleared: None, failures: 0, asked: false, is_doubtful: false }
    }
}

impl Verdicts {
    /// Takes in a change of health.
    pub fn changed(&mut self, probed: &Probed, transition: &Transition) {
        self.waiting.remove(probed);
        if transition.to != Health::Down {
            return;
        }
        let first_failure = transition.first_failure.unwrap_or(transition.at);
        self.waiting.insert(probed.clone(), Waiting::begin(transition.at, first_failure));
    }

    /// Takes up the verdict of a former agent, of which nobody knows whether it was carried out.
    pub fn resume(&mut self, probed: Probed, now: Instant) {
        self.waiting.insert(probed, Waiting::begin(now, now));
    }

    /// Takes in that the balancer itself is in trouble: what its probes say is worth nothing.
    pub fn trouble(&mut self, now: Instant) {
        self.trouble = Some(now);
        for waiting in self.waiting.values_mut() {
            *waiting = Waiting::begin(now, waiting.first_failure);
        }
    }

    /// Whom to ask once more, now that the others have answered. Tells each once.
    pub fn to_ask(&mut self) -> Vec<Probed> {
        let cleared =
            self.waiting.iter_mut().filter(|(_, waiting)| waiting.cleared.is_some() && !waiting.asked);
        let ask = |(probed, waiting): (&Probed, &mut Waiting)| {
            waiting.asked = true;
            probed.clone()
        };
        cleared.map(ask).collect()
    }

    /// Takes in a probe's result; whether the connections of what it was of are to be reset now. `fall` is how many
    /// failures make a verdict.
    pub fn probed(&mut self, probed: &Probed, result: &ProbeResult, machines: &Machines, fall: u32) -> bool {
        for (of, waiting) in &mut self.waiting {
            let peers = machines.peers(of).filter(|peer| takes_part(peer, waiting));
            if waiting.cleared.is_none()
                && let Some(witness) = heard(peers, waiting.since)
            {
                waiting.cleared = Some(result.at);
                waiting.is_doubtful = witness == Witness::Some;
            }
        }
        let trouble = self.trouble;
        let Some(waiting) = self.waiting.get_mut(probed) else { return false };
        let Some(cleared) = waiting.cleared else { return false };
        let has_failed = matches!(result.outcome, Outcome::Failed(reason) if !reason.is_local());
        if !has_failed || result.begun < cleared {
            return false;
        }
        waiting.failures += 1;
        let is_doubtful =
            waiting.is_doubtful || trouble.is_some_and(|trouble| trouble >= waiting.first_failure);
        let is_due = waiting.failures >= if is_doubtful { fall } else { 1 };
        if is_due {
            self.waiting.remove(probed);
        }
        is_due
    }
}

/// Whether another backend can speak for the balancer: one that was not down before.
fn takes_part(peer: &Machine, waiting: &Waiting) -> bool {
    peer.health() != Health::Unverified
        && (peer.health() != Health::Down || peer.since() >= waiting.first_failure)
}

/// Who has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// Every other backend.
    All,
    /// Those that have not gone down since.
    Some,
}

/// Whether there are others, and each has answered a probe begun after this moment or has gone down too.
fn heard<'a>(peers: impl Iterator<Item = &'a Machine>, since: Instant) -> Option<Witness> {
    let (mut answered, mut fallen) = (false, false);
    for peer in peers {
        let last = peer.last().filter(|last| last.begun > since);
        match last.map(|last| last.outcome) {
            Some(Outcome::Failed(_)) if peer.health() == Health::Down => fallen = true,
            Some(Outcome::Up | Outcome::Opaque | Outcome::NotReady) => answered = true,
            _ => return None,
        }
    }
    answered.then_some(if fallen { Witness::Some } else { Witness::All })
}

#[cfg(test)]
mod tests;
