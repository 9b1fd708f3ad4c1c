//! A request over TLS, and what its status says.
//!
//! HTTP/1.1 with one request and `connection: close`: more would save nothing, because every probe makes a new
//! connection. The head of the answer is read up to 8 kB, of the body no more than a clean close needs.
//!
//! | status | the backend is |
//! | --- | --- |
//! | one of the expected classes, 2xx as a rule | up |
//! | 401, 403 | opaque: it answers, but may not tell |
//! | 429 | opaque: too many questions are no reason to give up its connections |
//! | 5xx | not ready |
//! | 3xx | failed: a redirect is never followed |
//! | any other | failed: whatever this is, it is not what was meant |
//!
//! **A refused credential is no answer.** 401 and 403 mean "in use" whether or not there is a credential; that it was
//! refused is told beside the health ([`CredentialState`]). A token is shown to nobody whose certificate is wrong.

use std::future::poll_fn;
use std::pin::pin;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant as Deadline, timeout_at};

use super::closing::{Closing, Https as Open, Stream};
use super::materials::{Material, Materials};
use super::tls::{Handshake, Secured, Trouble};
use super::{Answer, Asker};
use crate::config::probe::HttpsProbe;
use crate::config::words::{ProbeMethod, StatusClass};
use crate::health::failure::FailureReason;
use crate::health::outcome::{CredentialState, Outcome, Seen};

/// The longest head of an answer: what hyper needs at least, and far more than an API server sends.
const MAX_HEAD: usize = 8 * 1024;

/// An https probe.
#[derive(Debug, PartialEq, Eq)]
pub struct Https {
    handshake: Handshake,
    method: Method,
    path: String,
    expected: Vec<StatusClass>,
}

impl Https {
    /// A probe as it is configured.
    pub fn new(probe: &HttpsProbe) -> Self {
        let materials = Materials::new(&probe.trust, probe.credential.as_ref());
        Self {
            handshake: Handshake::new(&probe.trust, vec![b"http/1.1".to_vec()], materials),
            method: match probe.method {
                ProbeMethod::Get => Method::GET,
                ProbeMethod::Head => Method::HEAD,
            },
            path: probe.path.clone(),
            expected: probe.expected_status.clone(),
        }
    }

    /// Its files.
    pub fn materials(&self) -> &Materials {
        &self.handshake.materials
    }

    pub(super) async fn ask(&self, asker: &Asker, deadline: Deadline) -> Answer {
        let mut seen = Seen::default();
        let Secured { stream, material, wrong } = match self.handshake.shake(asker, deadline, &mut seen).await
        {
            Ok(secured) => secured,
            Err(trouble) => return self.failed(trouble, seen),
        };
        if let Some(wrong) = wrong {
            return Answer { outcome: Outcome::Failed(wrong), seen, closing: Some(Closing::tls(stream)) };
        }
        let request = self.request(asker, &material);
        let exchange = exchange(TokioIo::new(stream), request);
        let answered = timeout_at(deadline, exchange).await;
        let (status, open) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(trouble)) => return self.failed(trouble, seen),
            Err(_) => return Answer { seen, ..Answer::failed(FailureReason::AnswerTimeout) },
        };
        seen.status = Some(status);
        if self.handshake.materials.has_credential() {
            seen.credential = seen.credential.max(credential(status));
        }
        Answer { outcome: judge(status, &self.expected), seen, closing: Some(Closing::Https(Box::new(open))) }
    }

    /// A server that refuses the client certificate in TLS has refused a credential, if there is one.
    fn failed(&self, trouble: Trouble, mut seen: Seen) -> Answer {
        if trouble == Trouble::ClientCertificate && self.handshake.materials.has_credential() {
            seen.credential = seen.credential.max(CredentialState::Refused);
        }
        Answer { seen, ..trouble.outcome().into() }
    }

    fn request(&self, asker: &Asker, material: &Material) -> Request<Empty<Bytes>> {
        let agent = concat!("xdplb/", env!("CARGO_PKG_VERSION"), " (probe)");
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        // The configuration has made sure that it is a path.
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(self.handshake.host(asker.to)) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(authorization) = &material.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// Sends the request and reads the head of the answer.
async fn exchange(stream: Stream, request: Request<Empty<Bytes>>) -> Result<(u16, Open), Trouble> {
    let (mut sender, mut connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(stream)
        .await
        .map_err(|error| trouble(&error))?;
    let mut over = false;
    let response = {
        let mut response = pin!(sender.send_request(request));
        poll_fn(|context| {
            // The connection answers the request when it ends, so it is looked at first.
            over = over || connection.poll_without_shutdown(context).is_ready();
            response.as_mut().poll(context)
        })
        .await
    };
    let response: Response<Incoming> = response.map_err(|error| trouble(&error))?;
    let status = response.status().as_u16();
    Ok((status, Open { connection, body: response.into_body(), over }))
}

/// Names what hyper says.
fn trouble(error: &hyper::Error) -> Trouble {
    if error.is_parse_too_large() {
        FailureReason::HeadersTooLarge.into()
    } else if error.is_parse() {
        FailureReason::NotHttp.into()
    } else if error.is_incomplete_message() {
        FailureReason::Closed.into()
    } else {
        Trouble::of(error)
    }
}

/// What a status says of the backend.
fn judge(status: u16, expected: &[StatusClass]) -> Outcome {
    match status {
        _ if expected.iter().any(|class| class.has(status)) => Outcome::Up,
        401 | 403 | 429 => Outcome::Opaque,
        300..=399 => Outcome::Failed(FailureReason::Redirect(status)),
        500..=599 => Outcome::NotReady,
        _ => Outcome::Failed(FailureReason::Status(status)),
    }
}

/// What a status says of the credential that was shown.
fn credential(status: u16) -> CredentialState {
    match status {
        401 | 403 => CredentialState::Refused,
        429 => CredentialState::Unanswered,
        _ => CredentialState::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        use Outcome::{Failed, NotReady, Opaque, Up};
        let usual: &[StatusClass] = &[StatusClass::Success];
        let table = [
            (200, usual, Up),
            (204, usual, Up),
            (401, usual, Opaque),
            (403, usual, Opaque),
            (429, usual, Opaque),
            (500, usual, NotReady),
            (503, usual, NotReady),
            (302, usual, Failed(FailureReason::Redirect(302))),
            (404, usual, Failed(FailureReason::Status(404))),
            (999, usual, Failed(FailureReason::Status(999))),
            (404, &[StatusClass::ClientError], Up),
            (200, &[StatusClass::ClientError], Failed(FailureReason::Status(200))),
            (401, &StatusClass::ALL, Up),
            (503, &StatusClass::ALL, Up),
            (301, &StatusClass::ALL, Up),
        ];
        for (status, expected, outcome) in table {
            assert_eq!(judge(status, expected), outcome, "{status}, when {expected:?} is expected");
        }
    }
}
