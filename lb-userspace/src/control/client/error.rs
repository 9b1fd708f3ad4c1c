//! Why there is no answer: what the caller must tell apart, and what a person must do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::TIMEOUT;
use crate::control::types::ApiError;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No agent: the socket is not there or nobody listens. The caller reads the pinned maps and exits 3.
    #[error("no agent answers on {}: start it with `xdplb run`, or name its socket with --socket", .0.display())]
    NotRunning(PathBuf),
    /// The socket belongs to others.
    #[error("not allowed to open {}: run as root or join the socket's group", .0.display())]
    PermissionDenied(PathBuf),
    /// The agent said no, and why.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The agent is there and does not answer.
    #[error(
        "the agent on {} has not answered for {} s and may still do what was asked: look at its log",
        .0.display(),
        TIMEOUT.as_secs()
    )]
    TimedOut(PathBuf),
    /// The agent has done what was asked and does not end.
    #[error("the agent on {} has not ended for {} s: look at its log", .0.display(), TIMEOUT.as_secs())]
    Lingers(PathBuf),
    /// The connection or the answer broke.
    #[error("the answer from {} broke off ({reason}): look at the agent's log and try again", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What was wrong with the answer.
        reason: String,
    },
}

impl ClientError {
    /// What a failed `connect` means.
    pub(super) fn connecting(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotRunning(path.to_owned()),
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(path.to_owned()),
            _ => Self::broken(path, error),
        }
    }

    pub(super) fn broken(path: &Path, reason: &dyn ToString) -> Self {
        Self::Broken { path: path.to_owned(), reason: reason.to_string() }
    }
}
