//! A TLS handshake, whole and properly closed.
//!
//! ```text
//!   probe                                   server
//!     │ SYN, ACK ─────────────────────────────►│
//!     │ ClientHello (ALPN, SNI, ticket) ──────►│
//!     │◄──────────────── ServerHello, Finished │
//!     │ Finished ─────────────────────────────►│   an accepted connection, which the server logs nothing of
//!     │ close_notify ─────────────────────────►│
//!     │◄─────────── tickets, close_notify, FIN │
//!     │ RST ──────────────────────────────────►│   both sides are done; nobody keeps TIME-WAIT
//! ```
//!
//! **The handshake is finished whatever the certificate.** A client that breaks off in the middle, also because it does
//! not believe the certificate, makes the API server log a failed handshake, every two seconds. So the certificate is
//! looked at when the handshake is over and before anything is said. The server's signature is verified in the
//! handshake itself.
//!
//! **The end of the certificate counts always**, also where there is no CA file: kubelets do verify, so a server whose
//! certificate has ended serves none of them.
//!
//! **Sessions are resumed**, which spares both sides the expensive part of the handshake. A server that
//! does not resume is asked in full.

mod session;
mod trouble;
mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::HandshakeKind;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) use session::Session;
pub(super) use trouble::Trouble;
pub(super) use verify::AnyCertificate;

use super::closing::Closing;
use super::materials::{Material, Materials};
use super::{Answer, Asker, certificate, socket};
use crate::config::probe::{TlsProbe, Trust};
use crate::health::failure::FailureReason;
use crate::health::outcome::{CredentialState, Outcome, Seen};

/// A TLS probe.
#[derive(Debug, PartialEq, Eq)]
pub struct Tls {
    handshake: Handshake,
}

/// What a probe wants of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// What is asked for and has to be in the certificate; the backend's address when `None`.
    server_name: Option<ServerName<'static>>,
    /// What is offered.
    alpn: Vec<Vec<u8>>,
    /// Its files.
    pub(super) materials: Arc<Materials>,
}

/// A handshake that is over.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) material: Arc<Material>,
    /// What is wrong with it all the same: the certificate, or the protocol that was agreed on.
    pub(super) wrong: Option<FailureReason>,
}

impl Tls {
    /// A probe as it is configured.
    pub fn new(probe: &TlsProbe) -> Self {
        let materials = Materials::new(&probe.trust, None);
        let alpn = probe.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        Self { handshake: Handshake::new(&probe.trust, alpn, materials) }
    }

    /// Its files.
    pub fn materials(&self) -> &Materials {
        &self.handshake.materials
    }

    pub(super) async fn ask(&self, asker: &Asker, deadline: Deadline) -> Answer {
        let mut seen = Seen::default();
        let secured = match self.handshake.shake(asker, deadline, &mut seen).await {
            Ok(secured) => secured,
            Err(trouble) => return Answer { seen, ..trouble.outcome().into() },
        };
        // A server that was offered protocols and took none speaks another one.
        let agreed = self.handshake.alpn.is_empty() || secured.stream.get_ref().1.alpn_protocol().is_some();
        let wrong = secured.wrong.or((!agreed).then_some(FailureReason::NoCommonAlpn));
        Answer {
            outcome: wrong.map_or(Outcome::Up, Outcome::Failed),
            seen,
            closing: Some(Closing::tls(secured.stream)),
        }
    }
}

impl Handshake {
    pub(super) fn new(trust: &Trust, alpn: Vec<Vec<u8>>, materials: Materials) -> Self {
        // The configuration has made sure that it is one.
        let name = trust.server_name.as_deref().and_then(|name| ServerName::try_from(name.to_owned()).ok());
        Self { server_name: name, alpn, materials: Arc::new(materials) }
    }

    /// The name for the certificate and for `host`.
    pub(super) fn host(&self, to: SocketAddr) -> String {
        self.server_name.as_ref().map_or_else(|| to.to_string(), |name| name.to_str().into_owned())
    }

    /// Connects and shakes hands.
    pub(super) async fn shake(
        &self,
        asker: &Asker,
        deadline: Deadline,
        seen: &mut Seen,
    ) -> Result<Secured, Trouble> {
        // A file system that does not answer is this host's own trouble.
        let present = timeout_at(deadline, self.materials.present());
        let present = present.await.map_err(|_| FailureReason::NoLocalFiles)?;
        if self.materials.has_credential() {
            seen.credential = CredentialState::Unanswered;
        }
        if present.broken {
            seen.credential = CredentialState::Unreadable;
        }
        let material = present.material.ok_or(FailureReason::NoLocalFiles)?;
        seen.credential_end = material.credential_end;
        if material.credential_end.is_some_and(|end| end.at < SystemTime::now()) {
            seen.credential = seen.credential.max(CredentialState::Ended);
        }
        let socket = socket::prepare(asker).map_err(|error| FailureReason::from_immediate_error(&error))?;
        let connected = timeout_at(deadline, socket::connect(socket, asker.to));
        let stream = connected.await.map_err(|_| FailureReason::Timeout)??;
        // The last flight of the handshake must not wait for an ACK.
        let _best_effort = stream.set_nodelay(true);

        let name = self.server_name.clone().unwrap_or_else(|| ServerName::from(asker.to.ip()));
        let config = asker.with_session(|session| session.config(&material, &self.alpn));
        let shaking = TlsConnector::from(config).connect(name.clone(), stream);
        let stream = timeout_at(deadline, shaking)
            .await
            .map_err(|_| FailureReason::TlsTimeout)?
            .map_err(|error| Trouble::of(&error))?;
        let wrong = asker.with_session(|session| judge(session, &stream, &material, &name));
        seen.certificate_ends = asker.with_session(|session| session.certificate_ends);
        Ok(Secured { stream, material, wrong })
    }
}

/// What is wrong with the server's certificate. A resumed session has the one that was verified when it began.
fn judge(
    session: &mut Session,
    stream: &TlsStream<TcpStream>,
    material: &Material,
    name: &ServerName<'_>,
) -> Option<FailureReason> {
    let (_, connection) = stream.get_ref();
    let now = SystemTime::now();
    let chain = connection.peer_certificates().unwrap_or_default();
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    if !resumed {
        session.certificate_ends = chain.first().and_then(|first| certificate::ends(first));
    }
    if session.certificate_ends.is_some_and(|ends| ends < now) {
        return Some(FailureReason::CertificateEnded);
    }
    let authorities = material.authorities.as_ref().filter(|_| !resumed)?;
    verify::verify(authorities, chain, name, UnixTime::now()).err()
}
