//! What probes see besides health: credentials that are not taken, certificates and tokens that end, and what keeps this host
//! from asking. Pure; a change is news once, and what lasts is a warning for as long as it does.
//!
//! None of it changes the health of a backend. But an API server that refuses the probe's credential is *opaque*, which
//! looks as it should, its certificate ends on a day that nobody has in the calendar, and a backend that cannot be asked stays
//! what it was.

mod endings;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use self::endings::{Left, MAKE_ANOTHER, RENEW, certificate_left, credential_left, credential_words, soon};
use super::{machines::Probed, news::News};
use crate::{
    control::types::EventKind,
    health::{CredentialEnd, CredentialKind, CredentialState, FailureReason, Outcome, ProbeResult, Seen},
};

/// What was seen last of each probe.
#[derive(Debug, Default)]
pub struct Tidings {
    seen: BTreeMap<Probed, Sight>,
    /// How long the certificate of each server has, as it was said last.
    certificates: BTreeMap<Probed, Left>,
    /// The same of the credentials, by their ends: all probes may show one.
    credentials: BTreeMap<CredentialEnd, Left>,
}

/// What was seen last of one probe.
#[derive(Debug, Clone, Default)]
struct Sight {
    /// What it is of, as the operator knows it.
    name: String,
    seen: Seen,
    /// What kept this host from asking.
    hindrance: Option<FailureReason>,
}

impl Tidings {
    /// Forgets probes that there are no more.
    pub fn keep(&mut self, is_there: impl Fn(&Probed) -> bool) {
        self.seen.retain(|probed, _| is_there(probed));
        self.certificates.retain(|probed, _| is_there(probed));
        self.credentials
            .retain(|end, _| self.seen.values().any(|sight| sight.seen.credential_end == Some(*end)));
    }

    /// Takes in what a probe saw; what has changed is news.
    pub fn take(&mut self, probed: &Probed, name: &str, result: &ProbeResult, now: SystemTime) -> Vec<News> {
        let before = self.seen.get(probed).cloned().unwrap_or_default();
        let seen = complete(result, before.seen);
        let hindrance = match result.outcome {
            // Of a time-out that was noticed late the next probe knows more.
            Outcome::Failed(FailureReason::Late) => before.hindrance,
            Outcome::Failed(reason) => Some(reason).filter(|reason| reason.is_local()),
            Outcome::Up | Outcome::Opaque | Outcome::NotReady => None,
        };
        self.seen.insert(probed.clone(), Sight { name: name.to_owned(), seen, hindrance });
        let hindered = hindrance_news(name, before.hindrance, hindrance);
        let credential = credential_news(name, &before.seen, &seen);
        let server = seen.certificate_ends.and_then(|ends| {
            let left = certificate_left(ends, now);
            let before = self.certificates.insert(probed.clone(), left).unwrap_or_default();
            let whose = format!("{name}: the server's certificate");
            end_news(EventKind::Certificate, &whose, RENEW, (before, left), ends, now)
        });
        let client = seen.credential_end.and_then(|end| self.credential_end_news(end, now));
        hindered.into_iter().chain(credential).chain(server).chain(client).collect()
    }

    /// News of a credential that has come nearer to its end. One that has ended is said of each probe.
    fn credential_end_news(&mut self, end: CredentialEnd, now: SystemTime) -> Option<News> {
        let left = credential_left(end, now);
        if left == Left::Nothing {
            return None;
        }
        let before = self.credentials.insert(end, left).unwrap_or_default();
        let kind = match end.kind {
            CredentialKind::ClientCertificate => EventKind::Certificate,
            CredentialKind::Token => EventKind::Credential,
        };
        let whose = format!("the {} of the probes", credential_words(end.kind));
        end_news(kind, &whose, MAKE_ANOTHER, (before, left), end.at, now)
    }

    /// What lasts, one sentence each, none twice.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let mut warnings = BTreeSet::new();
        for Sight { name, seen, hindrance } in self.seen.values() {
            if let Some(words) = refusal(seen) {
                warnings.insert(format!("{name}: {}; {}", words.0, words.1));
            }
            if let Some(ends) = seen.certificate_ends
                && certificate_left(ends, now) != Left::Enough
            {
                warnings.insert(format!("{name}: the server's certificate {}; {RENEW}", soon(ends, now)));
            }
            if let Some(end) = seen.credential_end
                && credential_left(end, now) != Left::Enough
                && seen.credential != CredentialState::Ended
            {
                let what = credential_words(end.kind);
                warnings.insert(format!("the {what} of the probes {}; {MAKE_ANOTHER}", soon(end.at, now)));
            }
            if let Some(reason) = hindrance {
                warnings.insert(format!("{name}: cannot be probed, and is taken for what it was: {reason}"));
            }
        }
        warnings.into_iter().collect()
    }
}

/// What is known by now: a probe that failed did not get as far as to see. One that did not and sees nothing of a certificate
/// or a credential is by now asked in another way.
fn complete(result: &ProbeResult, before: Seen) -> Seen {
    let mut seen = result.seen;
    if matches!(result.outcome, Outcome::Failed(_)) {
        seen.certificate_ends = seen.certificate_ends.or(before.certificate_ends);
        seen.credential_end = seen.credential_end.or(before.credential_end);
    }
    if seen.credential == CredentialState::Unanswered {
        seen.credential = before.credential;
    }
    seen
}

/// News of a probe that this host cannot make, or can again.
fn hindrance_news(name: &str, before: Option<FailureReason>, now: Option<FailureReason>) -> Option<News> {
    if before == now {
        return None;
    }
    Some(match now {
        Some(reason) => News::warning(EventKind::Host, format!("{name}: cannot be probed"))
            .why(format!("{reason}; it is taken for what it was")),
        None => News::info(EventKind::Host, format!("{name}: can be probed again")),
    })
}

/// News of a credential that is taken no more, or again.
fn credential_news(name: &str, before: &Seen, now: &Seen) -> Option<News> {
    if before.credential == now.credential {
        return None;
    }
    let news = if let Some((what, why)) = refusal(now) {
        News::warning(EventKind::Credential, format!("{name}: {what}")).why(why)
    } else {
        refusal(before)?;
        News::info(EventKind::Credential, format!("{name}: the probe's credential is no longer refused"))
    };
    Some(news.change(before.credential.word(), now.credential.word()))
}

/// News of a certificate or a token that has come nearer to its end, or was renewed.
fn end_news(
    kind: EventKind,
    whose: &str,
    next: &str,
    (before, left): (Left, Left),
    ends: SystemTime,
    now: SystemTime,
) -> Option<News> {
    if before == left {
        return None;
    }
    let news = if left == Left::Enough {
        let days = Seen::days_until(ends, now);
        News::info(kind, format!("{whose} was renewed, for {days} days"))
    } else {
        News::warning(kind, format!("{whose} {}", soon(ends, now))).why(next)
    };
    Some(news.change(Some(before.word()), Some(left.word())))
}

/// Why a credential is of no use: what is the matter, and what that means with the next step.
fn refusal(seen: &Seen) -> Option<(&'static str, &'static str)> {
    match seen.credential {
        CredentialState::None | CredentialState::Unanswered | CredentialState::Accepted => None,
        CredentialState::Refused => Some((
            "the probe's credential is refused",
            "it cannot be told whether the server is ready; `xdplb k0s-config --probe-credential` says how to make one",
        )),
        CredentialState::Ended => Some((
            match seen.credential_end.map(|end| end.kind) {
                Some(CredentialKind::Token) => "the probe's token has ended",
                Some(CredentialKind::ClientCertificate) | None => "the probe's client certificate has ended",
            },
            MAKE_ANOTHER,
        )),
        CredentialState::Unreadable => Some((
            "the files of the probe cannot be read any more",
            "those read before stay in use; the log says which",
        )),
    }
}

#[cfg(test)]
mod tests;
