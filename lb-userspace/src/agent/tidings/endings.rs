//! How long a certificate or a token has, and the words for it.

use std::time::{Duration, SystemTime};

use crate::health::{CredentialEnd, CredentialKind, Seen};

/// What has no more days than this is worth a warning. k0s renews its own certificates when a controller starts.
const SOON_DAYS: i64 = 14;
/// What was made for less than this ends soon from its beginning on.
const SHORT_LIVED: Duration = Duration::from_secs(14 * 24 * 3600);
/// The part of its life that is left to a short-lived one when it is worth a warning: the tenth. Kubernetes replaces its
/// projected tokens when a fifth is left, so somebody has missed that by then.
const LAST_PART: u32 = 10;

/// What to do about a server's certificate.
pub(super) const RENEW: &str = "renew it; k0s does when the controller is started again";
/// What to do about the probes' own credential.
pub(super) const MAKE_ANOTHER: &str = "`xdplb k0s-config --probe-credential` says how to make another";

/// How long there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Left {
    /// Long enough.
    #[default]
    Enough,
    /// It ends soon.
    Little,
    /// It has ended.
    Nothing,
}

impl Left {
    /// The word of events.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Enough => "valid",
            Self::Little => "ends-soon",
            Self::Nothing => "ended",
        }
    }
}

/// How long a server's certificate has.
pub(super) fn certificate_left(ends: SystemTime, now: SystemTime) -> Left {
    match Seen::days_until(ends, now) {
        ..0 => Left::Nothing,
        0..=SOON_DAYS => Left::Little,
        _ => Left::Enough,
    }
}

/// How long a credential has.
pub(super) fn credential_left(end: CredentialEnd, now: SystemTime) -> Left {
    match (end.lifetime.filter(|lifetime| *lifetime < SHORT_LIVED), end.at.duration_since(now)) {
        (Some(lifetime), Ok(left)) if left >= lifetime / LAST_PART => Left::Enough,
        (Some(_), Ok(_)) => Left::Little,
        (Some(_), Err(_)) => Left::Nothing,
        (None, _) => certificate_left(end.at, now),
    }
}

/// What a credential is called.
pub(super) fn credential_words(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ClientCertificate => "client certificate",
        CredentialKind::Token => "token",
    }
}

/// The words for an end that is near or over.
pub(super) fn soon(ends: SystemTime, now: SystemTime) -> String {
    match Seen::days_until(ends, now) {
        ..0 => "has ended".to_owned(),
        0 => "ends today".to_owned(),
        1 => "ends in a day".to_owned(),
        days => format!("ends in {days} days"),
    }
}
