//! The configuration file: loaded once, then edited in place, comments and order kept.
//!
//! An edit is made to the text as it was loaded, checked as a whole configuration, and only then written. A
//! refused edit leaves the file byte for byte as it was; a file that somebody else changed is never overwritten.

mod document;
mod replace;

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::place::Place;
use super::{BackendChange, Config, Overrides};
use replace::ReplaceError;

#[cfg(test)]
pub(crate) use document::changed as changed_text;

/// The file that a configuration came from, with the text it was loaded from.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

/// What an edit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file was written; this is what it says now, the flags over it.
    Changed(Box<Config>),
    /// The file says so already and was not touched.
    Unchanged,
}

/// An edit that was refused; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The configuration would not be right any more.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file's backends are not those in use.
    #[error("the backends come from --backend and not from {}; repeat with --runtime", .0.display())]
    FromFlags(PathBuf),
    /// The file was changed by somebody else.
    #[error("{} has changed since it was loaded; run `xdplb reload`, then repeat", .0.display())]
    Stale(PathBuf),
    /// The file is written in a way that cannot be edited without changing more than was asked.
    #[error("{} cannot be edited in place; edit it by hand, then run `xdplb reload`", .0.display())]
    NotInPlace(PathBuf),
    /// The file could not be written.
    #[error("cannot write {path} ({cause}); let the agent write it and its directory, or repeat with --runtime",
        path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
}

impl ConfigFile {
    /// Reads the file; [`ConfigFile::config`] tells whether it is right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let whole = || Place::File(path.into());
        let bytes = std::fs::read(path).map_err(|cause| Problem::Unreadable(cause).at(&whole()))?;
        let text =
            String::from_utf8(bytes).map_err(|_| Problem::Syntax("not UTF-8".to_owned()).at(&whole()))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text that was loaded, or written by the last edit.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the file says, the flags over it.
    pub fn config(&self, overrides: &Overrides) -> Result<Config, ConfigError> {
        Config::parse(&self.path, &self.text, overrides)
    }

    /// Makes a change in the file. An error leaves the file as it was.
    pub fn edit(&mut self, change: &BackendChange, overrides: &Overrides) -> Result<Outcome, EditError> {
        if !overrides.backends.is_empty() {
            return Err(EditError::FromFlags(self.path.clone()));
        }
        let now = self.config(overrides)?;
        let Some(next) = now.changed(change)? else { return Ok(Outcome::Unchanged) };
        let text = document::changed(&self.text, &now, change);
        let text = text.ok_or_else(|| EditError::NotInPlace(self.path.clone()))?;
        let written = Config::parse(&self.path, &text, overrides)?;
        if written != next {
            return Err(EditError::NotInPlace(self.path.clone()));
        }
        replace::replace(&self.path, self.text.as_bytes(), text.as_bytes()).map_err(|error| match error {
            ReplaceError::Stale => EditError::Stale(self.path.clone()),
            ReplaceError::Io(cause) => EditError::Unwritable { path: self.path.clone(), cause },
        })?;
        self.text = text;
        Ok(Outcome::Changed(Box::new(written)))
    }
}
