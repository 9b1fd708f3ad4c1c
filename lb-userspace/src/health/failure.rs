//! Why a probe failed, in words that a person can act on.

use std::fmt;
use std::io;

/// Why a probe failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// RST to the SYN: the host lives, the process does not.
    Refused,
    /// No answer to the SYN in time.
    Timeout,
    /// The host does not answer ARP or NDP, or a router said so, or that it is forbidden.
    HostUnreachable,
    /// A router on the way said that it has no route.
    NetworkUnreachable,
    /// The connection was made and then reset.
    Reset,
    /// The connection was made and then closed without an answer.
    Closed,

    /// The connection was made, and the TLS handshake did not end in time.
    TlsTimeout,
    /// What listens there does not speak TLS.
    NotTls,
    /// No version of TLS, or no cipher, that both sides have.
    NoCommonTls,
    /// None of the protocols that the probe offers by ALPN.
    NoCommonAlpn,
    /// The server has nothing under the name that the probe asks for (SNI).
    UnknownServerName,
    /// The server ended the handshake with this alert (RFC 8446, section 6).
    TlsAlert(u8),
    /// TLS could not be agreed on for another reason.
    Tls,
    /// The certificate has ended.
    CertificateEnded,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// The certificate is for other names.
    CertificateName,
    /// The certificate is of another authority than that of the CA file.
    CertificateIssuer,
    /// The certificate is wrong in another way.
    Certificate,

    /// The request was sent, and no answer came in time.
    AnswerTimeout,
    /// The answer is not HTTP.
    NotHttp,
    /// The answer's head is longer than a probe reads.
    HeadersTooLarge,
    /// The answer points elsewhere; the number is its status.
    Redirect(u16),
    /// The answer has a status that says nothing about the server's health.
    Status(u16),

    /// This host has no route to the backend.
    NoRoute,
    /// This host has no local port or not the source address to probe from.
    NoLocalAddress,
    /// This host is out of file descriptors or memory.
    NoLocalResources,
    /// This host's own firewall or policy refused the probe.
    NotPermitted,
    /// This host cannot read the files of the probe, and never could.
    NoLocalFiles,
    /// This host was too busy (or asleep) to judge: the time-out was noticed long after it was due.
    Late,
    /// The probe itself has failed: a defect of this program.
    Panicked,
    /// Anything else; the number is the operating system's.
    Other(i32),
}

impl FailureReason {
    /// Names what the calls up to and including `connect` said at once, before anything could be heard: that is of this host.
    /// Afterwards the same numbers are of the network. Linux has one for its own lack of a route and for a router's "network
    /// unreachable", and one for its own prohibition and a router's "administratively prohibited" by IPv6.
    pub fn from_immediate_error(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // Routes of the types unreachable and blackhole are EHOSTUNREACH and EINVAL (`ip-route(8)`).
            Some(
                libc::ENETUNREACH | libc::ENETDOWN | libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::EINVAL,
            ) => Self::NoRoute,
            Some(libc::EACCES) => Self::NotPermitted,
            _ => Self::from_connect_error(error),
        }
    }

    /// Names what became of a connection after `connect` had begun it.
    pub fn from_connect_error(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::Timeout,
            Some(libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::EACCES) => Self::HostUnreachable,
            Some(libc::ENETUNREACH | libc::ENETDOWN) => Self::NetworkUnreachable,
            Some(libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE) => Self::Reset,
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Self::NoLocalAddress,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::NoLocalResources,
            Some(libc::EPERM) => Self::NotPermitted,
            Some(number) => Self::Other(number),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Other(0),
        }
    }

    /// Whether the fault is this host's. No backend is judged by what the balancer itself lacks.
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::NoRoute
                | Self::NoLocalAddress
                | Self::NoLocalResources
                | Self::NotPermitted
                | Self::NoLocalFiles
                | Self::Late
                | Self::Panicked
        )
    }

    /// Whether the time was over before there was an answer.
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::Timeout | Self::TlsTimeout | Self::AnswerTimeout)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Refused => "connection refused",
            Self::Timeout => "no answer in time",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "a router has no route to it",
            Self::Reset => "connection reset",
            Self::Closed => "connection closed without an answer",
            Self::TlsTimeout => "connected, but the tls handshake did not end in time",
            Self::NotTls => "what listens there does not speak tls",
            Self::NoCommonTls => "no tls version or cipher in common",
            Self::NoCommonAlpn => "no protocol in common (alpn)",
            Self::UnknownServerName => "the server does not know the name that was asked for (sni)",
            Self::TlsAlert(number) => {
                return write!(f, "the server ended the tls handshake with alert {number}");
            }
            Self::Tls => "tls handshake failed",
            Self::CertificateEnded => "the certificate has ended",
            Self::CertificateNotYetValid => "the certificate is not valid yet",
            Self::CertificateName => "the certificate is for another name",
            Self::CertificateIssuer => "the certificate is not of the authority in the ca file",
            Self::Certificate => "the certificate is not valid",
            Self::AnswerTimeout => "connected, but no answer to the request in time",
            Self::NotHttp => "the answer is not http",
            Self::HeadersTooLarge => "the answer's headers are too large",
            Self::Redirect(status) => return write!(f, "redirected ({status})"),
            Self::Status(status) => return write!(f, "unexpected status {status}"),
            Self::NoRoute => "this host has no route to it",
            Self::NoLocalAddress => "this host has no free local port or lacks the source address",
            Self::NoLocalResources => "this host is out of file descriptors or memory",
            Self::NotPermitted => "this host's own firewall refused the probe",
            Self::NoLocalFiles => "this host cannot read the probe's ca file or credential",
            Self::Late => "this host was too busy to judge",
            Self::Panicked => "the probe itself failed, which is a defect of xdplb",
            Self::Other(0) => "the connection failed",
            Self::Other(number) => return write!(f, "{}", io::Error::from_raw_os_error(*number)),
        };
        f.write_str(words)
    }
}
