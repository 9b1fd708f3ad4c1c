//! The socket's file: who owns it, when it may be replaced, when it goes.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Root and the socket's group: whoever may open it may do everything the agent can.
const MODE: u32 = 0o660;

/// Why the control socket could not be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody answers on it.
    #[error(
        "another agent answers on {}: stop it, or give this one its own --socket and --pin-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something that is not a socket is in the way.
    #[error("{} exists and is not a socket: move it away, or choose another path with --socket", .0.display())]
    NotASocket(PathBuf),
    /// The path has no file name.
    #[error("{} cannot be a socket: give --socket the path of a file", .0.display())]
    NotAFile(PathBuf),
    /// The system said no.
    #[error("cannot {what} {} ({source}): run as root, or choose another path with --socket", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

/// The file of a socket that is ours; dropping it removes the file, unless another agent has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // A socket that stays is stale, and the next agent removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Opens the socket at `path`, with its parent directory; a stale one is replaced, a living one refused.
///
/// The socket is made under a temporary name and renamed, so that nobody ever sees it with wider rights.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    let name = path.file_name().ok_or_else(|| BindError::NotAFile(path.to_owned()))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(BindError::io("create", parent))?;
    }
    refuse_unless_stale(path).await?;

    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    // Left by an agent of the same process id that died between the two steps.
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary).map_err(BindError::io("open the control socket", path))?;
    let published = fs::set_permissions(&temporary, fs::Permissions::from_mode(MODE))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| identity(path));
    match published {
        Ok(identity) => Ok((listener, SocketFile { path: path.to_owned(), identity })),
        Err(source) => {
            let _ = fs::remove_file(&temporary);
            Err(BindError::io("open the control socket", path)(source))
        }
    }
}

/// Fine when nothing is at `path`, or a socket on which nobody answers.
async fn refuse_unless_stale(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::io("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(BindError::io("ask who answers on", path)(error))
        }
        // Also a full backlog: an agent that is slow is still an agent.
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}
