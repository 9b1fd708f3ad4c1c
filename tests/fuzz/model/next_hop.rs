//! The way back to a client: the host's own routes and neighbours. Where it has a route but not the neighbour's address, the
//! frame's own sender is the next hop.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use lb_common::counters::Counter;

use super::{Model, Outcome, Packet, frame::octets};

/// Where a packet goes on its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The link-layer address.
    pub mac: [u8; 6],
    /// The link.
    pub link: u8,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// To a router.
    Gateway(IpAddr),
    /// To whoever is on the link.
    OnLink,
    /// Nowhere.
    Forbidden,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Addresses that begin like this one …
    pub network: IpAddr,
    /// … in so many bits, a multiple of eight but for the last byte.
    pub length: usize,
    /// Where they are.
    pub way: Way,
}

/// The routes and neighbours of the host.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// The routes; no two of them overlap.
    pub routes: Vec<Route>,
    /// The neighbours that it knows.
    pub neighbours: HashMap<IpAddr, Hop>,
}

impl Routes {
    /// The next hop towards an address: known, unknown (`None`), or nowhere.
    fn find(&self, address: IpAddr) -> Result<Option<Hop>, Counter> {
        let Some(route) = self.routes.iter().find(|route| route.has(address)) else {
            return Ok(None);
        };
        match route.way {
            Way::Gateway(gateway) => Ok(self.neighbours.get(&gateway).copied()),
            Way::OnLink => Ok(self.neighbours.get(&address).copied()),
            Way::Forbidden => Err(Counter::DropNoRoute),
        }
    }
}

impl Route {
    fn has(&self, address: IpAddr) -> bool {
        let bits = |address| -> Vec<u8> {
            octets(address)
                .into_iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
                .collect()
        };
        address.is_ipv4() == self.network.is_ipv4()
            && bits(address)[..self.length] == bits(self.network)[..self.length]
    }
}

impl Model {
    /// The next hop towards the client of a packet.
    pub(super) fn next_hop_of_client(&mut self, packet: Packet<'_>) -> Result<Hop, Outcome> {
        let client: SocketAddr = packet.segment.from;
        let known = self.tables.routes.find(client.ip()).map_err(Outcome::Dropped)?;
        if let Some(hop) = known {
            return Ok(hop);
        }
        let Some(link) = self.tables.link_of(packet.arrival.interface).map(|link| link.id) else {
            return Err(Outcome::Dropped(Counter::DropNoRoute));
        };
        self.count(Counter::NextHopFromFrame);
        let mac = packet.arrival.frame[6..12].try_into().expect("a link-layer address has six bytes");
        Ok(Hop { mac, link })
    }
}
