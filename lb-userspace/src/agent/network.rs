//! The ways to the backends: routes and neighbours as the kernel has them, and the links that packets leave by.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::{
    abi::{LinkId, link_flags},
    limits::MAX_LINKS,
    wire::Mac,
};

use crate::{
    config::{HostFacts, InterfaceFacts},
    kernel::Attachment,
    net::{self, Neighbours, Netlink, NextHop, Route},
};

/// What the agent knows of the network.
pub struct Network {
    netlink: Netlink,
    neighbours: Neighbours,
    facts: net::Facts,
    routes: BTreeMap<IpAddr, Route>,
    macs: BTreeMap<NextHop, Mac>,
    links: BTreeMap<u32, LinkId>,
    /// What a former agent knew, of the backends whose next hop the kernel has not told this one yet.
    former: BTreeMap<IpAddr, FormerWay>,
}

/// The way to a backend as a former agent wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerWay {
    /// The interface.
    pub interface: u32,
    /// The next hop's link-layer address.
    pub mac: Mac,
    /// The source address.
    pub source: IpAddr,
}

/// One link as the tables hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEntry {
    /// The interface's number.
    pub interface: u32,
    /// Its link-layer address.
    pub mac: Mac,
    /// A set of `link_flags`.
    pub flags: u16,
}

impl Network {
    /// Asks the kernel for the interfaces.
    pub async fn open() -> Result<Self, net::Error> {
        let netlink = Netlink::open()?;
        let facts = netlink.facts().await?;
        let neighbours = Neighbours::new(netlink.clone());
        Ok(Self {
            netlink,
            neighbours,
            facts,
            routes: BTreeMap::new(),
            macs: BTreeMap::new(),
            links: BTreeMap::new(),
            former: BTreeMap::new(),
        })
    }

    /// Begins with what a former agent knew: the ways to the backends, and the numbers of the links, which flows hold.
    pub fn remember(&mut self, ways: BTreeMap<IpAddr, FormerWay>, links: BTreeMap<u32, LinkId>) {
        self.former = ways;
        self.links = links;
        self.former.retain(|_, way| self.facts.interfaces.contains_key(&way.interface));
        self.links.retain(|interface, _| self.facts.interfaces.contains_key(interface));
    }

    /// Asks again.
    pub async fn refresh_facts(&mut self) -> Result<(), net::Error> {
        self.facts = self.netlink.facts().await?;
        Ok(())
    }

    /// The interfaces as the configuration wants to know them.
    pub fn host_facts(&self) -> HostFacts {
        let interface = |interface: &net::Interface| InterfaceFacts {
            name: interface.name.clone(),
            index: interface.index,
            mac: interface.mac.unwrap_or_default(),
            driver: interface.kind.clone().or_else(|| interface.driver.clone()),
            mtu: interface.mtu,
            up: interface.up,
            addresses: interface
                .addresses
                .iter()
                .map(|address| (address.address, address.prefix_len))
                .collect(),
        };
        HostFacts { interfaces: self.facts.interfaces.values().map(interface).collect() }
    }

    /// Whether an interface can carry packets at this moment.
    pub fn has_carrier(&self, interface: u32) -> bool {
        self.facts.interfaces.get(&interface).is_some_and(|interface| interface.up && interface.carrier)
    }

    /// The names of the interfaces that lead to these backends and cannot carry packets at this moment.
    pub fn cut_off(&self, backends: &BTreeSet<IpAddr>) -> BTreeSet<String> {
        let leading = self.routes.iter().filter(|(backend, _)| backends.contains(backend));
        let leading: BTreeSet<u32> = leading.map(|(_, route)| route.interface).collect();
        let name = |index: &u32| {
            self.facts.interfaces.get(index).map_or_else(|| index.to_string(), |it| it.name.clone())
        };
        leading.iter().filter(|interface| !self.has_carrier(**interface)).map(name).collect()
    }

    /// Every address of the host with its prefix length.
    pub fn subnets(&self) -> Vec<(IpAddr, u8)> {
        let addresses = self.facts.interfaces.values().flat_map(|interface| &interface.addresses);
        addresses.map(|address| (address.address, address.prefix_len)).collect()
    }

    /// Follows routes and neighbours of these backends, and keeps the neighbours resolved.
    pub async fn follow(&mut self, backends: &BTreeSet<IpAddr>) {
        let mut routes = BTreeMap::new();
        for &backend in backends {
            match self.netlink.route_to(backend, None).await {
                Ok(route) => drop(routes.insert(backend, route)),
                Err(error) => {
                    log::warn!("backend {backend}: {error}");
                    // The way it had is better than none.
                    routes.extend(self.routes.get(&backend).map(|route| (backend, *route)));
                }
            }
        }
        self.routes = routes;
        let wanted: BTreeSet<NextHop> =
            self.routes.iter().map(|(backend, route)| route.next_hop(*backend)).collect();
        self.macs.retain(|next_hop, _| wanted.contains(next_hop));
        self.neighbours.want(wanted);
        self.refresh_neighbours().await;
    }

    /// Makes sure that the kernel keeps the neighbours resolved, and takes in what it knows.
    pub async fn refresh_neighbours(&mut self) {
        match self.neighbours.refresh().await {
            Ok(refreshed) => {
                for neighbour in refreshed.neighbours.values() {
                    self.learn(neighbour);
                }
                for error in refreshed.refused {
                    log::warn!("{error}");
                }
            }
            Err(error) => log::warn!("{error}"),
        }
    }

    /// Takes in a neighbour on the way to a backend; whether that changed anything. One that is lost keeps its last
    /// address: a wrong address costs no more than none, and a neighbour is lost for a moment whenever a link flaps.
    pub fn learn(&mut self, neighbour: &net::Neighbour) -> bool {
        let leads_to = |backend: &IpAddr| {
            self.routes.get(backend).is_some_and(|route| route.next_hop(*backend) == neighbour.next_hop)
        };
        let wanted = self.routes.keys().any(leads_to);
        match neighbour.mac.filter(|_| wanted) {
            Some(mac) if neighbour.state.is_usable() => {
                self.former.retain(|backend, _| !leads_to(backend));
                self.macs.insert(neighbour.next_hop, mac) != Some(mac)
            }
            _ => false,
        }
    }

    /// Gives a number to the interfaces that programs are on, and to those that lead to backends.
    pub fn assign_links(&mut self, attached: &[u32]) {
        let leading = self.routes.values().map(|route| route.interface);
        let formerly = self.former.values().map(|way| way.interface);
        let wanted: BTreeSet<u32> = attached.iter().copied().chain(leading).chain(formerly).collect();
        self.links.retain(|interface, _| wanted.contains(interface));
        for interface in wanted {
            if self.links.contains_key(&interface) {
                continue;
            }
            let taken: BTreeSet<LinkId> = self.links.values().copied().collect();
            let Some(free) = (1..MAX_LINKS as LinkId).find(|id| !taken.contains(id)) else {
                log::warn!("more than {} interfaces: {interface} is left out", MAX_LINKS - 1);
                continue;
            };
            self.links.insert(interface, free);
        }
    }

    /// The links as the tables hold them. `attached` tells how the program is on an interface.
    pub fn link_entries(&self, attached: &BTreeMap<u32, Attachment>) -> BTreeMap<LinkId, LinkEntry> {
        let entry = |(interface, id): (&u32, &LinkId)| {
            let facts = self.facts.interfaces.get(interface)?;
            let flags = attached.get(interface).map_or(0, |how| checksum_flags(facts, *how));
            Some((*id, LinkEntry { interface: *interface, mac: facts.mac.unwrap_or_default(), flags }))
        };
        self.links.iter().filter_map(entry).collect()
    }

    /// The route to a backend with the link and the next hop's address, as far as they are known.
    pub fn way_to(&self, backend: IpAddr) -> Option<(LinkId, Option<Mac>, Option<IpAddr>)> {
        let former = self.former.get(&backend);
        let Some(route) = self.routes.get(&backend) else {
            let former = former?;
            return Some((*self.links.get(&former.interface)?, Some(former.mac), Some(former.source)));
        };
        let link = *self.links.get(&route.interface)?;
        let mac = self.macs.get(&route.next_hop(backend)).copied();
        let same_link = former.filter(|former| former.interface == route.interface);
        Some((link, mac.or(same_link.map(|former| former.mac)), route.source))
    }

    /// The number of an interface, by its name.
    pub fn index_of(&self, name: &str) -> Option<u32> {
        self.facts.by_name(name).map(|interface| interface.index)
    }
}

/// Whether checksums may arrive unfinished on an interface: generic XDP sees what the stack sees; native XDP does so on
/// veth alone, where nobody behind the program would finish them.
fn checksum_flags(facts: &net::Interface, attachment: Attachment) -> u16 {
    match attachment {
        Attachment::Generic => link_flags::CHECKSUM_PARTIAL,
        Attachment::Native if facts.kind.as_deref() == Some("veth") => link_flags::CHECKSUM_FINISH,
        Attachment::Native => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11));
    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const FORMER: Mac = [2, 0, 0, 0, 0, 1];
    /// The loopback, which every host has.
    const INTERFACE: u32 = 1;

    /// A network that remembers one backend, on a link that had the number 7.
    async fn network(interface: u32) -> Network {
        let mut network = Network::open().await.expect("netlink answers everybody");
        let way = FormerWay { interface, mac: FORMER, source: SOURCE };
        network.remember([(BACKEND, way)].into(), [(interface, 7)].into());
        network.assign_links(&[]);
        network
    }

    fn route(interface: u32) -> Route {
        Route { interface, gateway: None, source: Some(SOURCE), local: false }
    }

    fn neighbour(mac: Mac) -> net::Neighbour {
        let next_hop = NextHop { interface: INTERFACE, address: BACKEND };
        let state = net::State::Reachable;
        net::Neighbour { next_hop, state, mac: Some(mac), managed: true, ours: true, foreign: false }
    }

    #[tokio::test]
    async fn what_a_former_agent_knew_holds_until_the_kernel_tells_better() {
        let mut network = network(INTERFACE).await;
        let former = Some((7, Some(FORMER), Some(SOURCE)));
        assert_eq!(network.way_to(BACKEND), former, "no route is known yet");
        network.routes.insert(BACKEND, route(INTERFACE));
        assert_eq!(network.way_to(BACKEND), former, "no neighbour is known yet");
        let mac = [2, 0, 0, 0, 0, 2];
        assert!(network.learn(&neighbour(mac)), "that is news");
        assert_eq!(network.way_to(BACKEND), Some((7, Some(mac), Some(SOURCE))), "the kernel knows better");
        network.macs.clear();
        assert_eq!(
            network.way_to(BACKEND),
            Some((7, None, Some(SOURCE))),
            "what is outdated does not return"
        );
    }

    #[tokio::test]
    async fn another_link_makes_it_another_way() {
        let mut network = network(INTERFACE).await;
        network.routes.insert(BACKEND, route(INTERFACE + 1));
        network.assign_links(&[]);
        let way = network.way_to(BACKEND).expect("there is a route");
        assert_eq!(way.1, None, "an address on another link says nothing");
        assert_ne!(way.0, 7, "and its number is not this one's");
    }

    #[tokio::test]
    async fn an_interface_that_is_gone_is_forgotten() {
        let network = network(u32::MAX >> 1).await;
        assert_eq!(network.way_to(BACKEND), None);
    }
}
