//! Servers that answer as they are told, and remember how they were asked.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::health::probe::materials::PROVIDER;

/// An authority, and a directory for what it makes.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("an authority can be made");
        Self { issuer, folder: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    /// A certificate for a name or an address, valid between two years.
    pub(super) fn issue(&self, name: &str, from: i32, to: i32) -> Identity {
        let mut parameters = CertificateParams::new([name.to_owned()]).expect("a name");
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate can be made");
        Identity { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    /// A certificate for the loopback, valid for as long as these tests will live.
    pub(super) fn issue_good(&self) -> Identity {
        self.issue("127.0.0.1", 2000, 2199)
    }

    /// The directory.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }

    /// The CA file.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.write("ca.crt", &self.issuer.pem())
    }

    /// The files of an identity.
    pub(super) fn files(&self, identity: &Identity) -> (PathBuf, PathBuf) {
        (self.write("probe.crt", &identity.pem), self.write("probe.key", &identity.key.serialize_pem()))
    }

    /// What a server with this identity begins with; it demands certificates of these clients' authority, if any.
    pub(super) fn config(identity: &Identity, clients_of: Option<&Self>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for them");
        let builder = match clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).expect("an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&PROVIDER)).build();
                builder.with_client_cert_verifier(verifier.expect("it has an authority"))
            }
        };
        let key = PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
        builder.with_single_cert(identity.chain.clone(), key).expect("they belong together")
    }
}

/// How a TLS server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The request, empty where none was made.
    pub(super) request: String,
    /// Whether an earlier session was resumed.
    pub(super) resumed: bool,
    /// Whether the client said goodbye.
    pub(super) clean: bool,
}

/// A server on loopback, for as long as the runtime lives.
pub(super) async fn serve<F, S>(each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback must have a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// A TLS server that gives this answer to whoever asks, and tells how it was asked.
pub(super) async fn answering(
    config: ServerConfig,
    answer: impl Into<Vec<u8>>,
) -> (SocketAddr, mpsc::UnboundedReceiver<Asked>) {
    let (sender, asked) = mpsc::unbounded_channel();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let answer: Arc<Vec<u8>> = Arc::new(answer.into());
    let address = serve(move |stream| {
        let (acceptor, answer, sender) = (acceptor.clone(), Arc::clone(&answer), sender.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            let mut asked = Asked { request: String::new(), resumed, clean: false };
            let mut buffer = [0; 4096];
            while !asked.request.contains("\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(0) => {
                        asked.clean = true;
                        break;
                    }
                    Ok(length) => asked.request.push_str(&String::from_utf8_lossy(&buffer[..length])),
                    Err(_) => break,
                }
            }
            if asked.request.is_empty() {
                let _gone = stream.shutdown().await;
            } else {
                let _gone = stream.write_all(&answer).await;
                let _gone = stream.shutdown().await;
                asked.clean = matches!(stream.read(&mut buffer).await, Ok(0));
            }
            let _nobody_listens = sender.send(asked);
        }
    })
    .await;
    (address, asked)
}

/// A server without TLS that sends these bytes to whoever connects, and then is silent.
pub(super) async fn blurting(bytes: &'static [u8]) -> SocketAddr {
    serve(move |mut stream| async move {
        let _gone = stream.write_all(bytes).await;
        hold(stream).await;
    })
    .await
}

/// Reads until the other side is gone.
pub(super) async fn hold(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}
