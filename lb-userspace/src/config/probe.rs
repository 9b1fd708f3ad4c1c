//! How the health of a service's backends is learnt.

use std::fmt;
use std::path::{Path, PathBuf};

use super::words::{ProbeMethod, StatusClass};
use super::{Located, Place};

/// How the health of a service's backends is learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A TCP connection is opened and reset before the process behind the port learns of it.
    Tcp,
    /// A TLS handshake, whole and properly closed.
    Tls(TlsProbe),
    /// A request over TLS.
    Https(HttpsProbe),
    /// No probe of its own: a backend is as healthy as it is for the service of this name. Such a service is
    /// never a reason for an event or an alert.
    Follow(String),
}

/// A TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsProbe {
    /// Whose certificate it has to be.
    pub trust: Trust,
    /// The protocols offered by ALPN, of which the server has to choose one; none is offered where it is empty.
    pub alpn: Vec<String>,
}

/// A request over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsProbe {
    /// Whose certificate it has to be.
    pub trust: Trust,
    /// What is asked for.
    pub path: String,
    /// How it is asked for.
    pub method: ProbeMethod,
    /// The classes of status that mean "up", in order, none twice.
    pub expected_status: Vec<StatusClass>,
    /// Who asks; anonymous when `None`.
    pub credential: Option<Credential>,
}

/// Whose certificate a server has to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// The name that is asked for (SNI) and has to be in the certificate; the backend's address when `None`.
    pub server_name: Option<String>,
    /// The authorities; when `None`, nothing of the certificate is checked but its end.
    pub ca_file: Option<Located<PathBuf>>,
}

/// What a probe shows to be let in. Always files, and never printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A client certificate and its key.
    ClientCertificate {
        /// The certificate, and those between it and the authority.
        certificate: Located<PathBuf>,
        /// Its key.
        key: Located<PathBuf>,
    },
    /// A bearer token.
    Token(Located<PathBuf>),
}

impl Probe {
    /// What the documentation and errors say may be written.
    pub const POSSIBLE: &'static str = "\"tcp\", \"tls\", \"https\" or \"follow:SERVICE\"";
    /// The path that an https probe asks for when nobody says otherwise.
    pub const DEFAULT_PATH: &'static str = "/readyz";

    /// Whether backends are asked, and not only the health of another service taken.
    pub fn asks(&self) -> bool {
        !matches!(self, Self::Follow(_))
    }

    /// Whose certificate has to be shown, where there is one.
    pub fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Tls(probe) => Some(&probe.trust),
            Self::Https(probe) => Some(&probe.trust),
            Self::Tcp | Self::Follow(_) => None,
        }
    }
}

impl Probe {
    /// Where a file of this probe was named.
    pub fn place_of(&self, file: &Path) -> Option<&Place> {
        let mut files: Vec<&Located<PathBuf>> = self.trust()?.ca_file.iter().collect();
        if let Self::Https(HttpsProbe { credential: Some(credential), .. }) = self {
            match credential {
                Credential::ClientCertificate { certificate, key } => files.extend([certificate, key]),
                Credential::Token(token) => files.push(token),
            }
        }
        files.into_iter().find(|named| named.value == file).map(|named| &named.place)
    }
}

impl Default for HttpsProbe {
    /// Right for a Kubernetes API: `/readyz`, of which a 401 is an answer too.
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            path: Probe::DEFAULT_PATH.to_owned(),
            method: ProbeMethod::Get,
            expected_status: vec![StatusClass::Success],
            credential: None,
        }
    }
}

impl fmt::Display for Probe {
    /// The word in the file.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => out.pad("tcp"),
            Self::Tls(_) => out.pad("tls"),
            Self::Https(_) => out.pad("https"),
            Self::Follow(service) => out.pad(&format!("follow:{service}")),
        }
    }
}
