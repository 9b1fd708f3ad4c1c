//! `flows --json` and `counters --json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

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
