//! What is told of what probes see, once, and for as long as it lasts.

use std::time::{Duration, Instant};

use super::*;
use crate::{config::Family, control::types::Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// What changed, without the why.
fn line(news: News) -> String {
    news.into_event(1, Timestamp::now()).message
}

fn probed(backend: u16) -> Probed {
    Probed { service: "kubernetes-api".into(), backend, family: Family::V4 }
}

/// A probe that went well, or not so well, and saw this.
fn result(outcome: Outcome, seen: Seen) -> ProbeResult {
    let now = Instant::now();
    ProbeResult { seen, ..ProbeResult::new(outcome, now, now) }
}

/// Takes in what a probe of one backend saw; what is told of it, and the warnings then.
fn take(tidings: &mut Tidings, outcome: Outcome, seen: Seen, now: SystemTime) -> (Vec<String>, Vec<String>) {
    let told = tidings.take(&probed(1), "kubernetes-api on c1", &result(outcome, seen), now);
    (told.into_iter().map(line).collect(), tidings.warnings(now))
}

#[test]
fn what_lasts_is_a_warning_until_it_is_over() {
    let (mut tidings, now, mut told) = (Tidings::default(), SystemTime::now(), Vec::new());
    let mut take = |credential, days: u32| {
        let ends = Some(now + DAY * days + DAY / 2);
        let seen = Seen { credential, certificate_ends: ends, ..Seen::default() };
        let (news, warnings) = take(&mut tidings, Outcome::Up, seen, now);
        told.extend(news);
        warnings
    };
    assert_eq!(take(CredentialState::Accepted, 300), Vec::<String>::new());
    let refused = take(CredentialState::Refused, 300);
    assert!(refused[0].starts_with("kubernetes-api on c1: the probe's credential is refused"), "{refused:?}");
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
    assert!(tidings.seen.is_empty(), "a probe that is gone is forgotten");
}

#[test]
fn a_client_certificate_is_warned_of_once_for_all_backends() {
    let (mut tidings, now) = (Tidings::default(), SystemTime::now());
    let end = CredentialEnd { kind: CredentialKind::ClientCertificate, at: now + DAY, lifetime: None };
    let result = result(Outcome::Up, Seen { credential_end: Some(end), ..Seen::default() });
    let mut told = 0;
    for backend in 1..=3 {
        told += tidings.take(&probed(backend), &format!("kubernetes-api on c{backend}"), &result, now).len();
    }
    assert_eq!(told, 1, "one certificate is one piece of news");
    let warnings = tidings.warnings(now);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("ends in a day"), "{warnings:?}");
    let later = tidings.warnings(now + DAY * 2);
    assert!(later[0].contains("the client certificate of the probes has ended"), "{later:?}");
}

#[test]
fn a_token_is_warned_of_when_little_of_its_life_is_left() {
    let start = SystemTime::now();
    let end = |lifetime: Option<Duration>, at: Duration| CredentialEnd {
        kind: CredentialKind::Token,
        at: start + at,
        lifetime,
    };
    let hour = Duration::from_secs(3600);
    let (short, long, unknown) = (end(Some(hour), hour), end(Some(DAY * 14), DAY * 14), end(None, hour));
    for (end, passed, expected) in [
        (short, Duration::ZERO, Left::Enough),
        (short, hour * 9 / 10, Left::Enough),
        (short, hour * 9 / 10 + Duration::from_secs(1), Left::Little),
        (short, hour + Duration::from_secs(1), Left::Nothing),
        (long, Duration::ZERO, Left::Little),
        (end(Some(DAY * 365), DAY * 365), Duration::ZERO, Left::Enough),
        (end(Some(DAY * 365), DAY * 365), DAY * 351, Left::Little),
        (unknown, Duration::ZERO, Left::Little),
        (unknown, hour * 2, Left::Nothing),
    ] {
        assert_eq!(credential_left(end, start + passed), expected, "{end:?} after {passed:?}");
    }

    let mut tidings = Tidings::default();
    let mut at = |passed: Duration, credential| {
        let seen = Seen { credential, credential_end: Some(short), ..Seen::default() };
        take(&mut tidings, Outcome::Up, seen, start + passed)
    };
    assert_eq!(at(Duration::ZERO, CredentialState::Accepted), (vec![], vec![]), "it has nearly an hour");
    let (told, warnings) = at(hour * 59 / 60, CredentialState::Accepted);
    assert_eq!(told, ["the token of the probes ends today"]);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("the token of the probes ends today; "),
        "{warnings:?}"
    );
    let (told, _) = at(hour * 119 / 120, CredentialState::Accepted);
    assert_eq!(told, Vec::<String>::new(), "it is said once");
    let (told, warnings) = at(hour + Duration::from_secs(1), CredentialState::Ended);
    assert_eq!(told, ["kubernetes-api on c1: the probe's token has ended"]);
    assert_eq!(warnings.len(), 1, "one sentence for one matter: {warnings:?}");
}

#[test]
fn what_keeps_this_host_from_asking_is_told_once_and_until_it_is_over() {
    let (mut tidings, now) = (Tidings::default(), SystemTime::now());
    let mut after = |outcome| take(&mut tidings, outcome, Seen::default(), now);
    let failed = Outcome::Failed;
    let (told, warnings) = after(failed(FailureReason::NoRoute));
    assert_eq!(told, ["kubernetes-api on c1: cannot be probed"]);
    let sentence =
        "kubernetes-api on c1: cannot be probed, and is taken for what it was: this host has no route to it";
    assert_eq!(warnings, [sentence]);
    for again in [FailureReason::NoRoute, FailureReason::Late] {
        assert_eq!(after(failed(again)), (vec![], vec![sentence.to_owned()]), "{again:?} is no other matter");
    }
    let (told, warnings) = after(failed(FailureReason::Panicked));
    assert_eq!((told.len(), warnings.len()), (1, 1), "another reason is news: {told:?}, {warnings:?}");
    let (told, warnings) = after(failed(FailureReason::Refused));
    assert_eq!(told, ["kubernetes-api on c1: can be probed again"], "a refusal is an answer");
    assert_eq!(warnings, Vec::<String>::new());
}
