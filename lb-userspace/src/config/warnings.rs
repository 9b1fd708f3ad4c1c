//! What the operator should know of a configuration on this host. Pure.

use std::fmt;
use std::net::IpAddr;

use super::host::{HostFacts, InterfaceFacts, ServiceFrontend};
use super::limits::ENOUGH_SNAT_PORTS;
use super::words::{AdminState, Family};
use super::{Config, PortRange};

/// Something the operator should know; one line each, with the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The host does not have the VIP. On a standby that is as it should be.
    VipNotHere {
        /// The VIP.
        vip: IpAddr,
        /// The interface it would go to.
        interface: String,
    },
    /// The host does not have the SNAT address: replies would not come here.
    SnatAddressNotHere {
        /// The address.
        address: IpAddr,
        /// The interface it would go to.
        interface: String,
    },
    /// An interface is down.
    InterfaceDown(String),
    /// All backends of a service are drained or disabled.
    NothingEnabled(String),
    /// The SNAT ports will not do in a storm.
    FewSnatPorts(PortRange),
    /// No VIP is of a family that backends have, or the other way round.
    FamilyUnused {
        /// The backend.
        backend: String,
        /// The address nobody is sent to.
        address: IpAddr,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VipNotHere { vip, interface } => write!(
                out,
                "this host does not have the VIP {vip} (on a standby that is right); else run `ip addr add \
                 {vip}/{} dev {interface}`",
                Family::of(*vip).host_prefix()
            ),
            Self::SnatAddressNotHere { address, interface } => write!(
                out,
                "this host does not have the SNAT address {address}, so replies do not come here; run `ip addr \
                 add {address}/{} dev {interface}`",
                Family::of(*address).host_prefix()
            ),
            Self::InterfaceDown(name) => write!(out, "{name} is down; run `ip link set {name} up`"),
            Self::NothingEnabled(service) => write!(
                out,
                "every backend of the service {service:?} is drained or disabled; run `xdplb backend enable NAME`"
            ),
            Self::FewSnatPorts(range) => write!(
                out,
                "snat_ports {range} are {} ports, and so many connections to one port of one backend at once; in a \
                 storm of reconnects more are wanted, give {ENOUGH_SNAT_PORTS} if you can",
                range.width()
            ),
            Self::FamilyUnused { backend, address } => write!(
                out,
                "nobody is sent to {address} of the backend {backend:?}: no VIP is {}; add one or remove the \
                 address",
                Family::of(*address)
            ),
        }
    }
}

/// All of them.
pub(super) fn warnings(
    config: &Config,
    host: &HostFacts,
    interfaces: &[InterfaceFacts],
    vips: &[IpAddr],
    frontends: &[ServiceFrontend],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for interface in interfaces.iter().filter(|interface| !interface.up) {
        warnings.push(Warning::InterfaceDown(interface.name.clone()));
    }
    let interface = interfaces.first().map_or_else(String::new, |interface| interface.name.clone());
    for vip in vips.iter().filter(|vip| host.owner(**vip).is_none()) {
        warnings.push(Warning::VipNotHere { vip: *vip, interface: interface.clone() });
    }
    let snat_only =
        config.snat_addresses.iter().map(|address| address.value).filter(|own| !vips.contains(own));
    for address in snat_only.filter(|address| host.owner(*address).is_none()) {
        warnings.push(Warning::SnatAddressNotHere { address, interface: interface.clone() });
    }
    if config.snat_ports.width() < ENOUGH_SNAT_PORTS.into() {
        warnings.push(Warning::FewSnatPorts(config.snat_ports.value));
    }
    for service in &config.services {
        let mut backends = config.backends.iter().filter(|backend| service.takes(&backend.name));
        if backends.all(|backend| backend.state != AdminState::Enabled) {
            warnings.push(Warning::NothingEnabled(service.name.clone()));
        }
    }
    for (position, backend) in config.backends.iter().enumerate() {
        for address in &backend.addresses {
            let family = Family::of(address.value);
            let used = |frontend: &ServiceFrontend| {
                Family::of(frontend.vip) == family && frontend.backends.contains(&position)
            };
            if !frontends.iter().any(used) {
                warnings
                    .push(Warning::FamilyUnused { backend: backend.name.clone(), address: address.value });
            }
        }
    }
    warnings
}
