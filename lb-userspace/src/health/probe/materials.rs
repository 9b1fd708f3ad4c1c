//! The files of a probe: authorities, client certificate, token. Read again when they change, and never printed.
//!
//! Each probe asks `stat` whether a file is another one than before, which misses nothing. A file system may take its time
//! for that, or for ever, where it is on a network; so a thread for such things asks, one at a time for each set of files,
//! and a probe waits for it until its own time is over. What
//! cannot be read or makes no sense leaves in force what was read last: a credential that is being replaced must not
//! turn a healthy backend into a suspect.

mod read;

use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::task::spawn_blocking;

pub use read::MaterialError;
pub(super) use read::PROVIDER;

use crate::config::probe::{Credential, Trust};
use crate::health::outcome::CredentialEnd;

/// The files of one service's probe, shared by its backends. Two are equal when they name the same files.
#[derive(Debug)]
pub struct Materials {
    files: Files,
    held: Mutex<Held>,
    /// Who looks at the files. It goes along to the thread that does: one that hangs holds up no other.
    turn: Arc<Turn<()>>,
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

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.all().map(Stamp::of).collect()
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
    /// When the credential ends.
    pub(super) credential_end: Option<CredentialEnd>,
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
        Self { files, held: Mutex::default(), turn: Arc::default() }
    }

    /// Reads all of them, to tell what is wrong while somebody is there to be told. What is good need not be read again by the
    /// first probe.
    pub fn check(&self) -> Result<(), MaterialError> {
        let stamps = self.files.stamps();
        let material = read::material(&self.files)?;
        let mut held = self.held();
        if held.material.is_none() {
            *held = Held { stamps, material: Some(Arc::new(material)), broken: false };
        }
        Ok(())
    }

    /// Whether a credential is among them.
    pub(super) fn has_credential(&self) -> bool {
        self.files.certificate.is_some() || self.files.token.is_some()
    }

    /// What the files hold, read again where one of them has changed.
    pub(super) async fn present(self: &Arc<Self>) -> Present {
        if self.files.all().next().is_none() {
            return self.look();
        }
        let turn = self.take_turn().await;
        let materials = Arc::clone(self);
        let looked = spawn_blocking(move || {
            let _held_until_it_is_over = turn;
            materials.look()
        });
        looked.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Waits until nobody else looks at the files.
    pub(super) async fn take_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Looks at the files, and reads them where they are others than before.
    fn look(&self) -> Present {
        let stamps = self.files.stamps();
        let is_known = {
            let held = self.held();
            held.material.is_some() && stamps == held.stamps
        };
        let read = (!is_known).then(|| read::material(&self.files));
        let mut held = self.held();
        if let Some(read) = read {
            held.take(read);
            held.stamps = stamps;
        }
        Present { material: held.material.clone(), broken: held.broken }
    }

    /// What is held. Locked for moments only, and never while a file is read.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
