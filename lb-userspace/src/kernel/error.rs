//! What can go wrong between the agent and the kernel, in sentences that say what to do.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    maps::MapError,
    programs::{ProgramError, links::LinkError},
};

/// An error of the kernel's side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not load programs.
    #[error(
        "loading the XDP program is not permitted: run xdplb as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    NotPermitted,
    /// The object could not be loaded.
    #[error(
        "the kernel refuses the XDP programs ({0}): xdplb needs Linux 6.1 or newer with BTF (/sys/kernel/btf/vmlinux)"
    )]
    Load(Box<EbpfError>),
    /// The verifier or the driver refused a program.
    #[error("the kernel refuses the XDP program `{name}` ({reason}): xdplb needs Linux 6.1 or newer")]
    Program {
        /// Which program.
        name: &'static str,
        /// The kernel's words, in one line.
        reason: String,
    },
    /// A map is missing or of another shape.
    #[error("map {name}: {reason}; run `xdplb detach` and start again if this does not go away")]
    Map {
        /// The map.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An interface refuses the program.
    #[error("XDP cannot be attached to {interface}: {reason}")]
    Attach {
        /// The interface.
        interface: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The pin directory cannot be used.
    #[error("{path}: {reason}")]
    Pins {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Another agent runs on the same pin directory.
    #[error(
        "another xdplb runs on {0}: stop it first, or give this one a --pin-dir and a --socket of its own"
    )]
    Busy(PathBuf),
    /// The pinned state was made by another version.
    #[error(
        "{path} holds flows of another version of xdplb (tables {found}, this one has {wanted}): start once with --discard-flows, or run the version that made them"
    )]
    OtherVersion {
        /// The directory.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// This program's version.
        wanted: u32,
    },
}

impl Error {
    /// An error about a map.
    pub(crate) fn map(name: &'static str, error: &MapError) -> Self {
        Self::Map { name, reason: one_line(&chain(error)) }
    }

    /// An error of a raw system call about a map.
    pub(crate) fn map_call(name: &'static str, error: &io::Error) -> Self {
        Self::Map { name, reason: error.to_string() }
    }

    /// An error while loading the object.
    pub(crate) fn load(error: EbpfError) -> Self {
        if chain(&error).contains("os error 1)") { Self::NotPermitted } else { Self::Load(Box::new(error)) }
    }

    /// An error while loading a program.
    pub(crate) fn program(name: &'static str, error: &ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EPERM) => {
                Self::NotPermitted
            }
            ProgramError::LoadError { io_error, verifier_log } => {
                log::debug!("verifier: {verifier_log}");
                Self::Program { name, reason: io_error.to_string() }
            }
            other => Self::Program { name, reason: one_line(&chain(other)) },
        }
    }

    /// An error while attaching.
    pub(crate) fn attach(interface: &str, reason: impl Into<String>) -> Self {
        Self::Attach { interface: interface.into(), reason: reason.into() }
    }

    /// An error about a link, as words.
    pub(crate) fn link_words(error: &LinkError) -> String {
        one_line(&chain(error))
    }
}

/// An error and its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> String {
        let error = io::Error::from_raw_os_error(code);
        Error::load(EbpfError::FileError { path: "/sys/kernel/btf/vmlinux".into(), error }).to_string()
    }

    #[test]
    fn an_unsupported_kernel_is_told_in_one_line_with_what_it_lacks() {
        let program = Error::Program { name: "xdplb", reason: "Invalid argument (os error 22)".into() };
        for sentence in [refused(libc::EINVAL), refused(libc::ENOENT), program.to_string()] {
            assert!(sentence.contains("xdplb needs Linux 6.1 or newer"), "the next step: {sentence}");
            assert_eq!(sentence.lines().count(), 1, "one line: {sentence}");
        }
    }

    #[test]
    fn a_missing_right_is_no_unsupported_kernel() {
        let sentence = refused(libc::EPERM);
        assert!(sentence.contains("run xdplb as root") && !sentence.contains("6.1"), "{sentence}");
    }
}
