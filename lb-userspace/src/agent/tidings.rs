//! What probes see besides health: credentials that are not taken, certificates that end. Pure; a change is news once, and
//! what lasts is a warning for as long as it does.
//!
//! None of it changes the health of a backend. But an API server that refuses the probe's credential is *opaque*, which
//! looks as it should, and its certificate ends on a day that nobody has in the calendar.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use super::news::News;
use crate::{
    control::types::EventKind,
    health::{CredentialState, Seen, TargetId},
};

/// A certificate that has no more days than this is worth a warning. k0s renews its own when a controller starts.
const SOON_DAYS: i64 = 14;

/// What was seen last of each target.
#[derive(Debug, Default)]
pub struct Tidings {
    seen: BTreeMap<TargetId, (String, Seen)>,
    /// How long the certificate of each target has, as it was said last.
    certificates: BTreeMap<TargetId, Left>,
    /// The same of the client certificates, by the moment when they end: all targets may have one.
    credentials: BTreeMap<SystemTime, Left>,
}

/// How long a certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Left {
    /// Long enough.
    #[default]
    Enough,
    /// Some days.
    Days,
    /// It has ended.
    Nothing,
}

impl Left {
    fn of(ends: SystemTime, now: SystemTime) -> Self {
        match Seen::days_until(ends, now) {
            ..0 => Self::Nothing,
            0..=SOON_DAYS => Self::Days,
            _ => Self::Enough,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Enough => "valid",
            Self::Days => "ends-soon",
            Self::Nothing => "ended",
        }
    }
}

impl Tidings {
    /// Forgets targets that there are no more.
    pub fn keep(&mut self, is_there: impl Fn(&TargetId) -> bool) {
        self.seen.retain(|id, _| is_there(id));
        self.certificates.retain(|id, _| is_there(id));
        self.credentials
            .retain(|ends, _| self.seen.values().any(|(_, seen)| seen.credential_ends == Some(*ends)));
    }

    /// Takes in what a probe saw; what has changed is news.
    pub fn take(&mut self, id: TargetId, name: &str, seen: &Seen, now: SystemTime) -> Vec<News> {
        let mut seen = *seen;
        let before = self.seen.get(&id).map(|(_, before)| *before).unwrap_or_default();
        // A probe that failed did not get as far as to see.
        seen.certificate_ends = seen.certificate_ends.or(before.certificate_ends);
        seen.credential_ends = seen.credential_ends.or(before.credential_ends);
        if seen.credential == CredentialState::Unanswered {
            seen.credential = before.credential;
        }
        self.seen.insert(id, (name.to_owned(), seen));
        let credential = credential_news(name, before.credential, seen.credential);
        let certificate = seen.certificate_ends.and_then(|ends| {
            let left = Left::of(ends, now);
            let before = self.certificates.insert(id, left).unwrap_or_default();
            certificate_news(&format!("{name}: the server's certificate"), RENEW, (before, left), ends, now)
        });
        // One that has ended is said of the credential.
        let client =
            seen.credential_ends.filter(|ends| Left::of(*ends, now) != Left::Nothing).and_then(|ends| {
                let left = Left::of(ends, now);
                let before = self.credentials.insert(ends, left).unwrap_or_default();
                certificate_news(
                    "the client certificate of the probes",
                    MAKE_ANOTHER,
                    (before, left),
                    ends,
                    now,
                )
            });
        credential.into_iter().chain(certificate).chain(client).collect()
    }

    /// What lasts, one sentence each, none twice.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let mut warnings = BTreeSet::new();
        for (name, seen) in self.seen.values() {
            if let Some(words) = refusal(seen.credential) {
                warnings.insert(format!("{name}: {}; {}", words.0, words.1));
            }
            if let Some(left) = soon(seen.certificate_ends, now) {
                warnings.insert(format!("{name}: the server's certificate {left}; {RENEW}"));
            }
            if let Some(left) = soon(seen.credential_ends, now)
                && seen.credential != CredentialState::Ended
            {
                warnings.insert(format!("the client certificate of the probes {left}; {MAKE_ANOTHER}"));
            }
        }
        warnings.into_iter().collect()
    }
}

/// What to do about a server's certificate.
const RENEW: &str = "renew it; k0s does when the controller is started again";
/// What to do about the probes' own.
const MAKE_ANOTHER: &str = "`xdplb k0s-config --probe-credential` says how to make another";

/// News of a credential that is taken no more, or again.
fn credential_news(name: &str, before: CredentialState, now: CredentialState) -> Option<News> {
    if before == now {
        return None;
    }
    let news = if let Some((what, why)) = refusal(now) {
        News::warning(EventKind::Credential, format!("{name}: {what}")).why(why)
    } else {
        refusal(before)?;
        News::info(EventKind::Credential, format!("{name}: the probe's credential is no longer refused"))
    };
    Some(news.change(before.word(), now.word()))
}

/// News of a certificate that has come nearer to its end, or was renewed.
fn certificate_news(
    whose: &str,
    next: &str,
    (before, left): (Left, Left),
    ends: SystemTime,
    now: SystemTime,
) -> Option<News> {
    if before == left {
        return None;
    }
    let news = if let Some(words) = soon(Some(ends), now) {
        News::warning(EventKind::Certificate, format!("{whose} {words}")).why(next)
    } else {
        let days = Seen::days_until(ends, now);
        News::info(EventKind::Certificate, format!("{whose} was renewed, for {days} days"))
    };
    Some(news.change(Some(before.word()), Some(left.word())))
}

/// Why a credential is of no use: what is the matter, and what that means with the next step.
fn refusal(credential: CredentialState) -> Option<(&'static str, &'static str)> {
    match credential {
        CredentialState::None | CredentialState::Unanswered | CredentialState::Accepted => None,
        CredentialState::Refused => Some((
            "the probe's credential is refused",
            "it cannot be told whether the server is ready; `xdplb k0s-config --probe-credential` says how to make one",
        )),
        CredentialState::Ended => Some(("the probe's client certificate has ended", MAKE_ANOTHER)),
        CredentialState::Unreadable => Some((
            "the files of the probe cannot be read any more",
            "those read before stay in use; the log says which",
        )),
    }
}

/// The words for a certificate that has ended or ends soon.
fn soon(ends: Option<SystemTime>, now: SystemTime) -> Option<String> {
    match Seen::days_until(ends?, now) {
        ..0 => Some("has ended".to_owned()),
        0 => Some("ends today".to_owned()),
        1 => Some("ends in a day".to_owned()),
        days @ 2..=SOON_DAYS => Some(format!("ends in {days} days")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::types::Timestamp;

    const DAY: Duration = Duration::from_secs(86_400);

    /// What changed, without the why.
    fn line(news: News) -> String {
        news.into_event(1, Timestamp::now()).message
    }

    #[test]
    fn what_lasts_is_a_warning_until_it_is_over() {
        let (mut tidings, now, mut told) = (Tidings::default(), SystemTime::now(), Vec::new());
        let mut take = |credential, days: u32| {
            let seen =
                Seen { credential, certificate_ends: Some(now + DAY * days + DAY / 2), ..Seen::default() };
            told.extend(tidings.take(TargetId(1), "kubernetes-api on c1", &seen, now).into_iter().map(line));
            tidings.warnings(now)
        };
        assert_eq!(take(CredentialState::Accepted, 300), Vec::<String>::new());
        let refused = take(CredentialState::Refused, 300);
        assert!(
            refused[0].starts_with("kubernetes-api on c1: the probe's credential is refused"),
            "{refused:?}"
        );
        let unknown = take(CredentialState::Unanswered, 300);
        assert_eq!(unknown, refused, "a probe that failed did not get as far as to see");
        let soon = take(CredentialState::Accepted, 14);
        assert_eq!(
            soon,
            ["kubernetes-api on c1: the server's certificate ends in 14 days; renew it; k0s does when the \
              controller is started again"]
        );
        take(CredentialState::Refused, 15);
        let removed = take(CredentialState::None, 15);
        assert_eq!(removed, Vec::<String>::new(), "whoever shows nothing is refused nothing");
        assert_eq!(
            told,
            [
                "kubernetes-api on c1: the probe's credential is refused",
                "kubernetes-api on c1: the probe's credential is no longer refused",
                "kubernetes-api on c1: the server's certificate ends in 14 days",
                "kubernetes-api on c1: the probe's credential is refused",
                "kubernetes-api on c1: the server's certificate was renewed, for 15 days",
                "kubernetes-api on c1: the probe's credential is no longer refused",
            ],
            "each change is news once"
        );
        tidings.keep(|_| false);
        assert!(tidings.seen.is_empty(), "a target that is gone is forgotten");
    }

    #[test]
    fn a_client_certificate_is_warned_of_once_for_all_backends() {
        let (mut tidings, now) = (Tidings::default(), SystemTime::now());
        let seen = Seen { credential_ends: Some(now + DAY), ..Seen::default() };
        let mut told = 0;
        for id in 1..=3 {
            told += tidings.take(TargetId(id), &format!("kubernetes-api on c{id}"), &seen, now).len();
        }
        assert_eq!(told, 1, "one certificate is one piece of news");
        let warnings = tidings.warnings(now);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("ends in a day"), "{warnings:?}");
        let later = tidings.warnings(now + DAY * 2);
        assert!(later[0].contains("has ended"), "{later:?}");
    }
}
