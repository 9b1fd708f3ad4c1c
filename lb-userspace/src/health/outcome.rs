//! What a probe can find out, in words that a person can act on.

use std::fmt;
use std::io;
use std::time::Instant;

/// What one probe of one backend found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeResult {
    /// What the backend answered.
    pub outcome: Outcome,
    /// When the probe began. A verdict about others may only rest on probes begun after it.
    pub begun: Instant,
    /// When the answer (or its absence) was known.
    pub at: Instant,
}

/// The answer of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It serves.
    Up,
    /// It answers, but will not tell whether it is ready (401 or 403 to an anonymous `/readyz`).
    Opaque,
    /// It answers and asks for no new connections (a 5xx).
    NotReady,
    /// It did not answer as it should.
    Failed(FailureReason),
}

/// Why a probe failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// RST to the SYN: the host lives, the process does not.
    Refused,
    /// No answer in time.
    Timeout,
    /// The host does not answer ARP or NDP, or a router said so.
    HostUnreachable,
    /// There is no route.
    NetworkUnreachable,
    /// The connection was made and then reset.
    Reset,
    /// TLS could not be agreed on.
    Tls,
    /// The answer was not what the probe's protocol allows.
    Protocol,
    /// This host has no local port or not the source address to probe from.
    NoLocalAddress,
    /// This host is out of file descriptors or memory.
    NoLocalResources,
    /// This host's own firewall or policy refused the probe.
    NotPermitted,
    /// This host was too busy (or asleep) to judge: the time-out was noticed long after it was due.
    Late,
    /// Anything else; the number is the operating system's.
    Other(i32),
}

impl FailureReason {
    /// Names what `connect` said.
    pub fn from_connect_error(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::Timeout,
            Some(libc::EHOSTUNREACH | libc::EHOSTDOWN) => Self::HostUnreachable,
            Some(libc::ENETUNREACH | libc::ENETDOWN) => Self::NetworkUnreachable,
            Some(libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE) => Self::Reset,
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Self::NoLocalAddress,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::NoLocalResources,
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            Some(number) => Self::Other(number),
            None => Self::Other(0),
        }
    }

    /// Whether the fault is this host's. No backend is judged by what the balancer itself lacks.
    pub fn is_local(self) -> bool {
        matches!(self, Self::NoLocalAddress | Self::NoLocalResources | Self::NotPermitted | Self::Late)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Refused => "connection refused",
            Self::Timeout => "no answer in time",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "no route to the network",
            Self::Reset => "connection reset",
            Self::Tls => "tls handshake failed",
            Self::Protocol => "unexpected answer",
            Self::NoLocalAddress => "this host has no free local port or lacks the source address",
            Self::NoLocalResources => "this host is out of file descriptors or memory",
            Self::NotPermitted => "this host's own firewall refused the probe",
            Self::Late => "this host was too busy to judge",
            Self::Other(number) => return write!(f, "{}", io::Error::from_raw_os_error(*number)),
        };
        f.write_str(words)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("answers"),
            Self::Opaque => f.write_str("answers, but may not tell whether it is ready"),
            Self::NotReady => f.write_str("answers that it is not ready"),
            Self::Failed(reason) => reason.fmt(f),
        }
    }
}
