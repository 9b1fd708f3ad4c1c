//! What only the whole configuration can tell: names and addresses given twice, families that do not meet,
//! ports that collide. Pure; the host's part is in [`super::host`].

mod snat;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::error::{ConfigError, Problem};
use super::limits::{MAX_BACKENDS, MAX_INTERFACES, MAX_SERVICES, MAX_VIPS};
use super::place::{Located, Place};
use super::suggest::nearest;
use super::words::Family;
use super::{Config, Service};

/// Checks the whole; the first problem found is the one told.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    check_interfaces(config)?;
    check_backends(config)?;
    for vips in config.vips.iter().chain(config.services.iter().filter_map(|service| service.vips.as_ref())) {
        check_vips(config, vips)?;
    }
    check_services(config)?;
    check_families(config)?;
    check_ports(config)?;
    check_follows(config)?;
    snat::check_ports(config)?;
    snat::check_addresses(config)
}

/// Refuses the second of two equal values.
fn refuse_twice<'a, T, K>(
    what: &'static str,
    values: impl IntoIterator<Item = &'a Located<T>>,
    key: impl Fn(&'a T) -> K,
) -> Result<(), ConfigError>
where
    T: 'a,
    K: std::hash::Hash + Eq + ToString,
{
    let mut seen = HashSet::new();
    for value in values {
        let key = key(&value.value);
        let name = key.to_string();
        if !seen.insert(key) {
            return Err(Problem::Twice { what, name }.of(value));
        }
    }
    Ok(())
}

/// Refuses more than the tables hold.
pub(crate) fn refuse_too_many(
    what: &'static str,
    given: usize,
    limit: usize,
    place: &Place,
) -> Result<(), ConfigError> {
    if given > limit { Err(Problem::TooMany { what, given, limit }.at(place)) } else { Ok(()) }
}

/// Why an address cannot be that of a VIP or a backend, if so.
pub(crate) fn unusable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    match address {
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(address) if address.octets()[0] == 0 => Some("an address of \"this network\""),
        IpAddr::V4(address) if address.octets()[0] >= 240 => Some("a reserved address"),
        IpAddr::V6(address) if address.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 spelling"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Refuses an address that no other host reaches.
fn check_usable(key: &'static str, address: &Located<IpAddr>) -> Result<(), ConfigError> {
    match unusable(address.value) {
        Some(kind) => Err(Problem::Unusable { key, address: address.value, kind }.of(address)),
        None => Ok(()),
    }
}

fn check_interfaces(config: &Config) -> Result<(), ConfigError> {
    refuse_twice("the interface", &config.interfaces, String::as_str)?;
    if let Some(last) = config.interfaces.last() {
        refuse_too_many("interfaces", config.interfaces.len(), MAX_INTERFACES, &last.place)?;
    }
    Ok(())
}

fn check_backends(config: &Config) -> Result<(), ConfigError> {
    refuse_twice("the backend", &config.backends, |backend| backend.name.as_str())?;
    let mut owners: HashMap<IpAddr, &str> = HashMap::new();
    for backend in &config.backends {
        for (position, address) in backend.addresses.iter().enumerate() {
            check_usable("a backend", address)?;
            let family = Family::of(address.value);
            if backend.addresses[..position].iter().any(|other| Family::of(other.value) == family) {
                return Err(Problem::FamilyTwice { name: backend.name.clone(), family }.of(address));
            }
            if let Some(first) = owners.insert(address.value, &backend.name) {
                return Err(Problem::AddressShared {
                    address: address.value,
                    first: first.to_owned(),
                    second: backend.name.clone(),
                }
                .of(address));
            }
        }
        refuse_too_many("backend addresses", owners.len(), MAX_BACKENDS, &backend.place)?;
    }
    Ok(())
}

/// One list of VIPs: usable, no backend's, none twice.
pub(crate) fn check_vips(config: &Config, vips: &[Located<IpAddr>]) -> Result<(), ConfigError> {
    refuse_twice("the VIP", vips, |vip| *vip)?;
    for vip in vips {
        check_usable("a VIP", vip)?;
        if let Some(backend) = owner(config, vip.value) {
            return Err(Problem::VipIsBackend { vip: vip.value, backend: backend.to_owned() }.of(vip));
        }
    }
    if let Some(last) = vips.last() {
        refuse_too_many("VIPs", vips.len(), MAX_VIPS, &last.place)?;
    }
    Ok(())
}

/// The backend that has this address.
fn owner(config: &Config, address: IpAddr) -> Option<&str> {
    let mut backends = config.backends.iter();
    backends
        .find(|backend| backend.address(Family::of(address)) == Some(address))
        .map(|backend| &*backend.name)
}

fn check_services(config: &Config) -> Result<(), ConfigError> {
    refuse_twice("the service", &config.services, |service| service.name.as_str())?;
    if let Some(last) = config.services.last() {
        refuse_too_many("services", config.services.len(), MAX_SERVICES, &last.place)?;
    }
    for service in &config.services {
        let Some(names) = &service.backends else { continue };
        refuse_twice("the backend", names, String::as_str)?;
        for name in names {
            if config.backend_index(name).is_none() {
                let known = config.backends.iter().map(|backend| backend.name.as_str());
                let next = did_you_mean(name, known, "give one of the backends in the file");
                return Err(Problem::NoSuchBackend { name: name.value.clone(), next }.of(name));
            }
        }
    }
    Ok(())
}

/// The next step after a name that does not exist.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, many: &str) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        // A line stays a line: beyond a few names the list is of no help.
        None if known.len() == 1 => format!("there is only {:?}", known[0]),
        None if known.len() <= 8 => format!("use one of {}", known.join(", ")),
        None => many.to_owned(),
    }
}

/// Whether a backend of the service has an address of the family.
pub(crate) fn serves(config: &Config, service: &Service, family: Family) -> bool {
    config.backends.iter().any(|backend| service.takes(&backend.name) && backend.address(family).is_some())
}

/// Every VIP that is written has a backend of its family, and every service a VIP that it can serve.
fn check_families(config: &Config) -> Result<(), ConfigError> {
    for vip in config.vips.iter().flatten() {
        let family = Family::of(vip.value);
        if !config.backends.iter().any(|backend| backend.address(family).is_some()) {
            return Err(Problem::VipWithoutBackend { vip: vip.value, of: String::new() }.of(vip));
        }
    }
    for service in &config.services {
        for vip in service.vips.iter().flatten() {
            if !serves(config, service, Family::of(vip.value)) {
                let of = format!(" of the service {:?}", service.name);
                return Err(Problem::VipWithoutBackend { vip: vip.value, of }.of(vip));
            }
        }
        if let Some(vips) = config.vips_of(service)
            && !vips.iter().any(|vip| serves(config, service, Family::of(vip.value)))
        {
            return Err(Problem::ServiceWithoutBackend(service.name.clone()).of(service));
        }
    }
    Ok(())
}

/// No port of a VIP belongs to two services. Where the VIPs are the host's to tell, `resolve` asks again.
fn check_ports(config: &Config) -> Result<(), ConfigError> {
    let mut owners: HashMap<(Option<IpAddr>, u16), &str> = HashMap::new();
    for service in &config.services {
        let vips: Vec<Option<IpAddr>> = match config.vips_of(service) {
            Some(vips) => vips.iter().map(|vip| Some(vip.value)).collect(),
            None => vec![None],
        };
        for vip in vips {
            if let Some(first) = owners.insert((vip, service.port.value), &service.name) {
                return Err(Problem::PortTwice {
                    port: service.port.value,
                    vip: vip.map_or_else(|| "the default VIP".to_owned(), |vip| vip.to_string()),
                    first: first.to_owned(),
                    second: service.name.clone(),
                }
                .at(&port_place(service)));
            }
        }
    }
    Ok(())
}

/// Where the port was written, or at least the service.
pub(crate) fn port_place(service: &Located<Service>) -> Place {
    if service.port.place == Place::Nowhere { service.place.clone() } else { service.port.place.clone() }
}

/// A service follows one that is probed, at every backend it has.
fn check_follows(config: &Config) -> Result<(), ConfigError> {
    for service in &config.services {
        let Some(followed) = service.followed() else { continue };
        let place = service.follow.as_ref().map_or(&service.probe.place, |follow| &follow.place);
        let (name, followed) = (service.name.clone(), followed.to_owned());
        if !service.probe.asks() && service.follow.is_some() {
            return Err(Problem::FollowsTwice(name).at(place));
        }
        if name == followed && service.probe.asks() {
            return Err(Problem::FollowsItself(name).at(place));
        }
        let Some(target) = config.services.iter().find(|service| service.name == followed) else {
            let known = config.services.iter().map(|service| service.name.as_str());
            let next = did_you_mean(&followed, known, "give one of the services in the file");
            return Err(Problem::FollowsNothing { service: name, followed, next }.at(place));
        };
        if !target.probe.asks() {
            return Err(Problem::FollowsFollower { service: name, followed }.at(place));
        }
        let mut backends = config.backends.iter().filter(|backend| service.takes(&backend.name));
        if let Some(unprobed) = backends.find(|backend| !target.takes(&backend.name)) {
            let backend = unprobed.name.clone();
            return Err(Problem::FollowsOthers { service: name, followed, backend }.at(place));
        }
    }
    Ok(())
}
