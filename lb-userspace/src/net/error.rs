//! What can go wrong, with the next step.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// A failure to ask or to tell the kernel something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made.
    #[error("cannot open a netlink socket ({0}); run as root or with CAP_NET_ADMIN")]
    Open(#[source] io::Error),
    /// A dump or a question failed.
    #[error("cannot read {what} from the kernel ({source})")]
    Read {
        /// Links, addresses, …
        what: &'static str,
        /// What rtnetlink said.
        source: rtnetlink::Error,
    },
    /// No route.
    #[error("no route to {address} ({reason}); add one, or correct the address")]
    NoRoute {
        /// Where to.
        address: IpAddr,
        /// The kernel's word.
        reason: String,
    },
    /// The kernel refused to manage a neighbour.
    #[error(
        "cannot keep {address} resolved on interface {interface} ({reason}); xdplb needs CAP_NET_ADMIN for it"
    )]
    Neighbour {
        /// The next hop.
        address: IpAddr,
        /// Its interface index.
        interface: u32,
        /// The kernel's word.
        reason: String,
    },
    /// A file below `/proc` could not be read.
    #[error("cannot read {} ({source}); is /proc mounted?", path.display())]
    ReadProc {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file below `/proc/sys` could not be written.
    #[error("cannot write {value} to {} ({source}); mount /proc/sys writable, or set {name}={value} on the host yourself",
        path.display())]
    WriteSysctl {
        /// Which file.
        path: PathBuf,
        /// The sysctl's name.
        name: &'static str,
        /// What was to be written.
        value: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file below `/proc` says something unexpected.
    #[error("cannot understand {} ({content:?}); please report it", path.display())]
    Unexpected {
        /// Which file.
        path: PathBuf,
        /// What it says.
        content: String,
    },
}

impl Error {
    /// For `map_err` on dumps.
    pub(super) fn read(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> Self {
        move |source| Self::Read { what, source }
    }
}

/// The kernel's errno as words, or rtnetlink's own text.
pub(super) fn reason(error: &rtnetlink::Error) -> String {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    }
}
