//! `status --json` and `backend list --json`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Admin, Health, Mode, Policy, Timestamp, XdpMode};

/// Everything at a glance: `status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the agent, or of the command line when no agent runs.
    pub version: String,
    /// Whether this balancer can serve: attached and tables filled.
    pub ready: bool,
    /// Whether an agent lives.
    pub agent: Agent,
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// One entry a service and VIP.
    pub services: Vec<Service>,
    /// One entry a backend, draining and removed ones with flows included.
    pub backends: Vec<Backend>,
    /// Names of services none of whose backends passes its probe: the last healthy set keeps their traffic.
    pub fail_open: Vec<String>,
    /// Names of services all of whose backends are down and whose new connections are refused (`fail_open = false`).
    #[serde(default)]
    pub refusing: Vec<String>,
    /// The table of established flows.
    pub flow_table: TableUse,
    /// The table of flows whose handshake is not complete; it overwrites its oldest entries and is never full.
    #[serde(default)]
    pub half_open_table: TableUse,
    /// Packets since the program was first attached.
    #[serde(default)]
    pub totals: Totals,
    /// What a person should look at, one sentence each, with the next step.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The agent behind the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Whether it lives.
    pub running: bool,
    /// Since when it runs; when it does not, its last heartbeat; null when there never was one.
    pub since: Option<Timestamp>,
}

/// One interface the program is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
}

/// One service on one VIP; a service with VIPs of both families is listed once for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the configuration.
    pub name: String,
    /// The address clients dial.
    pub vip: IpAddr,
    /// The TCP port clients dial.
    pub port: u16,
    /// How packets reach the backends.
    pub mode: Mode,
    /// How a new connection is given its backend.
    pub policy: Policy,
    /// The backends that serve it.
    pub backends: Vec<ServiceBackend>,
}

impl Service {
    /// What clients dial, IPv6 in brackets.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }
}

/// One backend as one service sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBackend {
    /// The backend's name.
    pub name: String,
    /// What its probes say.
    pub health: Health,
    /// The percentage of its full share that it has, while it ramps up after it was down; null when it does not.
    #[serde(default)]
    pub slow_start_percent: Option<u32>,
    /// Whether it is down and that alarms nobody: the service has never answered on this backend, and another one has.
    #[serde(default)]
    pub unused: bool,
    /// Whether it has ever answered since it was configured.
    #[serde(default)]
    pub answered: bool,
    /// Since when they say so; null when unknown.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The last probe; null before the first and when no agent runs.
    #[serde(default)]
    pub last_probe: Option<LastProbe>,
}

/// How one probe went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastProbe {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// What came of it, in a few words: `401 unauthorized`, `connection refused`.
    pub outcome: String,
    /// When the server's certificate ends; null where the probe saw none.
    #[serde(default)]
    pub certificate_ends: Option<Timestamp>,
    /// Whole days until then at the moment of the probe, negative when it is over; null where the probe saw none.
    #[serde(default)]
    pub certificate_days: Option<i64>,
    /// What became of the credential that the probe shows: `unanswered`, `accepted`, `refused`, `ended` or `unreadable`;
    /// null when it shows none.
    #[serde(default)]
    pub credential: Option<String>,
}

/// One backend: an element of `backend list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its first address.
    pub address: IpAddr,
    /// All its addresses, the first included.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its share of new connections, relative to the others.
    pub weight: u32,
    /// What the administrator wants of it.
    pub admin: Admin,
    /// Its worst health on any service that listens on it; of a removed one it is not known.
    #[serde(default)]
    pub health: Option<Health>,
    /// Connections it holds now.
    pub flows: u64,
}

/// How full a table is, in connections; each takes an entry for either direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableUse {
    /// Connections that it holds, those too that are over and not collected yet: by the agent's last walk over the
    /// table, or counted now where no agent runs.
    pub used: u64,
    /// Connections there is room for.
    pub capacity: u64,
}

impl TableUse {
    /// How full it is, in whole percent; an empty or unknown table is 0.
    pub fn percent(self) -> u64 {
        self.used.saturating_mul(100).checked_div(self.capacity).unwrap_or(0)
    }
}

/// Packets since the program was first attached; the reasons are in `counters`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sent on to a backend or a client.
    pub forwarded_packets: u64,
    /// Ours, and dropped for a named reason.
    pub dropped_packets: u64,
    /// Not ours, and left untouched.
    pub passed_packets: u64,
}

/// The short answer for keepalived, BIRD and probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether this balancer can serve.
    pub ready: bool,
    /// Why not, in one sentence; null when it is.
    pub reason: Option<String>,
}
