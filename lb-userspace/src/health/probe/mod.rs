//! Asking one backend once.
//!
//! A probe must be quiet (a healthy backend logs nothing because of it), must leave nothing behind (no TIME-WAIT, no
//! half-done handshake) and must end within its time-out whatever the other side does.
//!
//! **Every probe makes a new TCP connection.** A connection that is kept goes on working when the listener is gone: the
//! API server closes its port first and ends the connections it has later, and clients of a balancer are those who
//! dial. What a handshake costs is saved by resuming TLS sessions instead ([`tls`]).

pub mod certificate;
mod closing;
pub mod https;
pub mod materials;
mod socket;
pub mod tcp;
pub mod tls;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant as Deadline, timeout_at};

use self::closing::Closing;
use self::https::Https;
use self::tls::{Session, Tls};
use super::failure::FailureReason;
use super::outcome::{Outcome, ProbeResult, Seen};

/// A time-out may be noticed this much after it was due before it is counted as this host's own lateness.
const LATE: Duration = Duration::from_millis(500);

/// How often is knocked. At one lost packet in a hundred, three in a row are lost once in a million times.
const KNOCKS: u32 = 3;

/// From one knock to the next: longer than a queue that overflows stays full.
const KNOCK_INTERVAL: Duration = Duration::from_millis(10);

/// A silence that is noticed so much later than it was due shows nothing.
const KNOCK_LATE: Duration = Duration::from_millis(100);

/// How a backend is asked. Two are equal when they ask the same, with the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeKind {
    /// Does something listen there?
    Tcp,
    /// Does it shake hands?
    Tls(Arc<Tls>),
    /// What does it answer?
    Https(Arc<Https>),
}

/// One backend, how it is asked, and what one probe leaves for the next.
#[derive(Debug)]
pub struct Asker {
    /// The backend's address and port.
    to: SocketAddr,
    /// The address to ask from; the kernel's choice when `None`.
    from: Option<IpAddr>,
    /// Local ports that belong to others, those of SNAT: a probe never uses one.
    foreign_ports: Option<RangeInclusive<u16>>,
    /// How to ask.
    kind: ProbeKind,
    /// How long one probe may take.
    limit: Duration,
    /// The TLS session. One probe at a time locks it, and never over an `await`.
    session: Mutex<Session>,
}

/// What a probe found out, and what of it is still open.
struct Answer {
    outcome: Outcome,
    seen: Seen,
    closing: Option<Closing>,
}

impl Asker {
    /// Has asked nobody yet.
    pub fn new(to: SocketAddr, kind: ProbeKind, limit: Duration) -> Self {
        Self { to, from: None, foreign_ports: None, kind, limit, session: Mutex::default() }
    }

    /// Leaves from this address, where there is one, and never from one of these ports.
    #[must_use]
    pub fn leaving(self, from: Option<IpAddr>, foreign_ports: Option<RangeInclusive<u16>>) -> Self {
        Self { from, foreign_ports, ..self }
    }

    /// Asks once. Dropping the future abandons the probe and closes its socket.
    pub async fn ask(&self) -> ProbeResult {
        let (begun, deadline) = (Instant::now(), Deadline::now() + self.limit);
        let answer = match &self.kind {
            ProbeKind::Tcp => match timeout_at(deadline, tcp::ask(self)).await {
                Ok(outcome) => outcome.into(),
                Err(_) => Answer::failed(FailureReason::Timeout),
            },
            ProbeKind::Tls(tls) => tls.ask(self, deadline).await,
            ProbeKind::Https(https) => https.ask(self, deadline).await,
        };
        let at = Instant::now();
        let late = |reason: FailureReason| reason.is_timeout() && at - begun > self.limit + LATE;
        let outcome = match answer.outcome {
            Outcome::Failed(reason) if late(reason) => Outcome::Failed(FailureReason::Late),
            outcome => outcome,
        };
        if matches!(outcome, Outcome::Failed(_)) {
            // Whatever is wrong, the next probe looks at all of it anew.
            self.with_session(Session::forget);
        }
        if let Some(closing) = answer.closing {
            closing.close(deadline).await;
        }
        ProbeResult { outcome, begun, at, seen: answer.seen }
    }

    /// Knocks at the port, a few times so that one lost packet is no silence, and waits so long behind the last: whether
    /// something listens there, sooner than a whole probe would tell. No answer is [`FailureReason::Timeout`].
    pub async fn knock(&self, patience: Duration) -> ProbeResult {
        let begun = Instant::now();
        let limit = KNOCK_INTERVAL * (KNOCKS - 1) + patience;
        let mut knocks: FuturesUnordered<_> = (0..KNOCKS)
            .map(|number| async move {
                tokio::time::sleep(KNOCK_INTERVAL * number).await;
                tcp::ask(self).await
            })
            .collect();
        let answered = timeout_at(Deadline::now() + limit, async {
            let mut last = Outcome::Failed(FailureReason::Timeout);
            while let Some(outcome) = knocks.next().await {
                last = outcome;
                if outcome == Outcome::Up {
                    break;
                }
            }
            last
        });
        let outcome = answered.await.unwrap_or(Outcome::Failed(FailureReason::Timeout));
        let at = Instant::now();
        // Who was so late may have been late with the knocks too.
        let is_late = outcome != Outcome::Up && at - begun > limit + KNOCK_LATE;
        let outcome = if is_late { Outcome::Failed(FailureReason::Late) } else { outcome };
        ProbeResult::new(outcome, begun, at)
    }

    fn with_session<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        change(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Answer {
    fn failed(reason: FailureReason) -> Self {
        Outcome::Failed(reason).into()
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, seen: Seen::default(), closing: None }
    }
}

#[cfg(test)]
mod tests;
