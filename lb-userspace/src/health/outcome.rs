//! What a probe can find out.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use super::failure::FailureReason;

/// What one probe of one backend found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeResult {
    /// What the backend answered.
    pub outcome: Outcome,
    /// When the probe began. A verdict about others may only rest on probes begun after it.
    pub begun: Instant,
    /// When the answer (or its absence) was known.
    pub at: Instant,
    /// What there was to see besides.
    pub seen: Seen,
}

/// The answer of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It serves.
    Up,
    /// It answers, but will not tell whether it is ready (401 or 403 to an anonymous `/readyz`).
    Opaque,
    /// It answers and asks for no new connections (a 5xx).
    NotReady,
    /// It did not answer as it should.
    Failed(FailureReason),
}

/// What a probe sees besides the answer: for the status and the log, never for the health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The status of the HTTP answer.
    pub status: Option<u16>,
    /// When the server's certificate ends.
    pub certificate_ends: Option<SystemTime>,
    /// What became of the credential that the probe shows.
    pub credential: CredentialState,
    /// When the credential ends that the probe shows, if it does.
    pub credential_end: Option<CredentialEnd>,
}

/// When a credential ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialEnd {
    /// What it is.
    pub kind: CredentialKind,
    /// When it ends.
    pub at: SystemTime,
    /// How long it was made for; `None` where it does not say.
    pub lifetime: Option<Duration>,
}

/// What a credential can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A client certificate.
    ClientCertificate,
    /// A bearer token.
    Token,
}

/// What became of the credential that a probe shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum CredentialState {
    /// There is none.
    #[default]
    None,
    /// The server has not said what it thinks of it.
    Unanswered,
    /// The server answered the question.
    Accepted,
    /// The server does not let it ask: 401, 403 or a TLS alert about the client certificate.
    Refused,
    /// The client certificate or the token has ended.
    Ended,
    /// Its files cannot be read any more; the last good one is shown.
    Unreadable,
}

impl CredentialState {
    /// The word for it; `None` where there is no credential.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Unanswered => Some("unanswered"),
            Self::Accepted => Some("accepted"),
            Self::Refused => Some("refused"),
            Self::Ended => Some("ended"),
            Self::Unreadable => Some("unreadable"),
        }
    }
}

impl ProbeResult {
    /// A result without anything else to see.
    pub fn new(outcome: Outcome, begun: Instant, at: Instant) -> Self {
        Self { outcome, begun, at, seen: Seen::default() }
    }
}

impl Seen {
    /// Whole days until a moment, rounded down; negative when it is over.
    pub fn days_until(moment: SystemTime, now: SystemTime) -> i64 {
        const DAY_S: u64 = 24 * 3600;
        let days = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        match moment.duration_since(now) {
            Ok(left) => days(left.as_secs() / DAY_S),
            Err(over) => -days(over.duration().as_secs().div_ceil(DAY_S)),
        }
    }
}

impl fmt::Display for ProbeResult {
    /// A few words: `200 ok`, `401 unauthorized`, `connection refused`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.outcome, self.seen.status) {
            (Outcome::Failed(reason), _) => reason.fmt(f),
            (_, Some(status)) => write!(f, "{}", status_words(status)),
            (outcome, None) => outcome.fmt(f),
        }
    }
}

/// A status with the words that RFC 9110 has for it.
fn status_words(status: u16) -> String {
    let words = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("{status} {}", words.unwrap_or_default().to_lowercase()).trim_end().to_owned()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("answers"),
            Self::Opaque => f.write_str("answers, but may not tell whether it is ready"),
            Self::NotReady => f.write_str("answers that it is not ready"),
            Self::Failed(reason) => reason.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_told_in_a_few_words() {
        let now = Instant::now();
        let words = |outcome, status| {
            let seen = Seen { status, ..Seen::default() };
            ProbeResult { seen, ..ProbeResult::new(outcome, now, now) }.to_string()
        };
        assert_eq!(words(Outcome::Up, Some(200)), "200 ok");
        assert_eq!(words(Outcome::Opaque, Some(401)), "401 unauthorized");
        assert_eq!(words(Outcome::NotReady, Some(599)), "599");
        assert_eq!(words(Outcome::Up, None), "answers");
        let redirect = Outcome::Failed(FailureReason::Redirect(302));
        assert_eq!(words(redirect, Some(302)), "redirected (302)");
    }

    #[test]
    fn days_are_whole_ones() {
        let (now, day) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30), Duration::from_secs(86_400));
        assert_eq!(Seen::days_until(now + day * 3 - Duration::from_secs(1), now), 2);
        assert_eq!(Seen::days_until(now + day, now), 1);
        assert_eq!(Seen::days_until(now - Duration::from_secs(1), now), -1);
        assert_eq!(Seen::days_until(now - day, now), -1);
    }
}
