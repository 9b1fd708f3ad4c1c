//! Where in a file or on a command line a value was written, so that an error can point at it.

use std::fmt;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A character of the configuration file; line and column count from one.
    Character {
        /// The file, as the user named it.
        path: Arc<Path>,
        /// The line, from one.
        line: usize,
        /// The column in characters, from one.
        column: usize,
    },
    /// The configuration file as a whole: something is missing from it.
    File(Arc<Path>),
    /// A flag of the command line, such as `--vip`.
    Flag(&'static str),
    /// Nowhere: a default, or something that no flag gave.
    Nowhere,
}

impl Place {
    /// Whether the value came from a file and not from the command line.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::Character { .. } | Self::File(_))
    }
}

impl fmt::Display for Place {
    /// The place with the colon that leads over to the message, or nothing.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character { path, line, column } => write!(out, "{}:{line}:{column}: ", path.display()),
            Self::File(path) => write!(out, "{}: ", path.display()),
            Self::Flag(flag) => write!(out, "{flag}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// A value and where it was written. Two are equal when their values are: a line moved is not a change.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> Located<T> {
    /// A value that was written at `place`.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The text of a configuration and what it is called in errors.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// The text `text`, read from `path`.
    pub fn new(path: &Path, text: &'a str) -> Self {
        Self { path: path.into(), text }
    }

    /// The text itself.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The file as a whole.
    pub fn whole(&self) -> Place {
        Place::File(Arc::clone(&self.path))
    }

    /// Where the bytes `span` begin.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place::Character { path: Arc::clone(&self.path), line, column }
    }
}
