//! What can go wrong between the agent and the kernel, in sentences that say what to do.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    maps::MapError,
    programs::{ProgramError, links::LinkError},
};

use super::release;

/// An error of the kernel's side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not load programs.
    #[error(
        "loading the XDP program is not permitted: run xdplb as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    NotPermitted,
    /// The kernel does not have what the programs use.
    #[error(
        "Linux {release} refuses the XDP programs ({reason}): xdplb needs Linux 6.1 or newer with BTF (/sys/kernel/btf/vmlinux)"
    )]
    OldKernel {
        /// The running kernel.
        release: String,
        /// Its words, in one line.
        reason: String,
    },
    /// The object could not be loaded, though the kernel is new enough.
    #[error(
        "the maps of the XDP programs cannot be made ({0}): is there BTF (/sys/kernel/btf/vmlinux), and memory for the tables ([limits])?"
    )]
    Load(String),
    /// The verifier refused a program, though the kernel is new enough.
    #[error(
        "the verifier of Linux {release} refuses the XDP program `{name}` ({complaint}): please report this line; until then, run xdplb on another kernel from 6.1 on"
    )]
    Verifier {
        /// Which program.
        name: &'static str,
        /// The running kernel.
        release: String,
        /// What it does not like, in one line.
        complaint: String,
    },
    /// A program cannot be used.
    #[error("the XDP program `{name}` cannot be used ({reason}): please report this line")]
    Program {
        /// Which program.
        name: &'static str,
        /// Why, in one line.
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
    pub(crate) fn load(error: &EbpfError) -> Self {
        Self::load_on(release::running(), error)
    }

    fn load_on(release: String, error: &EbpfError) -> Self {
        let reason = one_line(&chain(error));
        if reason.contains("os error 1)") {
            Self::NotPermitted
        } else if release::is_too_old(&release) {
            Self::OldKernel { release, reason }
        } else {
            Self::Load(reason)
        }
    }

    /// An error about a program.
    pub(crate) fn program(name: &'static str, error: &ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                log::debug!("verifier: {verifier_log}");
                Self::refused_by(release::running(), name, io_error, &verifier_log.to_string())
            }
            other => Self::Program { name, reason: one_line(&chain(other)) },
        }
    }

    /// A program that a kernel of this release has refused, with the log of its verifier.
    fn refused_by(release: String, name: &'static str, error: &io::Error, log: &str) -> Self {
        if error.raw_os_error() == Some(libc::EPERM) {
            return Self::NotPermitted;
        }
        if release::is_too_old(&release) {
            return Self::OldKernel { release, reason: error.to_string() };
        }
        let complaint = release::complaint(log).map_or_else(|| error.to_string(), one_line);
        Self::Verifier { name, release, complaint }
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

    const OLD: &str = "5.15.0-91-generic";
    const NEW: &str = "6.18.44";

    fn no_types(release: &str, code: i32) -> String {
        let error = io::Error::from_raw_os_error(code);
        let error = EbpfError::FileError { path: "/sys/kernel/btf/vmlinux".into(), error };
        Error::load_on(release.into(), &error).to_string()
    }

    fn refused(release: &str, code: i32, log: &str) -> String {
        Error::refused_by(release.into(), "xdplb", &io::Error::from_raw_os_error(code), log).to_string()
    }

    #[test]
    fn an_unsupported_kernel_is_told_in_one_line_with_what_it_lacks() {
        for sentence in
            [no_types(OLD, libc::ENOENT), refused(OLD, libc::EINVAL, "unknown func\nprocessed 3 insns")]
        {
            assert!(sentence.starts_with("Linux 5.15.0-91-generic refuses"), "which kernel: {sentence}");
            assert!(sentence.contains("xdplb needs Linux 6.1 or newer"), "the next step: {sentence}");
            assert_eq!(sentence.lines().count(), 1, "one line: {sentence}");
        }
    }

    #[test]
    fn a_verifier_that_does_not_follow_is_no_unsupported_kernel() {
        let log = "12: (71) r3 = *(u8 *)(r2 +13)\nR2 offset is\toutside of the packet\nprocessed 12 insns (limit 1000000)\n";
        let sentence = refused(NEW, libc::EACCES, log);
        assert!(
            sentence.starts_with("the verifier of Linux 6.18.44 refuses the XDP program `xdplb`"),
            "{sentence}"
        );
        assert!(sentence.contains("(R2 offset is outside of the packet)"), "what it says: {sentence}");
        assert!(
            sentence.contains("please report") && !sentence.contains("newer"),
            "the next step: {sentence}"
        );
        assert_eq!(sentence.lines().count(), 1, "one line: {sentence}");
        let sentence = refused(NEW, libc::ENOMEM, "");
        assert!(sentence.contains("(Cannot allocate memory (os error 12))"), "without a log: {sentence}");
        let sentence = no_types(NEW, libc::ENOENT);
        assert!(sentence.contains("is there BTF") && !sentence.contains("newer"), "{sentence}");
    }

    #[test]
    fn a_missing_right_is_no_unsupported_kernel() {
        for sentence in
            [no_types(OLD, libc::EPERM), no_types(NEW, libc::EPERM), refused(OLD, libc::EPERM, "")]
        {
            assert!(sentence.contains("run xdplb as root") && !sentence.contains("6.1"), "{sentence}");
        }
    }
}
