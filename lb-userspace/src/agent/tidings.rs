//! What probes see besides health: credentials that are not taken, certificates that end. Pure; it says each thing once,
//! and what lasts as a warning for as long as it does.
//!
//! None of it changes the health of a backend. But an API server that refuses the probe's credential is *opaque*, which
//! looks as it should, and its certificate ends on a day that nobody has in the calendar.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use crate::health::{CredentialState, Seen, TargetId};

/// A certificate that has no more days than this is worth a warning. k0s renews its own when a controller starts.
const SOON_DAYS: i64 = 14;

/// What was seen last of each target.
#[derive(Debug, Default)]
pub struct Tidings {
    seen: BTreeMap<TargetId, (String, Seen)>,
}

impl Tidings {
    /// Forgets targets that there are no more.
    pub fn keep(&mut self, is_there: impl Fn(&TargetId) -> bool) {
        self.seen.retain(|id, _| is_there(id));
    }

    /// Takes in what a probe saw; a credential that is taken no more, or again, is said in the log.
    pub fn take(&mut self, id: TargetId, name: &str, seen: &Seen) {
        let mut seen = *seen;
        let before = self.seen.get(&id).map(|(_, before)| *before).unwrap_or_default();
        // A probe that failed did not get as far as to see.
        seen.certificate_ends = seen.certificate_ends.or(before.certificate_ends);
        seen.credential_ends = seen.credential_ends.or(before.credential_ends);
        if seen.credential == CredentialState::Unanswered {
            seen.credential = before.credential;
        }
        if seen.credential != before.credential {
            match refusal(seen.credential) {
                Some(words) => log::warn!("{name}: {words}"),
                None if refusal(before.credential).is_some() => {
                    log::info!("{name}: the probe's credential is no longer refused");
                }
                None => {}
            }
        }
        self.seen.insert(id, (name.to_owned(), seen));
    }

    /// What lasts, one sentence each, none twice.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let mut warnings = BTreeSet::new();
        for (name, seen) in self.seen.values() {
            if let Some(words) = refusal(seen.credential) {
                warnings.insert(format!("{name}: {words}"));
            }
            if let Some(left) = soon(seen.certificate_ends, now) {
                let next = "renew it; k0s does when the controller is started again";
                warnings.insert(format!("{name}: the server's certificate {left}; {next}"));
            }
            if let Some(left) = soon(seen.credential_ends, now)
                && seen.credential != CredentialState::Ended
            {
                let next = "`xdplb k0s-config --probe-credential` says how to make another";
                warnings.insert(format!("the client certificate of the probes {left}; {next}"));
            }
        }
        warnings.into_iter().collect()
    }
}

/// Why a credential is of no use, with the next step.
fn refusal(credential: CredentialState) -> Option<&'static str> {
    match credential {
        CredentialState::None | CredentialState::Unanswered | CredentialState::Accepted => None,
        CredentialState::Refused => Some(
            "the probe's credential is refused, so it cannot be told whether the server is ready; \
             `xdplb k0s-config --probe-credential` says how to make one",
        ),
        CredentialState::Ended => Some(
            "the probe's client certificate has ended; `xdplb k0s-config --probe-credential` says how to make another",
        ),
        CredentialState::Unreadable => Some(
            "the files of the probe cannot be read any more, and those read before stay in use; the log says which",
        ),
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

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_lasts_is_a_warning_until_it_is_over() {
        let (mut tidings, now) = (Tidings::default(), SystemTime::now());
        let mut take = |credential, days: u32| {
            let seen =
                Seen { credential, certificate_ends: Some(now + DAY * days + DAY / 2), ..Seen::default() };
            tidings.take(TargetId(1), "kubernetes-api on c1", &seen);
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
        tidings.keep(|_| false);
        assert!(tidings.seen.is_empty(), "a target that is gone is forgotten");
    }

    #[test]
    fn a_client_certificate_is_warned_of_once_for_all_backends() {
        let (mut tidings, now) = (Tidings::default(), SystemTime::now());
        let seen = Seen { credential_ends: Some(now + DAY), ..Seen::default() };
        for id in 1..=3 {
            tidings.take(TargetId(id), &format!("kubernetes-api on c{id}"), &seen);
        }
        let warnings = tidings.warnings(now);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("ends in a day"), "{warnings:?}");
        let later = tidings.warnings(now + DAY * 2);
        assert!(later[0].contains("has ended"), "{later:?}");
    }
}
