//! Writing the difference between what the kernel's tables hold and what they are to hold.
//!
//! The order keeps every packet's way whole: what others point to is written first and removed last.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::maps::{HashMap, MapData, MapError};
use lb_common::abi::{Address, AddressV4, AddressV6, Endpoint, Link, LinkId, Service, Settings};

use super::network::LinkEntry;
use crate::{
    kernel::{DataPlane, Error, Tables},
    tables::{
        choice,
        desired::{self, Desired, Socket, difference},
    },
};

/// Writes the tables and remembers what they hold.
pub struct Applier {
    plane: DataPlane,
    held: Desired,
    links: BTreeMap<LinkId, LinkEntry>,
    settings: Option<Settings>,
    key: [u64; 2],
}

impl Applier {
    /// Begins with what the tables hold already: entries of a former agent are removed where they are not wanted any
    /// more. `key` is the cluster's.
    pub fn new(plane: DataPlane, key: [u64; 2]) -> Self {
        let tables = &plane.tables;
        let mut held = Desired::default();
        held.our_addresses.extend(tables.v4.our_addresses.keys().flatten().map(to_ip_v4));
        held.our_addresses.extend(tables.v6.our_addresses.keys().flatten().map(to_ip_v6));
        held.services.extend(services(&tables.v4.services, to_ip_v4));
        held.services.extend(services(&tables.v6.services, to_ip_v6));
        held.endpoints.extend(endpoints(&tables.v4.endpoints, to_ip_v4));
        held.endpoints.extend(endpoints(&tables.v6.endpoints, to_ip_v6));
        Self { plane, held, links: BTreeMap::new(), settings: None, key }
    }

    /// The VIPs and SNAT addresses that the tables hold.
    pub fn our_addresses(&self) -> &BTreeSet<IpAddr> {
        &self.held.our_addresses
    }

    /// The services that the tables hold.
    pub fn services(&self) -> &BTreeMap<Socket, Service> {
        &self.held.services
    }

    /// The tables.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.plane.tables
    }

    /// The programs.
    pub fn plane(&mut self) -> &mut DataPlane {
        &mut self.plane
    }

    /// Writes what has changed.
    ///
    /// # Errors
    ///
    /// The first table that refuses. What was written stays; the next call goes on from there.
    pub fn apply(
        &mut self,
        desired: &Desired,
        links: &BTreeMap<LinkId, LinkEntry>,
        settings: &Settings,
    ) -> Result<(), Error> {
        self.write_links(links)?;
        self.write_backends(desired)?;
        self.write_addresses(desired)?;
        // Until services are gone, the filter still lets their packets in.
        let union = Desired {
            our_addresses: self.held.our_addresses.union(&desired.our_addresses).copied().collect(),
            ..Desired::default()
        };
        self.write_settings(&Settings { address_filter: union.address_filter(), ..*settings })?;
        self.write_choices(desired)?;
        self.write_services(desired)?;
        self.remove_addresses(desired)?;
        self.write_settings(&Settings { address_filter: desired.address_filter(), ..*settings })
    }

    fn write_links(&mut self, links: &BTreeMap<LinkId, LinkEntry>) -> Result<(), Error> {
        let fail = |error: MapError| Error::map("LINKS", &error);
        if self.links == *links {
            return Ok(());
        }
        let (written, _) = difference(&self.links, links);
        for (&id, entry) in written {
            let link = Link { interface: entry.interface, mac: entry.mac, flags: entry.flags };
            self.plane.tables.links.set(id.into(), link, 0).map_err(fail)?;
            self.plane
                .tables
                .devices
                .set(id.into(), entry.interface, None, 0)
                .map_err(|error| Error::Map { name: "DEVICES", reason: error.to_string() })?;
            self.plane.tables.link_of_interface.insert(entry.interface, u32::from(id), 0).map_err(fail)?;
        }
        // A number may go to another interface at once, so it is asked of the interfaces and not of the numbers.
        let known: Vec<u32> = self.plane.tables.link_of_interface.keys().flatten().collect();
        for gone in known.into_iter().filter(|known| !links.values().any(|entry| entry.interface == *known)) {
            ignore_missing(self.plane.tables.link_of_interface.remove(&gone)).map_err(fail)?;
        }
        self.links.clone_from(links);
        Ok(())
    }

    fn write_backends(&mut self, desired: &Desired) -> Result<(), Error> {
        let (written, _) = difference(&self.held.backends, &desired.backends);
        for (&(id, address), entry) in written {
            match address {
                IpAddr::V4(address) => {
                    let value = entry.encode(AddressV4::from(address), AddressV4::from(entry.snat_v4()));
                    Tables::set_backend(&mut self.plane.tables.v4.backends, id, &value)?;
                }
                IpAddr::V6(address) => {
                    let value = entry.encode(AddressV6::from(address), AddressV6::from(entry.snat_v6()));
                    Tables::set_backend(&mut self.plane.tables.v6.backends, id, &value)?;
                }
            }
        }
        // An id is only ever taken away when no flow holds it: what stays in the array is never looked at.
        self.held.backends.clone_from(&desired.backends);
        Ok(())
    }

    fn write_addresses(&mut self, desired: &Desired) -> Result<(), Error> {
        let fail = |error: MapError| Error::map("OUR_ADDRESSES", &error);
        for &address in desired.our_addresses.difference(&self.held.our_addresses) {
            match address {
                IpAddr::V4(address) => {
                    self.plane.tables.v4.our_addresses.insert(AddressV4::from(address), 1, 0)
                }
                IpAddr::V6(address) => {
                    self.plane.tables.v6.our_addresses.insert(AddressV6::from(address), 1, 0)
                }
            }
            .map_err(fail)?;
        }
        let fail = |error: MapError| Error::map("ENDPOINTS", &error);
        let (written, _) = difference(&self.held.endpoints, &desired.endpoints);
        for (&(address, port), &id) in written {
            match address {
                IpAddr::V4(address) => self.plane.tables.v4.endpoints.insert(
                    desired::endpoint(AddressV4::from(address), port),
                    u32::from(id),
                    0,
                ),
                IpAddr::V6(address) => self.plane.tables.v6.endpoints.insert(
                    desired::endpoint(AddressV6::from(address), port),
                    u32::from(id),
                    0,
                ),
            }
            .map_err(fail)?;
        }
        Ok(())
    }

    fn write_settings(&mut self, settings: &Settings) -> Result<(), Error> {
        if self.settings.as_ref() != Some(settings) {
            self.plane.tables.settings.set(0, settings, 0).map_err(|error| Error::map("SETTINGS", &error))?;
            self.settings = Some(*settings);
        }
        Ok(())
    }

    fn write_choices(&mut self, desired: &Desired) -> Result<(), Error> {
        let (written, _) = difference(&self.held.choices, &desired.choices);
        for (&id, choosing) in written {
            let choice = choice::build(&choosing.members, choosing.policy, self.key);
            self.plane.tables.set_choice(id.into(), &choice)?;
        }
        self.held.choices.clone_from(&desired.choices);
        Ok(())
    }

    fn write_services(&mut self, desired: &Desired) -> Result<(), Error> {
        let fail = |error: MapError| Error::map("SERVICES", &error);
        let (written, removed) = difference(&self.held.services, &desired.services);
        for (&(address, port), service) in written {
            match address {
                IpAddr::V4(address) => self.plane.tables.v4.services.insert(
                    desired::endpoint(AddressV4::from(address), port),
                    service,
                    0,
                ),
                IpAddr::V6(address) => self.plane.tables.v6.services.insert(
                    desired::endpoint(AddressV6::from(address), port),
                    service,
                    0,
                ),
            }
            .map_err(fail)?;
        }
        for &(address, port) in removed {
            ignore_missing(match address {
                IpAddr::V4(address) => {
                    self.plane.tables.v4.services.remove(&desired::endpoint(AddressV4::from(address), port))
                }
                IpAddr::V6(address) => {
                    self.plane.tables.v6.services.remove(&desired::endpoint(AddressV6::from(address), port))
                }
            })
            .map_err(fail)?;
        }
        self.held.services.clone_from(&desired.services);
        Ok(())
    }

    fn remove_addresses(&mut self, desired: &Desired) -> Result<(), Error> {
        let fail = |error: MapError| Error::map("ENDPOINTS", &error);
        let (_, removed) = difference(&self.held.endpoints, &desired.endpoints);
        for &(address, port) in removed {
            ignore_missing(match address {
                IpAddr::V4(address) => {
                    self.plane.tables.v4.endpoints.remove(&desired::endpoint(AddressV4::from(address), port))
                }
                IpAddr::V6(address) => {
                    self.plane.tables.v6.endpoints.remove(&desired::endpoint(AddressV6::from(address), port))
                }
            })
            .map_err(fail)?;
        }
        let gone: BTreeSet<IpAddr> =
            self.held.our_addresses.difference(&desired.our_addresses).copied().collect();
        for address in gone {
            ignore_missing(match address {
                IpAddr::V4(address) => self.plane.tables.v4.our_addresses.remove(&AddressV4::from(address)),
                IpAddr::V6(address) => self.plane.tables.v6.our_addresses.remove(&AddressV6::from(address)),
            })
            .map_err(fail)?;
        }
        self.held.endpoints.clone_from(&desired.endpoints);
        self.held.our_addresses.clone_from(&desired.our_addresses);
        Ok(())
    }
}

fn ignore_missing(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn to_ip_v4(address: AddressV4) -> IpAddr {
    IpAddr::V4(address.into())
}

fn to_ip_v6(address: AddressV6) -> IpAddr {
    IpAddr::V6(address.into())
}

fn services<A: Address>(
    table: &HashMap<MapData, Endpoint<A>, Service>,
    to_ip: fn(A) -> IpAddr,
) -> impl Iterator<Item = (Socket, Service)> {
    table.iter().flatten().map(move |(endpoint, service)| {
        ((to_ip(endpoint.address), u16::from_be_bytes(endpoint.port)), service)
    })
}

fn endpoints<A: Address>(
    table: &HashMap<MapData, Endpoint<A>, u32>,
    to_ip: fn(A) -> IpAddr,
) -> impl Iterator<Item = (Socket, u16)> {
    table
        .iter()
        .flatten()
        .map(move |(endpoint, id)| ((to_ip(endpoint.address), u16::from_be_bytes(endpoint.port)), id as u16))
}
