//! The configuration on this host: the VIPs that are really balanced, every service on every VIP, and what the
//! operator should know. Pure: the host is told as [`HostFacts`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::error::{ConfigError, Problem};
use super::limits::{MAX_SERVICES, MAX_VIPS};
use super::place::{Located, Place};
use super::probe::Probe;
use super::rules;
use super::warnings::{Warning, warnings};
use super::words::{Family, Mode, Policy, WhenDown};
use super::{Config, Service};

/// What the host is asked: its interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Every interface of the network namespace.
    pub interfaces: Vec<InterfaceFacts>,
}

/// One interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address, zeros where it has none.
    pub mac: [u8; 6],
    /// Its driver, where the kernel tells.
    pub driver: Option<String>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its addresses and their prefix lengths, in the kernel's order: the primary first.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl HostFacts {
    /// The interface of this name.
    pub fn interface(&self, name: &str) -> Option<&InterfaceFacts> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// The interface that has this address.
    pub fn owner(&self, address: IpAddr) -> Option<&InterfaceFacts> {
        let has = |interface: &&InterfaceFacts| interface.addresses.iter().any(|(own, _)| *own == address);
        self.interfaces.iter().find(has)
    }
}

impl InterfaceFacts {
    /// The first address of a family that other hosts reach.
    pub fn primary(&self, family: Family) -> Option<IpAddr> {
        let mut addresses = self.addresses.iter().map(|(address, _)| *address);
        addresses.find(|address| Family::of(*address) == family && rules::unusable(*address).is_none())
    }
}

/// A configuration on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The interfaces to attach to, in the order of the configuration.
    pub interfaces: Vec<InterfaceFacts>,
    /// Every VIP, none twice: those of the configuration, then those of single services.
    pub vips: Vec<IpAddr>,
    /// Every service on every VIP of it: in the order of the configuration, for each service each of its VIPs.
    pub frontends: Vec<ServiceFrontend>,
    /// What the operator should know, and what is no reason not to start.
    pub warnings: Vec<Warning>,
}

/// A service on one VIP: what the kernel's service table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFrontend {
    /// Its position in [`Resolved::frontends`].
    pub id: u16,
    /// The position of its service in [`Config::services`].
    pub service: usize,
    /// The service's name.
    pub name: String,
    /// The VIP.
    pub vip: IpAddr,
    /// The port on the VIP.
    pub port: u16,
    /// The port on the backends.
    pub backend_port: u16,
    /// How packets reach the backends.
    pub mode: Mode,
    /// How a backend is chosen.
    pub policy: Policy,
    /// How long a backend that comes back takes to get its full share again; zero is at once.
    pub slow_start: Duration,
    /// Whether its last good backends stay in use when all are down.
    pub fail_open: bool,
    /// What becomes of a backend's connections when it goes down.
    pub when_down: WhenDown,
    /// How the health of its backends is learnt.
    pub probe: Probe,
    /// The service whose health a backend's health here takes over, alone or beside that of the probe.
    pub followed: Option<String>,
    /// Positions in [`Config::backends`] of those with an address of the VIP's family, whatever their state.
    pub backends: Vec<usize>,
}

impl Config {
    /// Makes the configuration concrete on this host, or says what does not fit.
    pub fn resolve(&self, host: &HostFacts) -> Result<Resolved, ConfigError> {
        let interfaces = find_interfaces(self, host)?;
        refuse_own_addresses(self, host)?;
        let defaults = match &self.vips {
            Some(vips) => vips.clone(),
            None => default_vips(self, &interfaces)?,
        };
        let frontends = expand(self, &defaults)?;
        let mut vips: Vec<IpAddr> = Vec::new();
        let named = self.services.iter().filter_map(|service| service.vips.as_ref()).flatten();
        let served = |vip: &IpAddr| frontends.iter().any(|frontend| frontend.vip == *vip);
        for vip in defaults.iter().chain(named).map(|vip| vip.value).filter(served) {
            if !vips.contains(&vip) {
                vips.push(vip);
            }
        }
        rules::refuse_too_many("VIPs", vips.len(), MAX_VIPS, &Place::Nowhere)?;
        let warnings = warnings(self, host, &interfaces, &vips, &frontends);
        Ok(Resolved { interfaces, vips, frontends, warnings })
    }
}

fn find_interfaces(config: &Config, host: &HostFacts) -> Result<Vec<InterfaceFacts>, ConfigError> {
    let find = |name: &Located<String>| {
        host.interface(name).cloned().ok_or_else(|| {
            let known = host.interfaces.iter().map(|interface| interface.name.as_str());
            let next = rules::did_you_mean(name, known, "`ip -br link` lists them");
            Problem::NoSuchInterface { name: name.value.clone(), next }.of(name)
        })
    };
    config.interfaces.iter().map(find).collect()
}

/// A balancer that is its own backend would answer itself.
fn refuse_own_addresses(config: &Config, host: &HostFacts) -> Result<(), ConfigError> {
    for backend in &config.backends {
        for address in &backend.addresses {
            if let Some(interface) = host.owner(address.value) {
                return Err(Problem::BackendIsHost {
                    name: backend.name.clone(),
                    address: address.value,
                    interface: interface.name.clone(),
                }
                .of(address));
            }
        }
    }
    Ok(())
}

/// Each interface's own primary address, of the families that backends have.
fn default_vips(config: &Config, interfaces: &[InterfaceFacts]) -> Result<Vec<Located<IpAddr>>, ConfigError> {
    let wanted: Vec<Family> = Family::BOTH
        .into_iter()
        .filter(|family| config.backends.iter().any(|backend| backend.address(*family).is_some()))
        .collect();
    let mut vips: Vec<Located<IpAddr>> = Vec::new();
    for (interface, name) in interfaces.iter().zip(&config.interfaces) {
        for vip in wanted.iter().filter_map(|family| interface.primary(*family)) {
            if vips.iter().all(|known| known.value != vip) {
                vips.push(Located::new(vip, name.place.clone()));
            }
        }
    }
    let needs_one = config.services.iter().find(|service| service.vips.is_none());
    if let (true, Some(_), Some(first)) = (vips.is_empty(), needs_one, config.interfaces.first()) {
        return Err(Problem::NoDefaultVip {
            interfaces: config
                .interfaces
                .iter()
                .map(|name| name.value.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            families: wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
            next: if first.place.is_file() { "add vips = [\"IP\"]" } else { "add --vip IP" },
        }
        .of(first));
    }
    rules::check_vips(config, &vips)?;
    Ok(vips)
}

/// Every service on every VIP it can serve.
fn expand(config: &Config, defaults: &[Located<IpAddr>]) -> Result<Vec<ServiceFrontend>, ConfigError> {
    let mut frontends: Vec<ServiceFrontend> = Vec::new();
    let mut owners: HashMap<(IpAddr, u16), &str> = HashMap::new();
    for (position, service) in config.services.iter().enumerate() {
        let before = frontends.len();
        for vip in service.vips.as_deref().unwrap_or(defaults) {
            let backends = backends_of(config, service, Family::of(vip.value));
            if backends.is_empty() {
                continue;
            }
            if let Some(first) = owners.insert((vip.value, service.port.value), &service.name) {
                return Err(Problem::PortTwice {
                    port: service.port.value,
                    vip: vip.value.to_string(),
                    first: first.to_owned(),
                    second: service.name.clone(),
                }
                .at(&rules::port_place(service)));
            }
            rules::refuse_too_many("services on VIPs", frontends.len() + 1, MAX_SERVICES, &service.place)?;
            frontends.push(ServiceFrontend {
                id: frontends.len() as u16,
                service: position,
                name: service.name.clone(),
                vip: vip.value,
                port: service.port.value,
                backend_port: service.backend_port,
                mode: service.mode,
                policy: service.policy,
                slow_start: service.slow_start,
                fail_open: service.fail_open,
                when_down: service.when_down,
                probe: service.probe.value.clone(),
                followed: service.followed().map(str::to_owned),
                backends,
            });
        }
        if frontends.len() == before {
            return Err(Problem::ServiceWithoutBackend(service.name.clone()).of(service));
        }
    }
    Ok(frontends)
}

/// The backends that can serve a service on a VIP of this family.
fn backends_of(config: &Config, service: &Service, family: Family) -> Vec<usize> {
    let backends = config.backends.iter().enumerate();
    backends
        .filter(|(_, backend)| service.takes(&backend.name) && backend.address(family).is_some())
        .map(|(position, _)| position)
        .collect()
}
