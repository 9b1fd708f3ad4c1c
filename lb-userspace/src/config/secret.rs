//! Secrets: files, never inline, and never printed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The key that balancers of one cluster share: what keeps a client from choosing its backend.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; 16]);

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterKeyError {
    /// It could not be read.
    #[error("cannot read the cluster key {path} ({cause}); make one: openssl rand -hex 16 > {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is a directory, a pipe or the like.
    #[error("the cluster key {} is not a regular file; name a file", .0.display())]
    NotAFile(PathBuf),
    /// Everybody on the host may read it.
    #[error("the cluster key {path} may be read by everybody (mode {mode:03o}); run chmod 600 {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "the cluster key {path} is neither 16 bytes nor 32 hexadecimal digits; make one: openssl rand -hex 16 > {path}",
        path = .0.display()
    )]
    NotAKey(PathBuf),
}

impl ClusterKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a key from its file, which others than its owner and group must not be able to read.
    pub fn load(path: &Path) -> Result<Self, ClusterKeyError> {
        let unreadable = |cause| ClusterKeyError::Unreadable { path: path.to_owned(), cause };
        // Asked before it is opened: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(ClusterKeyError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(ClusterKeyError::Open { path: path.to_owned(), mode });
        }
        let mut content = Vec::new();
        // 32 digits and an end of line; one byte more is enough to see that it is too long.
        file.take(35).read_to_end(&mut content).map_err(unreadable)?;
        Self::from_content(&content).ok_or_else(|| ClusterKeyError::NotAKey(path.to_owned()))
    }

    /// The key in a file's content: 16 bytes, or 32 hexadecimal digits with or without an end of line.
    fn from_content(content: &[u8]) -> Option<Self> {
        if let Ok(bytes) = content.try_into() {
            return Some(Self(bytes));
        }
        let digits = content.strip_suffix(b"\n").unwrap_or(content);
        let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
        if digits.len() != 32 {
            return None;
        }
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self(key))
    }

    /// The bytes, for the kernel's hash and nothing else.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClusterKey(not shown)")
    }
}
