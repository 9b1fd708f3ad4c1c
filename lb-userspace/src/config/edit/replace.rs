//! A file replaced at once: a reader sees the old text or the new one, also after a power cut.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) enum ReplaceError {
    /// It does not hold what was expected.
    Stale,
    /// The system refused.
    Io(io::Error),
}

impl From<io::Error> for ReplaceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Puts `text` where `expected` is; follows symbolic links, keeps mode and owner.
pub(super) fn replace(path: &Path, expected: &[u8], text: &[u8]) -> Result<(), ReplaceError> {
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReplaceError::Stale),
        target => target?,
    };
    refuse_stale(&target, expected)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.xdplb-{}", std::process::id()));
    let result = write(&temporary, &fs::metadata(&target)?, text)
        .map_err(ReplaceError::from)
        // Asked again at the last moment: an editor may have saved meanwhile.
        .and_then(|()| refuse_stale(&target, expected))
        .and_then(|()| Ok(fs::rename(&temporary, &target)?));
    if result.is_err() {
        // The first error is the one to tell; what remains is a hidden file that the next edit removes.
        drop(fs::remove_file(&temporary));
        return result;
    }
    // The new text is in place. A file system that cannot sync a directory does not undo that.
    if let Some(directory) = target.parent() {
        drop(File::open(directory).and_then(|directory| directory.sync_all()));
    }
    Ok(())
}

/// Refuses a file that does not hold what was loaded.
fn refuse_stale(target: &Path, expected: &[u8]) -> Result<(), ReplaceError> {
    match fs::read(target) {
        Ok(content) if content == expected => Ok(()),
        Ok(_) => Err(ReplaceError::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReplaceError::Stale),
        Err(error) => Err(error.into()),
    }
}

/// Writes the temporary file with the mode and owner of the old one, and waits until it is on the disk.
fn write(temporary: &Path, old: &Metadata, text: &[u8]) -> io::Result<()> {
    // One of a process that was killed and had our id.
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text)?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())?;
    file.sync_all()
}
