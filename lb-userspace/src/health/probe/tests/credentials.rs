//! Credentials: shown to whom they should be, read again when they change, and told when they are of no use.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ServerConfig;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::servers::{Asked, Authority, Identity, answering};
use super::*;
use crate::config::probe::Credential;
use crate::health::outcome::{CredentialKind, CredentialState};
use crate::health::probe::materials::Materials;

const READY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

/// What comes of one probe, and what it said of its credential.
async fn asked(asker: &Asker) -> (Outcome, CredentialState) {
    let result = asker.ask().await;
    (result.outcome, result.seen.credential)
}

/// The token of the next request that the server saw.
async fn token(server: &mut UnboundedReceiver<Asked>) -> String {
    let seen = server.recv().await.expect("the server lives");
    let line = seen.request.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    line.unwrap_or_else(|| panic!("no token in {}", seen.request)).to_owned()
}

/// A probe that shows the token in `probe.token` to servers of this authority.
fn with_token(authority: &Authority, to: SocketAddr) -> Asker {
    let token = authority.folder().join("probe.token");
    let probe = HttpsProbe {
        trust: trusting(authority.ca_file(), None),
        credential: Some(Credential::Token(named(token))),
        ..HttpsProbe::default()
    };
    https(to, &probe, PATIENCE)
}

#[tokio::test]
async fn a_token_is_read_again_when_it_changes_and_a_broken_one_leaves_the_last() {
    let authority = Authority::new();
    let (to, mut server) = answering(Authority::config(&authority.issue_good(), None), READY).await;
    authority.write("probe.token", "first\n");
    let asker = with_token(&authority, to);
    let fine = (Outcome::Up, CredentialState::Accepted);
    assert_eq!(asked(&asker).await, fine);
    assert_eq!(token(&mut server).await, "first");

    // Replaced in one step, as one replaces a secret.
    let new = authority.write("new", "second");
    std::fs::rename(new, authority.folder().join("probe.token")).expect("a file can be replaced");
    assert_eq!(asked(&asker).await, fine);
    assert_eq!(token(&mut server).await, "second");

    for broken in ["", "two words", "\0"] {
        authority.write("probe.token", broken);
        assert_eq!(asked(&asker).await, (Outcome::Up, CredentialState::Unreadable), "{broken:?}");
        assert_eq!(token(&mut server).await, "second", "the last good one is shown");
    }
    std::fs::remove_file(authority.folder().join("probe.token")).expect("a file can be removed");
    assert_eq!(asked(&asker).await, (Outcome::Up, CredentialState::Unreadable));
    assert_eq!(token(&mut server).await, "second");

    authority.write("probe.token", "third");
    assert_eq!(asked(&asker).await, fine);
    assert_eq!(token(&mut server).await, "third");
}

#[tokio::test]
async fn a_refused_token_leaves_the_backend_in_use_and_is_told() {
    let authority = Authority::new();
    let (to, _server) = answering(Authority::config(&authority.issue_good(), None), UNAUTHORIZED).await;
    authority.write("probe.token", "wrong");
    let asker = with_token(&authority, to);
    assert_eq!(asked(&asker).await, (Outcome::Opaque, CredentialState::Refused));
    assert_eq!(anonymous(to, PATIENCE).await, Outcome::Opaque, "as for somebody without a token");
}

/// A token that ends so many seconds after 1970, and lives for a thousand.
fn jwt(ends: u64) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!("{{\"exp\":{ends},\"iat\":{}}}", ends - 1000);
    format!("{}.{}.{}\n", part("{}"), part(&claims), part("signature"))
}

#[tokio::test]
async fn a_token_that_has_ended_is_told_apart_from_one_that_is_refused() {
    let authority = Authority::new();
    let (to, _server) = answering(Authority::config(&authority.issue_good(), None), UNAUTHORIZED).await;
    authority.write("probe.token", &jwt(1_700_000_000));
    let asker = with_token(&authority, to);
    let result = asker.ask().await;
    assert_eq!((result.outcome, result.seen.credential), (Outcome::Opaque, CredentialState::Ended));
    let end = result.seen.credential_end.expect("it says when it ended");
    let lifetime = Some(Duration::from_secs(1000));
    assert_eq!((end.kind, end.lifetime), (CredentialKind::Token, lifetime));
    authority.write("probe.token", &jwt(9_000_000_000));
    assert_eq!(asked(&asker).await, (Outcome::Opaque, CredentialState::Refused), "this one is for long");
    authority.write("probe.token", "07401b.f395accd246ae52d");
    let result = asker.ask().await;
    assert_eq!(result.seen.credential_end, None, "this one says nothing");
}

#[tokio::test]
async fn files_that_cannot_be_looked_at_in_time_are_this_hosts_trouble_and_the_next_probe_goes_on() {
    let authority = Authority::new();
    let (to, _server) = answering(Authority::config(&authority.issue_good(), None), READY).await;
    let probe = HttpsProbe { trust: trusting(authority.ca_file(), None), ..HttpsProbe::default() };
    let https = Arc::new(Https::new(&probe));
    let asker = |limit| Asker::new(to, ProbeKind::Https(Arc::clone(&https)), limit);
    let (soon, patient) = (asker(SOON), asker(PATIENCE));
    assert_eq!(patient.ask().await.outcome, Outcome::Up);
    // As a file system that hangs holds it.
    let hangs = https.materials().take_turn().await;
    let result = timeout(PATIENCE, soon.ask()).await.expect("it waits no longer than its own time");
    assert_eq!(result.outcome, failed(FailureReason::NoLocalFiles));
    drop(hangs);
    assert_eq!(patient.ask().await.outcome, Outcome::Up);
}

#[tokio::test]
async fn a_token_is_shown_to_nobody_who_is_not_verified() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    let (to, mut server) = answering(Authority::config(&stranger.issue_good(), None), READY).await;
    ours.write("probe.token", "secret");
    let asker = with_token(&ours, to);
    for _ in 0..2 {
        let expected = (failed(FailureReason::CertificateIssuer), CredentialState::Unanswered);
        assert_eq!(asked(&asker).await, expected);
        let seen = server.recv().await.expect("the server lives");
        assert_eq!((seen.request.as_str(), seen.clean), ("", true), "it heard a goodbye and nothing else");
    }
}

/// A server that demands a client certificate of this authority, and a probe that shows this one.
async fn demanding(authority: &Authority, shown: Option<&Identity>) -> Asker {
    let config: ServerConfig = Authority::config(&authority.issue_good(), Some(authority));
    let (to, _server) = answering(config, READY).await;
    let credential = shown.map(|identity| {
        let (certificate, key) = authority.files(identity);
        Credential::ClientCertificate { certificate: named(certificate), key: named(key) }
    });
    https(to, &HttpsProbe { credential, ..HttpsProbe::default() }, PATIENCE)
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_each_refusal_has_its_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.issue("probe", 2000, 2199);
    let asker = demanding(&authority, Some(&good)).await;
    for _ in 0..2 {
        let result = asker.ask().await;
        assert_eq!((result.outcome, result.seen.credential), (Outcome::Up, CredentialState::Accepted));
        let end = result.seen.credential_end.expect("it says when it ends");
        assert_eq!((end.kind, end.lifetime), (CredentialKind::ClientCertificate, None));
    }
    let ended = authority.issue("probe", 2000, 2001);
    let asker = demanding(&authority, Some(&ended)).await;
    assert_eq!(asked(&asker).await, (Outcome::Opaque, CredentialState::Ended));
    let foreign = stranger.issue("probe", 2000, 2199);
    let asker = demanding(&authority, Some(&foreign)).await;
    assert_eq!(asked(&asker).await, (Outcome::Opaque, CredentialState::Refused));
    let asker = demanding(&authority, None).await;
    assert_eq!(asked(&asker).await, (Outcome::Opaque, CredentialState::None));
}

#[tokio::test]
async fn without_its_files_a_probe_judges_nobody() {
    let authority = Authority::new();
    let (to, _server) = answering(Authority::config(&authority.issue_good(), None), READY).await;
    let asker = with_token(&authority, to);
    let outcome = asker.ask().await.outcome;
    assert_eq!(outcome, failed(FailureReason::NoLocalFiles));
    assert!(FailureReason::NoLocalFiles.is_local());
    authority.write("probe.token", "there-by-now");
    assert_eq!(asker.ask().await.outcome, Outcome::Up);
}

#[test]
fn what_cannot_be_used_is_told_with_the_next_step_and_without_the_secret() {
    let authority = Authority::new();
    let identity = authority.issue_good();
    let (certificate, key) = authority.files(&identity);
    let other_key = authority.write("other.key", &rcgen::KeyPair::generate().expect("a key").serialize_pem());
    let garbage = authority.write("garbage", "hunter2");
    let open = authority.write("open", "hunter2");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let missing = authority.folder().join("missing");

    let nobody = Trust::default;
    let pair = |certificate: &PathBuf, key: &PathBuf| Credential::ClientCertificate {
        certificate: named(certificate.clone()),
        key: named(key.clone()),
    };
    let token = |path: &PathBuf| Some(Credential::Token(named(path.clone())));
    let table = [
        (trusting(missing.clone(), None), None, &missing, "create it or let the agent read it"),
        (trusting(garbage.clone(), None), None, &garbage, "holds no certificate in PEM"),
        (trusting(authority.folder().to_owned(), None), None, &authority.folder().to_owned(), "name a file"),
        (nobody(), Some(pair(&garbage, &key)), &garbage, "holds no certificate in PEM"),
        (nobody(), Some(pair(&certificate, &garbage)), &garbage, "holds no private key in PEM"),
        (nobody(), Some(pair(&certificate, &other_key)), &certificate, "does not belong to its key"),
        (nobody(), Some(pair(&certificate, &open)), &open, "run chmod 600"),
        (nobody(), token(&open), &open, "(mode 644); run chmod 600"),
        (nobody(), token(&missing), &missing, "cannot read the token"),
    ];
    for (trust, credential, path, expected) in table {
        let error = Materials::new(&trust, credential.as_ref()).check().expect_err("this cannot be used");
        let told = error.to_string();
        assert!(told.contains(expected), "{told:?} should say {expected:?}");
        assert!(
            told.contains(&path.display().to_string()) && error.path() == path,
            "{told:?} names the file"
        );
        assert!(!told.contains("hunter2") && !told.contains('\n'), "{told:?}");
    }
    let good = Materials::new(&trusting(authority.ca_file(), None), Some(&pair(&certificate, &key)));
    good.check().expect("these belong together");
    assert!(!format!("{good:?}").contains("PRIVATE"), "nothing of it is printed");
}
