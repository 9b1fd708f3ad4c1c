//! Handshakes: whole ones, resumed ones, and each way in which one fails.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::servers::{Asked, Authority, answering, blurting, hold, serve};
use super::*;
use crate::health::outcome::CredentialState;

fn h2() -> TlsProbe {
    TlsProbe { alpn: vec!["h2".to_owned()], ..TlsProbe::default() }
}

#[tokio::test]
async fn a_server_that_shakes_hands_is_up_and_sees_a_whole_handshake_and_a_goodbye() {
    let authority = Authority::new();
    let mut config = Authority::config(&authority.issue_good(), None);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let (to, mut server) = answering(config, "").await;
    let asker = tls(to, &h2(), PATIENCE);
    for number in 0..4 {
        let result = asker.ask().await;
        assert_eq!(result.outcome, Outcome::Up, "probe {number}");
        assert!(result.seen.certificate_ends.is_some(), "a resumed session has a certificate too");
        assert_eq!(result.seen.credential, CredentialState::None);
        let expected = Asked { request: String::new(), resumed: number > 0, clean: true };
        assert_eq!(server.recv().await, Some(expected), "probe {number}");
    }
}

#[tokio::test]
async fn tls_1_2_is_good_enough_and_resumed_as_well() {
    let identity = Authority::new().issue_good();
    let provider = std::sync::Arc::clone(&crate::health::probe::materials::PROVIDER);
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("ring has ciphers for it")
        .with_no_client_auth()
        .with_single_cert(identity.chain, key)
        .expect("they belong together");
    let (to, mut server) = answering(config, "").await;
    let asker = tls(to, &TlsProbe::default(), PATIENCE);
    for resumed in [false, true] {
        assert_eq!(asker.ask().await.outcome, Outcome::Up);
        let seen = server.recv().await.expect("the server lives");
        assert_eq!((seen.resumed, seen.clean), (resumed, true));
    }
}

/// What becomes of a server with a certificate, by a CA file and a name; the server always sees a whole handshake.
async fn judged(authority: &Authority, (name, from, to): (&str, i32, i32), trust: Trust) -> Outcome {
    let (to, mut server) = answering(Authority::config(&authority.issue(name, from, to), None), "").await;
    let asker = tls(to, &TlsProbe { trust, alpn: Vec::new() }, PATIENCE);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        outcomes.push(asker.ask().await.outcome);
        let seen = server.recv().await.expect("the server lives");
        assert!(seen.clean, "no handshake is broken off, also not by {:?}", outcomes.last());
    }
    assert_eq!(outcomes[0], outcomes[1], "a resumed session is judged as a new one");
    outcomes[0]
}

#[tokio::test]
async fn each_fault_of_a_certificate_has_its_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (ours_file, others_file) = (ours.ca_file(), other.ca_file());
    let by = |name| trusting(ours_file.clone(), name);
    let good = ("127.0.0.1", 2000, 2199);
    assert_eq!(judged(&ours, good, by(None)).await, Outcome::Up);
    assert_eq!(judged(&ours, ("kubernetes", 2000, 2199), by(Some("kubernetes"))).await, Outcome::Up);
    for (certificate, trust, reason) in [
        (good, trusting(others_file, None), FailureReason::CertificateIssuer),
        (good, by(Some("kubernetes")), FailureReason::CertificateName),
        (("kubernetes", 2000, 2199), by(None), FailureReason::CertificateName),
        (("127.0.0.1", 2000, 2001), by(None), FailureReason::CertificateEnded),
        (("127.0.0.1", 2198, 2199), by(None), FailureReason::CertificateNotYetValid),
        (("127.0.0.1", 2000, 2001), Trust::default(), FailureReason::CertificateEnded),
    ] {
        assert_eq!(judged(&ours, certificate, trust).await, failed(reason), "{certificate:?}");
    }
    assert_eq!(
        judged(&ours, ("elsewhere", 2198, 2199), Trust::default()).await,
        Outcome::Up,
        "without a CA file only the end of a certificate counts"
    );
}

#[tokio::test]
async fn a_server_with_another_protocol_is_none_of_ours() {
    let authority = Authority::new();
    for offered in [&[][..], &[b"http/1.1".to_vec()]] {
        let mut config = Authority::config(&authority.issue_good(), None);
        config.alpn_protocols = offered.to_vec();
        let (to, _asked) = answering(config, "").await;
        let outcome = tls(to, &h2(), PATIENCE).ask().await.outcome;
        assert_eq!(outcome, failed(FailureReason::NoCommonAlpn), "the server has {offered:?}");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_named() {
    for bytes in
        [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0; 64], &[0xff; 9000]]
    {
        let to = blurting(bytes).await;
        let outcome = tls(to, &TlsProbe::default(), PATIENCE).ask().await.outcome;
        assert_eq!(outcome, failed(FailureReason::NotTls), "{:?}", String::from_utf8_lossy(&bytes[..8]));
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_told_from_one_that_is_not_there() {
    // Silent, or silent in the middle of a record of 64 bytes (RFC 8446, section 5.1).
    for bytes in [&b""[..], b"\x16\x03\x03\x00\x40\x02"] {
        let to = blurting(bytes).await;
        let outcome = tls(to, &TlsProbe::default(), SOON).ask().await.outcome;
        assert_eq!(outcome, failed(FailureReason::TlsTimeout), "after {bytes:?}");
    }
    let closing = serve(|stream| async move { drop(stream) }).await;
    let outcome = tls(closing, &TlsProbe::default(), PATIENCE).ask().await.outcome;
    // What was not read by the time it closed makes its kernel send a RST.
    let gone = [failed(FailureReason::Closed), failed(FailureReason::Reset)];
    assert!(gone.contains(&outcome), "{outcome}");
}

#[tokio::test]
async fn a_server_that_breaks_the_handshake_off_is_told_with_its_reason() {
    // It reads the ClientHello, then says internal_error (RFC 8446, section 6.2).
    let to = serve(|mut stream| async move {
        let mut header = [0; 5];
        let _gone = stream.read_exact(&mut header).await;
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        let _gone = stream.read_exact(&mut hello).await;
        let _gone = stream.write_all(b"\x15\x03\x03\x00\x02\x02\x50").await;
        hold(stream).await;
    })
    .await;
    let outcome = tls(to, &TlsProbe::default(), PATIENCE).ask().await.outcome;
    assert_eq!(outcome, failed(FailureReason::TlsAlert(80)));
}
