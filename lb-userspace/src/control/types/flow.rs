//! `flows --json`, `counters --json` and `events --json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One TCP connection as the balancer sees it: an element of `flows --json`.
///
/// Addresses are binary in memory and `ip:port` (IPv6 in brackets) in JSON, so that a chunk of flows stays small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Who dialled.
    pub client: SocketAddr,
    /// What it dialled.
    pub vip: SocketAddr,
    /// The source the backend sees: what its audit log calls the client; null in DSR.
    pub snat: Option<SocketAddr>,
    /// The backend's name.
    pub backend: Cow<'static, str>,
    /// Where the backend gets it.
    pub backend_address: SocketAddr,
    /// The TCP state as the balancer follows it, such as `syn-sent`, `established`, `closed`.
    pub state: Cow<'static, str>,
    /// Seconds since its first packet.
    pub age_s: u64,
    /// Seconds since its last packet.
    pub idle_s: u64,
    /// Packets, both directions.
    pub packets: u64,
    /// Bytes of IP, both directions.
    pub bytes: u64,
}

/// Every verdict and drop reason by name, in the order of the alphabet: `counters --json`.
pub type Counters = BTreeMap<String, u64>;

/// Something that changed, when and why: a line of `events --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What kind of thing, such as `backend-health`, `backend-admin`, `fail-open`, `configuration`.
    pub kind: Cow<'static, str>,
    /// The service it is about; null when it is about none or all.
    pub service: Option<String>,
    /// The backend it is about; null when it is about none or all.
    pub backend: Option<String>,
    /// What changed and why, in one sentence.
    pub message: String,
}
