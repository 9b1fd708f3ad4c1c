//! From probe results to the health of one service on one backend: pure, no clock, no I/O.
//!
//! ```text
//!                  one probe decides
//!   Unverified ───────────────────────────┐
//!   (in use)                              ▼
//!             ┌──────────────┐ one ┌──────────────┐
//!             │  Up ⇄ Opaque │────►│   NotReady   │
//!             │              │◄────│ (5xx: no new │
//!             └──────────────┘ one │  flows)      │
//!               │          ▲    (*)└──────────────┘
//!        `fall` │          │ `rise`   │       ▲
//!      failures │          │ answers  │ `fall`│ one
//!               ▼          │          ▼       │
//!             ┌──────────────────────────────────┐
//!             │               Down               │
//!             └──────────────────────────────────┘
//!   (*) `rise` answers when it came there from Down
//! ```
//!
//! **Not ready counts at once, both ways.** A 5xx is the server's own word, not a packet that may have been lost,
//! and it is said seconds before the listener closes (`--shutdown-delay-duration`): waiting for `fall` of them
//! would spend the warning. It costs no connection when it is wrong. `HAProxy` treats its `disable-on-404` and
//! Kubernetes its `successThreshold: 1` the same way. Only a backend that was *down* has to prove itself with `rise`
//! answers, by whatever way it comes back.
//!
//! **Up and opaque are one to the counters.** Both answer; which of them it is follows the last answer.
//!
//! **Passive evidence is no verdict.** When the data plane sees a backend refuse a connection, [`Machine::suspect`]
//! counts it as `fall` − 1 failed probes: the next probe decides, either way. Evidence by itself takes nobody down, and
//! it is forgotten with the next answer.
//!
//! **What this host lacks judges nobody**: a failure that
//! [`is_local`](super::FailureReason::is_local) changes no state and no count.

use std::fmt;
use std::time::{Duration, Instant};

use super::outcome::{Outcome, ProbeResult};

/// The health of one service on one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Not probed yet. In use: a balancer must work before the first controller does.
    Unverified,
    /// Answers and is ready.
    Up,
    /// Answers, but may not tell whether it is ready.
    Opaque,
    /// Asked for no new flows; the old ones stay.
    NotReady,
    /// Does not answer. Its flows are reset.
    Down,
}

impl Health {
    /// Whether new flows may go there (before `fail open` is considered).
    pub fn takes_new_flows(self) -> bool {
        matches!(self, Self::Unverified | Self::Up | Self::Opaque)
    }

    /// The word in `status --json` and everywhere else.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Up => "up",
            Self::Opaque => "opaque",
            Self::NotReady => "not-ready",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many results in a row it takes. Zero counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Answers until a backend that was down is used again.
    pub rise: u32,
    /// Failures until a backend that was in use is down.
    pub fall: u32,
}

impl Default for Thresholds {
    /// Two answers, three failures: with a probe every 2 s a lost packet or two cost nothing.
    fn default() -> Self {
        Self { rise: 2, fall: 3 }
    }
}

/// A change of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub from: Health,
    /// What it is now.
    pub to: Health,
    /// The answer that decided.
    pub why: Outcome,
    /// When the deciding answer was known.
    pub at: Instant,
    /// When the first of the failed probes in a row was begun, or the evidence seen that counts for them; `None` unless `to`
    /// is [`Health::Down`]. The last good set of backends is the one before the earliest of these.
    pub first_failure: Option<Instant>,
}

/// The machine; see the module for its diagram.
#[derive(Debug, Clone)]
pub struct Machine {
    thresholds: Thresholds,
    health: Health,
    since: Instant,
    last: Option<ProbeResult>,
    answers: u32,
    failures: u32,
    first_failure: Option<Instant>,
    /// When it was last known to have failed a probe.
    failed_at: Option<Instant>,
    /// How long its last answer took.
    took: Duration,
    /// It was down and has not been up since.
    recovering: bool,
    /// When it was up again after it was down; `None` while it is down, and where it never was.
    returned: Option<Instant>,
    /// It has answered once, however it is now.
    answered: bool,
}

impl Machine {
    /// Starts unverified.
    pub fn new(thresholds: Thresholds, now: Instant) -> Self {
        Self {
            thresholds,
            health: Health::Unverified,
            since: now,
            last: None,
            answers: 0,
            failures: 0,
            first_failure: None,
            failed_at: None,
            took: Duration::ZERO,
            recovering: false,
            returned: None,
            answered: false,
        }
    }

    /// Goes on where a former agent's machine was. One that took no new flows may have been down, so it has to prove
    /// itself with `rise` answers.
    pub fn resume(thresholds: Thresholds, health: Health, since: Instant) -> Self {
        let answered = matches!(health, Health::Up | Health::Opaque | Health::NotReady);
        let recovering = !health.takes_new_flows();
        Self { health, recovering, answered, ..Self::new(thresholds, since) }
    }

    /// The same, of which it is known besides whether it has ever answered.
    #[must_use]
    pub fn having_answered(self, answered: bool) -> Self {
        Self { answered: self.answered || answered, ..self }
    }

    /// The same, of which it is known besides when it came back, if it was down before.
    #[must_use]
    pub fn having_returned(self, returned: Option<Instant>) -> Self {
        Self { returned: returned.filter(|_| self.health != Health::Down), ..self }
    }

    /// Whether it has ever answered.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    /// The present health.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Since when it is what it is.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The last result that was taken into account.
    pub fn last(&self) -> Option<ProbeResult> {
        self.last
    }

    /// When it was last known to have failed a probe, however it is now.
    pub fn failed_at(&self) -> Option<Instant> {
        self.failed_at
    }

    /// How long its last answer took; nothing where it never answered.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Failures in a row up to now, and when the first of them was begun.
    pub fn failing(&self) -> Option<(u32, Instant)> {
        self.first_failure.map(|first| (self.failures, first))
    }

    /// When it came back, if it was down before: its caches may be as cold as those of a new one.
    pub fn returned(&self) -> Option<Instant> {
        self.returned
    }

    /// Takes other thresholds from the next result on; the counts stay.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Whether the next results will decide something: failures are counted and it is not down yet, or it was down and
    /// has answered since, but has not risen yet. Such a backend is worth asking more often.
    pub fn in_doubt(&self) -> bool {
        let falling = self.failures > 0 && self.health != Health::Down;
        falling || (self.recovering && self.answers > 0)
    }

    /// Takes in evidence that did not come from a probe: a refusal that the data plane saw. It leaves one failed probe
    /// between this backend and [`Health::Down`], and is forgotten with the next answer.
    pub fn suspect(&mut self, now: Instant) {
        let failures = self.thresholds.fall.saturating_sub(1);
        if self.health == Health::Down || failures <= self.failures {
            return;
        }
        self.failures = failures;
        self.first_failure.get_or_insert(now);
    }

    /// Takes one result into account. Results come in the order in which they were known.
    pub fn apply(&mut self, result: ProbeResult) -> Option<Transition> {
        let next = match result.outcome {
            Outcome::Failed(reason) if reason.is_local() => return None,
            Outcome::Failed(_) => self.failed(&result),
            Outcome::NotReady => self.not_ready(),
            Outcome::Up => self.answered(Health::Up),
            Outcome::Opaque => self.answered(Health::Opaque),
        };
        if !matches!(result.outcome, Outcome::Failed(_)) {
            self.answered = true;
            self.took = result.at.saturating_duration_since(result.begun);
        }
        self.last = Some(result);
        self.enter(next, result)
    }

    fn failed(&mut self, result: &ProbeResult) -> Health {
        self.answers = 0;
        self.failures = self.failures.saturating_add(1);
        self.first_failure.get_or_insert(result.begun);
        self.failed_at = Some(result.at);
        let enough = self.failures >= self.thresholds.fall;
        if enough || self.health == Health::Unverified { Health::Down } else { self.health }
    }

    fn not_ready(&mut self) -> Health {
        self.answers = 0;
        self.no_failure();
        Health::NotReady
    }

    fn answered(&mut self, as_what: Health) -> Health {
        self.answers = self.answers.saturating_add(1);
        self.no_failure();
        if self.recovering && self.answers < self.thresholds.rise { self.health } else { as_what }
    }

    fn no_failure(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    fn enter(&mut self, next: Health, result: ProbeResult) -> Option<Transition> {
        if next == self.health {
            return None;
        }
        let from = std::mem::replace(&mut self.health, next);
        self.since = result.at;
        match next {
            Health::Down => (self.recovering, self.returned) = (true, None),
            Health::Up | Health::Opaque => {
                if std::mem::take(&mut self.recovering) {
                    self.returned = Some(result.at);
                }
            }
            Health::NotReady | Health::Unverified => {}
        }
        let first_failure = if next == Health::Down { self.first_failure } else { None };
        Some(Transition { from, to: next, why: result.outcome, at: result.at, first_failure })
    }
}

/// The health of a service that follows another one of the same backend (8132 follows 6443).
///
/// `own` is `None` for a service without a probe of its own. What is followed can only take a backend out, never put
/// one in: an agent port that refuses connections is down whatever the API server says. And "opaque" is not
/// inherited by a service whose own probe can tell.
pub fn follow(own: Option<Health>, followed: Health) -> Health {
    match (own, followed) {
        (None, followed) => followed,
        (Some(Health::Down), _) | (_, Health::Down) => Health::Down,
        (Some(Health::NotReady), _) | (_, Health::NotReady) => Health::NotReady,
        (Some(own), _) => own,
    }
}
