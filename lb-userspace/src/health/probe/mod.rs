//! Asking one backend once.
//!
//! A probe must be quiet (a healthy backend logs nothing because of it), must leave nothing behind (no TIME-WAIT, no
//! half-done handshake) and must end within its time-out whatever the other side does.

pub mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::outcome::{FailureReason, Outcome};

/// How a backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeKind {
    /// Does something listen there?
    Tcp,
}

/// Asks once. Dropping the future abandons the probe and closes its socket.
pub async fn ask(kind: ProbeKind, to: SocketAddr, from: Option<IpAddr>, limit: Duration) -> Outcome {
    let probe = async {
        match kind {
            ProbeKind::Tcp => tcp::ask(to, from).await,
        }
    };
    timeout(limit, probe).await.unwrap_or(Outcome::Failed(FailureReason::Timeout))
}
