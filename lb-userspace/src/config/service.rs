//! A balanced port, and the four of a k0s control plane.

use std::net::IpAddr;
use std::time::Duration;

use super::limits::DEFAULT_SLOW_START;
use super::probe::{HttpsProbe, Probe, TlsProbe};
use super::words::{Mode, Policy, StatusClass, WhenDown};
use super::{Located, Place, ProbeTiming};

/// A port that is balanced, on one VIP or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What the operator calls it.
    pub name: String,
    /// The port on the VIP.
    pub port: Located<u16>,
    /// The port on the backends.
    pub backend_port: u16,
    /// How its packets reach the backends.
    pub mode: Mode,
    /// How a backend is chosen.
    pub policy: Policy,
    /// How the health of its backends is learnt.
    pub probe: Located<Probe>,
    /// How often they are probed, and what it takes to go down and to come up; of no use where it only follows.
    pub timing: ProbeTiming,
    /// The service whose health a backend's health here takes over as well: it can take a backend out, not put it in.
    pub follow: Option<Located<String>>,
    /// How long a backend that comes back takes to get its full share again; zero is at once.
    pub slow_start: Duration,
    /// Whether its last good backends stay in use when all are down.
    pub fail_open: bool,
    /// What becomes of a backend's connections when it goes down.
    pub when_down: WhenDown,
    /// Its own VIPs; `None` is those of the configuration.
    pub vips: Option<Vec<Located<IpAddr>>>,
    /// The names of its own backends; `None` is all.
    pub backends: Option<Vec<Located<String>>>,
}

impl Service {
    /// A service on `port`, with the defaults for the rest.
    pub fn new(name: &str, port: u16, policy: Policy, probe: Probe) -> Self {
        Self {
            name: name.to_owned(),
            port: Located::new(port, Place::Nowhere),
            backend_port: port,
            mode: Mode::Nat,
            policy,
            probe: Located::new(probe, Place::Nowhere),
            timing: ProbeTiming::default(),
            follow: None,
            slow_start: default_slow_start(policy, DEFAULT_SLOW_START),
            fail_open: true,
            when_down: WhenDown::Reset,
            vips: None,
            backends: None,
        }
    }

    /// The default service of the Kubernetes API.
    pub const KUBERNETES_API: &'static str = "kubernetes-api";

    /// The four ports of a k0s control plane, the services of a configuration that names none.
    ///
    /// - The API server is asked for `/readyz`. k0s admits no anonymous questions, so a 401 is the usual answer to a
    ///   probe without a credential: it answers, and keeps its connections.
    /// - Konnectivity agents redial until they hold a connection to every server, so theirs spread: N dials for N
    ///   controllers. Their port speaks gRPC only. A handshake for h2 and a close leave no trace in its log. Without the
    ///   API server beside it such a port is of no use, so it follows.
    /// - Konnectivity's admin port is bound to loopback since 2022 and refuses, so it only follows.
    /// - The join API is up whatever status it answers with, and gets no credential: it logs every wrong one.
    pub fn defaults_for_k0s() -> Vec<Self> {
        let follow = || Some(Located::new(Self::KUBERNETES_API.to_owned(), Place::Nowhere));
        let h2 = TlsProbe { alpn: vec!["h2".to_owned()], ..TlsProbe::default() };
        let any_status = HttpsProbe {
            path: "/".to_owned(),
            expected_status: StatusClass::ALL.to_vec(),
            ..HttpsProbe::default()
        };
        let konnectivity_agent = Self::new("konnectivity-agent", 8132, Policy::Spread, Probe::Tls(h2));
        vec![
            Self::new(Self::KUBERNETES_API, 6443, Policy::Maglev, Probe::Https(HttpsProbe::default())),
            Self { follow: follow(), ..konnectivity_agent },
            Self::new(
                "konnectivity-server",
                8133,
                Policy::Maglev,
                Probe::Follow(Self::KUBERNETES_API.to_owned()),
            ),
            Self::new("controller-join", 9443, Policy::Maglev, Probe::Https(any_status)),
        ]
    }

    /// Takes from the top of the file what a service without words of its own has from there.
    pub(crate) fn with_defaults(self, defaults: ServiceDefaults) -> Self {
        let ServiceDefaults { mode, timing, slow_start, fail_open, when_down } = defaults;
        let slow_start = default_slow_start(self.policy, slow_start);
        Self { mode, timing, slow_start, fail_open, when_down, ..self }
    }

    /// The service whose health is taken over, alone or beside that of a probe of its own.
    pub fn followed(&self) -> Option<&str> {
        match &self.probe.value {
            Probe::Follow(service) => Some(service),
            Probe::Tcp | Probe::Tls(_) | Probe::Https(_) => {
                self.follow.as_ref().map(|service| &*service.value)
            }
        }
    }

    /// The service whose probe tells most of this one's backends: itself, unless it only follows.
    pub fn probed_as(&self) -> &str {
        match &self.probe.value {
            Probe::Follow(service) => service,
            Probe::Tcp | Probe::Tls(_) | Probe::Https(_) => &self.name,
        }
    }

    /// Whether the configuration lets this backend serve it.
    pub fn takes(&self, backend: &str) -> bool {
        self.backends.as_ref().is_none_or(|names| names.iter().any(|name| name.value == backend))
    }
}

/// What services have that do not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceDefaults {
    pub(crate) mode: Mode,
    pub(crate) timing: ProbeTiming,
    pub(crate) slow_start: Duration,
    pub(crate) fail_open: bool,
    pub(crate) when_down: WhenDown,
}

/// The slow start of a service that does not say. `spread` has none: its clients dial until they have reached every
/// backend, and one that comes back late in each round of turns is one that they dial longer for.
pub(crate) fn default_slow_start(policy: Policy, at_the_top: Duration) -> Duration {
    match policy {
        Policy::Maglev => at_the_top,
        Policy::Spread => Duration::ZERO,
    }
}
