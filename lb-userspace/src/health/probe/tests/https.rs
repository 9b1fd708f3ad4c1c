//! Answers: each status, and everything that is not an answer.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::servers::{Authority, answering, hold, serve};
use super::*;
use crate::config::words::{ProbeMethod, StatusClass};

/// What comes of these bytes in the place of an answer.
async fn answered(bytes: impl Into<Vec<u8>>) -> Outcome {
    let identity = Authority::new().issue_good();
    let (to, _asked) = answering(Authority::config(&identity, None), bytes).await;
    anonymous(to, PATIENCE).await
}

#[tokio::test]
async fn a_status_decides() {
    for (status, expected) in [
        ("200 OK", Outcome::Up),
        ("204 No Content", Outcome::Up),
        ("401 Unauthorized", Outcome::Opaque),
        ("403 Forbidden", Outcome::Opaque),
        ("500 Internal Server Error", Outcome::NotReady),
        ("503 Service Unavailable", Outcome::NotReady),
        ("302 Found\r\nlocation: https://elsewhere.invalid/", failed(FailureReason::Redirect(302))),
        ("404 Not Found", failed(FailureReason::Status(404))),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(answered(answer).await, expected, "{status}");
    }
    assert_eq!(answered("HTTP/1.1 200 OK\r\n\r\nuntil the end").await, Outcome::Up);
    assert_eq!(answered("HTTP/1.0 200 OK\r\ncontent-length: 900\r\n\r\nnot all of it").await, Outcome::Up);
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let large = |header: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(header));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500));
    for (what, answer, reason) in [
        ("garbage", "\0\x01\x02garbage\r\n\r\n".to_owned(), FailureReason::NotHttp),
        ("another protocol", "220 mail.example ESMTP\r\n".to_owned(), FailureReason::NotHttp),
        ("HTTP/2 unasked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), FailureReason::NotHttp),
        ("a header of 64 kB", large(64 * 1024), FailureReason::HeadersTooLarge),
        ("500 headers", many, FailureReason::HeadersTooLarge),
        ("half a head", "HTTP/1.1 200 OK\r\nx: ".to_owned(), FailureReason::Closed),
        ("nothing", String::new(), FailureReason::Closed),
    ] {
        assert_eq!(answered(answer).await, failed(reason), "{what}");
    }
    assert_eq!(answered(large(4 * 1024)).await, Outcome::Up, "a large head is none that is too large");
}

#[tokio::test]
async fn what_is_asked_is_what_was_configured_and_the_connection_is_closed_by_both() {
    let identity = Authority::new().issue_good();
    let (to, mut server) =
        answering(Authority::config(&identity, None), "HTTP/1.1 404 -\r\ncontent-length: 0\r\n\r\n").await;
    let probe = HttpsProbe {
        path: "/livez?verbose".to_owned(),
        method: ProbeMethod::Head,
        expected_status: vec![StatusClass::ClientError],
        ..HttpsProbe::default()
    };
    let asker = https(to, &probe, PATIENCE);
    for resumed in [false, true, true] {
        let result = asker.ask().await;
        assert_eq!((result.outcome, result.seen.status), (Outcome::Up, Some(404)));
        let seen = server.recv().await.expect("the server lives");
        assert!(seen.request.starts_with("HEAD /livez?verbose HTTP/1.1\r\n"), "{}", seen.request);
        assert!(seen.request.contains(&format!("\r\nhost: {to}\r\n")), "{}", seen.request);
        assert!(seen.request.contains("\r\nconnection: close\r\n"), "{}", seen.request);
        assert!(!seen.request.contains("authorization"), "{}", seen.request);
        assert_eq!((seen.resumed, seen.clean), (resumed, true));
    }
}

/// A TLS server that reads the request and then does as it is told.
async fn server<F>(
    then: impl Fn(tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> F + Copy + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let config = Authority::config(&Authority::new().issue_good(), None);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _request = stream.read(&mut [0; 4096]).await;
            then(stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_hangs_is_told_by_what_it_owes() {
    let silent = server(hold).await;
    assert_eq!(anonymous(silent, SOON).await, failed(FailureReason::AnswerTimeout));
    let dripping = server(|mut stream| async move {
        for byte in b"HTTP/1.1 200 OK\r\n".iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let outcome = anonymous(dripping, SOON).await;
    let either = [failed(FailureReason::AnswerTimeout), failed(FailureReason::HeadersTooLarge)];
    assert!(either.contains(&outcome), "{outcome}");
}

#[tokio::test]
async fn a_body_without_end_is_not_waited_for() {
    let endless = server(|mut stream| async move {
        let mut answer = b"HTTP/1.1 503 -\r\n\r\n".to_vec();
        while stream.write_all(&answer).await.is_ok() {
            answer = vec![0; 64 * 1024];
        }
    })
    .await;
    assert_eq!(anonymous(endless, PATIENCE).await, Outcome::NotReady);
    let stuck = server(|mut stream| async move {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await;
        hold(stream).await;
    })
    .await;
    assert_eq!(anonymous(stuck, PATIENCE).await, Outcome::Up, "the head has said it all");
}
