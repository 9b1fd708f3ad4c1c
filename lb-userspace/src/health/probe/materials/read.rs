//! From files to what a handshake needs, each with the next step where it cannot be used.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use hyper::header::HeaderValue;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use super::{Files, Material};
use crate::health::outcome::{CredentialEnd, CredentialKind};
use crate::health::probe::tls::AnyCertificate;
use crate::health::probe::{certificate, token};

/// No certificate, key or token is longer: a file that is, is something else.
const MAX_FILE: u64 = 1 << 20;

/// The cryptography of all probes. Ciphers with SHA-384 come last: processors have instructions for SHA-256, and a probe
/// has nothing to hide that would want more.
pub(in crate::health::probe) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        )
    });
    Arc::new(provider)
});

/// A file of a probe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// It could not be read.
    #[error("cannot read {what} {path} ({cause}); create it or let the agent read it", path = path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is a directory, a pipe or the like, or far too long.
    #[error("{what} {path} is not a regular file of at most 1 MiB; name a file", path = path.display())]
    NotAFile {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Everybody on the host may read a secret.
    #[error("{what} {path} may be read by everybody (mode {mode:03o}); run chmod 600 {path}", path = path.display())]
    Open {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("{what} {path} {lacks}; {next}", path = path.display())]
    Content {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        lacks: &'static str,
        /// What to do.
        next: &'static str,
    },
}

impl MaterialError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Open { path, .. }
            | Self::Content { path, .. } => path,
        }
    }
}

/// Reads all files.
pub(super) fn material(files: &Files) -> Result<Material, MaterialError> {
    let authorities = files.authorities.as_deref().map(authorities).transpose()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate));
    let (config, certificate_end) = match &files.certificate {
        None => (builder.with_no_client_auth(), None),
        Some((certificate, key)) => {
            let chain = certificates("the client certificate", certificate)?;
            let end = chain.first().and_then(|first| certificate::ends(first)).map(|at| CredentialEnd {
                kind: CredentialKind::ClientCertificate,
                at,
                lifetime: None,
            });
            let config = builder.with_client_auth_cert(chain, private_key(key)?).map_err(|_| {
                MaterialError::Content {
                    what: "the client certificate",
                    path: certificate.clone(),
                    lacks: "does not belong to its key",
                    next: "name the two files that were made together",
                }
            })?;
            (config, end)
        }
    };
    let (authorization, token_end) = match &files.token {
        None => (None, None),
        Some(path) => authorization(path).map(|(header, end)| (Some(header), end))?,
    };
    Ok(Material { config, authorities, authorization, credential_end: certificate_end.or(token_end) })
}

fn authorities(path: &Path) -> Result<Arc<WebPkiServerVerifier>, MaterialError> {
    const WHAT: &str = "the CA file";
    let mut roots = RootCertStore::empty();
    let (_, refused) = roots.add_parsable_certificates(certificates(WHAT, path)?);
    let unfit = || MaterialError::Content {
        what: WHAT,
        path: path.to_owned(),
        lacks: "holds a certificate that cannot be an authority",
        next: "give the authorities' certificates only",
    };
    if refused > 0 {
        return Err(unfit());
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER))
        .build()
        .map_err(|_| unfit())
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let content = content(what, path)?;
    let found: Option<Vec<_>> = CertificateDer::pem_slice_iter(&content).map(Result::ok).collect();
    found.filter(|found| !found.is_empty()).ok_or_else(|| MaterialError::Content {
        what,
        path: path.to_owned(),
        lacks: "holds no certificate in PEM, or a broken one",
        next: "give the certificate as it stands between BEGIN CERTIFICATE and END CERTIFICATE",
    })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    const WHAT: &str = "the client key";
    let content = secret(WHAT, path)?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|_| MaterialError::Content {
        what: WHAT,
        path: path.to_owned(),
        lacks: "holds no private key in PEM",
        next: "give the key without a passphrase",
    })
}

/// The header that shows the token, and when that ends.
fn authorization(path: &Path) -> Result<(HeaderValue, Option<CredentialEnd>), MaterialError> {
    const WHAT: &str = "the token";
    let content = secret(WHAT, path)?;
    let token = content.trim_ascii();
    let graphic = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    let header = graphic.then(|| HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()).flatten();
    let mut header = header.ok_or_else(|| MaterialError::Content {
        what: WHAT,
        path: path.to_owned(),
        lacks: "is not one line of letters, digits and signs",
        next: "give the token alone, as kubectl create token prints it",
    })?;
    header.set_sensitive(true);
    Ok((header, token::end(token)))
}

/// The content of a file that others than its owner and group must not be able to read.
fn secret(what: &'static str, path: &Path) -> Result<Vec<u8>, MaterialError> {
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_file() && mode & 0o007 != 0 {
            return Err(MaterialError::Open { what, path: path.to_owned(), mode });
        }
    }
    content(what, path)
}

fn content(what: &'static str, path: &Path) -> Result<Vec<u8>, MaterialError> {
    let unreadable = |cause| MaterialError::Unreadable { what, path: path.to_owned(), cause };
    // Asked before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(MaterialError::NotAFile { what, path: path.to_owned() });
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut content)).map_err(unreadable)?;
    Ok(content)
}
