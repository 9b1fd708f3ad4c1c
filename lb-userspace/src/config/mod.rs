//! From text to a validated configuration, in one place.
//!
//! The text becomes `raw` (shape and spans), the flags of the command line go over it, `build` makes
//! typed values of it, and `rules` checks what only the whole can tell. After that no code checks again,
//! except [`Config::resolve`], which knows the host. Nothing here reads the host or the clock; only
//! [`ConfigFile`] and [`ClusterKey::load`] touch the file system.

mod build;
pub mod change;
pub mod edit;
pub mod error;
pub mod host;
mod keys;
pub mod limits;
pub mod overrides;
pub mod place;
pub mod ports;
pub mod probe;
mod raw;
pub mod reference;
pub mod render;
mod rules;
pub mod secret;
mod service;
mod suggest;
pub mod warnings;
pub mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use change::BackendChange;

pub use edit::{ConfigFile, EditError, Outcome};
pub use error::ConfigError;
pub use host::{HostFacts, InterfaceFacts, Resolved, ServiceFrontend};
pub use overrides::{BackendSpec, Overrides};
pub use place::{Located, Place};
pub use ports::PortRange;
pub use probe::Probe;
pub(crate) use rules::did_you_mean;
pub use secret::ClusterKey;
pub use service::Service;
pub use warnings::Warning;
pub use words::{AdminState, Family, Mode, Policy, WhenDown, XdpMode};

use limits::{DEFAULT_FLOW_TABLE, DEFAULT_HALF_OPEN_TABLE};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/xdplb/xdplb.toml";

/// A configuration that is right in itself; whether it fits this host is for [`Config::resolve`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The interfaces to attach to, at least one.
    pub interfaces: Vec<Located<String>>,
    /// The VIPs of the services that name none; `None` is each interface's own primary address.
    pub vips: Option<Vec<Located<IpAddr>>>,
    /// How packets reach the backends of services that do not say.
    pub mode: Mode,
    /// Where in the kernel the programs run.
    pub xdp_mode: XdpMode,
    /// Whether each packet of ours that is dropped is told in the log.
    pub log_drops: bool,
    /// The source addresses that backends see, at most one a family; empty is "as a proxy would choose".
    pub snat_addresses: Vec<Located<IpAddr>>,
    /// The source ports that backends see.
    pub snat_ports: Located<PortRange>,
    /// The file with the key that balancers of one cluster share, an absolute path.
    pub cluster_key_file: Option<PathBuf>,
    /// How long a backend that comes back takes to get its full share again; zero is at once. For `maglev` services that
    /// do not say.
    pub slow_start: Duration,
    /// How long the connections of a draining backend may go on; `None` is until they end.
    pub drain_timeout: Option<Duration>,
    /// Whether services that do not say keep their last good backends when all are down.
    pub fail_open: bool,
    /// What becomes of a backend's connections when it goes down, for services that do not say.
    pub when_down: WhenDown,
    /// How backends are probed.
    pub probe: ProbeTiming,
    /// The sizes of the tables.
    pub limits: TableSizes,
    /// How long flows may stay idle.
    pub timeouts: Timeouts,
    /// The backends, at least one, no name and no address twice.
    pub backends: Vec<Located<Backend>>,
    /// The services, no name twice.
    pub services: Vec<Located<Service>>,
}

/// How backends are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTiming {
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// The same while the next results decide whether a backend is down, or up again; at most the interval.
    pub fast_interval: Duration,
    /// How long an answer may take, at most the interval.
    pub timeout: Duration,
    /// Failures in a row until a backend is down.
    pub fall: u8,
    /// Successes in a row until it is up again.
    pub rise: u8,
}

impl Default for ProbeTiming {
    /// A dead controller is out within three seconds, and a slow answer of one second is still an answer.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
        }
    }
}

/// The sizes of the tables, in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSizes {
    /// Established connections.
    pub flow_table: u32,
    /// Connections whose handshake is not complete.
    pub half_open_table: u32,
}

impl Default for TableSizes {
    fn default() -> Self {
        Self { flow_table: DEFAULT_FLOW_TABLE, half_open_table: DEFAULT_HALF_OPEN_TABLE }
    }
}

/// How long a flow may stay idle, by its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Both sides talk.
    pub established: Duration,
    /// One side has closed.
    pub half_closed: Duration,
    /// The handshake is not complete.
    pub half_open: Duration,
    /// Both sides have closed, the client first, or the connection was reset.
    pub closed: Duration,
    /// Both sides have closed, the backend first: it holds the port in TIME-WAIT.
    pub time_wait: Duration,
}

impl Default for Timeouts {
    /// Hours for what kubelets keep open (a cut watch is a complaint), a minute for what Linux holds a minute.
    fn default() -> Self {
        Self {
            established: Duration::from_secs(4 * 3600),
            half_closed: Duration::from_secs(15 * 60),
            half_open: Duration::from_secs(60),
            closed: Duration::from_secs(10),
            time_wait: Duration::from_secs(60),
        }
    }
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What the operator calls it.
    pub name: String,
    /// One address, or one of each family.
    pub addresses: Vec<Located<IpAddr>>,
    /// Its share of new connections, relative to the others'.
    pub weight: u8,
    /// What the operator wants of it.
    pub state: AdminState,
}

impl Backend {
    /// Its address of one family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(|address| address.value).find(|address| Family::of(*address) == family)
    }
}

impl Config {
    /// Reads a configuration from its text; `path` is what errors call it, the flags go over it.
    pub fn parse(path: &Path, text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let source = place::Source::new(path, text);
        let raw = keys::read(&source)?;
        let config = build::build(raw, Some(&source), overrides)?;
        rules::check(&config)?;
        Ok(config)
    }

    /// Makes a configuration of flags alone: a run without a file.
    pub fn from_flags(overrides: &Overrides) -> Result<Self, ConfigError> {
        let config = build::build(raw::RawConfig::default(), None, overrides)?;
        rules::check(&config)?;
        Ok(config)
    }

    /// The position of the backend of this name.
    pub fn backend_index(&self, name: &str) -> Option<usize> {
        self.backends.iter().position(|backend| backend.name == name)
    }

    /// How a service is probed; as `[probe]` says for one that is not there.
    pub fn timing_of(&self, service: &str) -> ProbeTiming {
        let own = self.services.iter().find(|own| own.name == service);
        own.map_or(self.probe, |own| own.timing)
    }

    /// The VIPs of a service, or `None` where they are the host's to tell.
    pub(crate) fn vips_of<'a>(&'a self, service: &'a Service) -> Option<&'a [Located<IpAddr>]> {
        service.vips.as_deref().or(self.vips.as_deref())
    }
}
