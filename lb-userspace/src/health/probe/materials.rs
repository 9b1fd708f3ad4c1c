//! The files of a probe: authorities, client certificate, token. Read again when they change, and never printed.
//!
//! Each probe asks `stat` whether a file is another one than before, which costs a microsecond and misses nothing. What
//! cannot be read or makes no sense leaves in force what was read last: a credential that is being replaced must not
//! turn a healthy backend into a suspect.

mod read;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;

pub use read::MaterialError;
pub(super) use read::PROVIDER;

use crate::config::probe::{Credential, Trust};

/// The files of one service's probe, shared by its backends. Two are equal when they name the same files.
#[derive(Debug)]
pub struct Materials {
    files: Files,
    held: Mutex<Held>,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Files {
    authorities: Option<PathBuf>,
    /// Certificate and key.
    certificate: Option<(PathBuf, PathBuf)>,
    token: Option<PathBuf>,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let pair = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.authorities.iter().chain(pair).chain(&self.token).map(PathBuf::as_path)
    }
}

/// What was read, and of which files.
#[derive(Debug, Default)]
struct Held {
    stamps: Vec<Option<Stamp>>,
    /// The last that was good.
    material: Option<Arc<Material>>,
    /// Whether the files as they are now are not.
    broken: bool,
}

/// What tells one content of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What a probe needs of its files, ready to use.
pub struct Material {
    /// What every handshake begins with.
    pub(super) config: ClientConfig,
    /// The authorities; without them nothing is verified.
    pub(super) authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The `authorization` header; marked as a secret.
    pub(super) authorization: Option<HeaderValue>,
    /// When the client certificate ends.
    pub(super) certificate_ends: Option<SystemTime>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material(not shown)")
    }
}

/// The files as they are now.
pub(super) struct Present {
    /// What was good last; `None` where nothing ever was.
    pub(super) material: Option<Arc<Material>>,
    /// Whether that is no more what the files hold.
    pub(super) broken: bool,
}

impl Materials {
    /// Names the files; they are read when they are needed.
    pub fn new(trust: &Trust, credential: Option<&Credential>) -> Self {
        let authorities = trust.ca_file.as_ref().map(|path| path.value.clone());
        let mut files = Files { authorities, ..Files::default() };
        match credential {
            Some(Credential::ClientCertificate { certificate, key }) => {
                files.certificate = Some((certificate.value.clone(), key.value.clone()));
            }
            Some(Credential::Token(token)) => files.token = Some(token.value.clone()),
            None => {}
        }
        Self { files, held: Mutex::default() }
    }

    /// Reads all of them once, to tell what is wrong while somebody is there to be told.
    pub fn check(&self) -> Result<(), MaterialError> {
        read::material(&self.files).map(drop)
    }

    /// Whether a credential is among them.
    pub(super) fn has_credential(&self) -> bool {
        self.files.certificate.is_some() || self.files.token.is_some()
    }

    /// What the files hold, read again where one of them has changed.
    pub(super) fn present(&self) -> Present {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<_> = self.files.all().map(Stamp::of).collect();
        if held.material.is_none() || stamps != held.stamps {
            held.take(read::material(&self.files));
            held.stamps = stamps;
        }
        Present { material: held.material.clone(), broken: held.broken }
    }
}

impl Held {
    /// Says once what has become of the files.
    fn take(&mut self, read: Result<Material, MaterialError>) {
        match read {
            Ok(material) => {
                if self.material.is_some() {
                    log::info!("the files of a probe have changed and are read again");
                }
                self.material = Some(Arc::new(material));
                self.broken = false;
            }
            Err(error) => {
                if !self.broken {
                    let meanwhile = match self.material {
                        Some(_) => "what was read before stays in use",
                        None => "backends are not judged by this probe until they can be read",
                    };
                    log::warn!("{error}; {meanwhile}");
                }
                self.broken = true;
            }
        }
    }
}

impl PartialEq for Materials {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Materials {}
