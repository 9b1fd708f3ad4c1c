//! What SNAT addresses and ports may be.

use super::super::error::{ConfigError, Problem};
use super::super::limits::{EPHEMERAL_PORTS, FIRST_UNPRIVILEGED_PORT, MIN_SNAT_PORTS, NODE_PORTS};
use super::super::place::Place;
use super::super::words::Family;
use super::super::{Config, PortRange};
use super::{check_usable, owner, port_place};

/// The range is nobody else's, wide enough, and off the services' ports.
pub(super) fn check_ports(config: &Config) -> Result<(), ConfigError> {
    let range = &config.snat_ports;
    let (first, last, width) = (range.first(), range.last(), range.width());
    let reaches = |others: &std::ops::RangeInclusive<u16>| first <= *others.end() && *others.start() <= last;
    let whose = if first < FIRST_UNPRIVILEGED_PORT {
        Some("privileged ports")
    } else if reaches(&NODE_PORTS) {
        Some("NodePort range")
    } else if reaches(&EPHEMERAL_PORTS) {
        Some("host's ephemeral range")
    } else {
        None
    };
    if let Some(whose) = whose {
        return Err(Problem::SnatOverlap { first, last, whose }.of(range));
    }
    if width < u32::from(MIN_SNAT_PORTS) {
        return Err(Problem::SnatTooNarrow { first, last, width, least: MIN_SNAT_PORTS }.of(range));
    }
    match config.services.iter().find(|service| range.contains(service.port.value)) {
        Some(service) => {
            let (port, name) = (service.port.value, service.name.clone());
            let place = match port_place(service) {
                Place::Nowhere => range.place.clone(),
                place => place,
            };
            let free = widest_free_range(config);
            Err(Problem::PortInSnat { port, service: name, first, last, free }.at(&place))
        }
        None => Ok(()),
    }
}

/// The most ports in a row that could be SNAT ports: above the privileged ones, below the `NodePort` range, between the
/// services' ports. `None` where they are too few.
fn widest_free_range(config: &Config) -> Option<PortRange> {
    let mut bounds: Vec<u16> = config.services.iter().map(|service| service.port.value).collect();
    bounds.extend([FIRST_UNPRIVILEGED_PORT - 1, *NODE_PORTS.start()]);
    bounds.retain(|port| (FIRST_UNPRIVILEGED_PORT - 1..=*NODE_PORTS.start()).contains(port));
    bounds.sort_unstable();
    let between = bounds.windows(2).filter_map(|pair| PortRange::new(pair[0] + 1, pair[1] - 1).ok());
    between.max_by_key(|range| range.width()).filter(|range| range.width() >= MIN_SNAT_PORTS.into())
}

/// The addresses are nobody else's, and one a family.
pub(super) fn check_addresses(config: &Config) -> Result<(), ConfigError> {
    for (position, address) in config.snat_addresses.iter().enumerate() {
        check_usable("snat_addresses", address)?;
        let family = Family::of(address.value);
        if config.snat_addresses[..position].iter().any(|other| Family::of(other.value) == family) {
            return Err(Problem::SnatFamilyTwice(family).of(address));
        }
        if let Some(backend) = owner(config, address.value) {
            return Err(
                Problem::SnatIsBackend { address: address.value, backend: backend.to_owned() }.of(address)
            );
        }
    }
    Ok(())
}
