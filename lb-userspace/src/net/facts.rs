//! A snapshot of what the host has: interfaces and their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::{Error, Netlink, driver};

/// All interfaces of a network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By interface index.
    pub interfaces: BTreeMap<u32, Interface>,
}

impl Facts {
    /// The interface of that name.
    pub fn by_name(&self, name: &str) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.name == name)
    }

    /// The interface that has that address.
    pub fn owner_of(&self, address: IpAddr) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.addresses.iter().any(|a| a.address == address))
    }
}

/// One network interface.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the interface")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; `None` for what is not Ethernet (and for the loopback's zeros).
    pub mac: Option<[u8; 6]>,
    /// The largest IP packet.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// There is somebody at the other end of the cable.
    pub carrier: bool,
    /// The wire is live: operational and with carrier. An interface works when it is `up` and `running`.
    pub running: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// The rtnetlink kind: "veth", "bond", "vlan", …; `None` for hardware.
    pub kind: Option<String>,
    /// The driver's name as ethtool tells it: "`virtio_net`", "ixgbe", "veth", …; filled by [`Netlink::facts`] only.
    pub driver: Option<String>,
    /// The interface below (of a VLAN or macvlan), when it is in the same namespace.
    pub lower: Option<u32>,
    /// The bond or bridge it belongs to.
    pub controller: Option<u32>,
    /// Its addresses, in the kernel's order: a subnet's primary one comes first. Filled by [`Netlink::facts`] only.
    pub addresses: Vec<Address>,
}

/// One address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address itself, not the peer's.
    pub address: IpAddr,
    /// The length of its subnet's prefix.
    pub prefix_len: u8,
    /// How far it may be seen.
    pub scope: Scope,
    /// An IPv4 address that is not its subnet's first, or a temporary IPv6 address.
    pub secondary: bool,
    /// Not usable as a source for something new: deprecated, tentative or a duplicate.
    pub unusable: bool,
}

/// How far an address may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On one link.
    Link,
    /// On this host.
    Host,
}

impl Netlink {
    /// Interfaces, with their drivers and addresses.
    pub async fn facts(&self) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        let mut links = Box::pin(self.handle.link().get().execute());
        while let Some(message) = links.try_next().await.map_err(Error::read("the links"))? {
            if let Some(mut interface) = Interface::from_message(&message) {
                interface.driver = driver::driver_of(&interface.name);
                facts.interfaces.insert(interface.index, interface);
            }
        }
        let mut addresses = Box::pin(self.handle.address().get().execute());
        while let Some(message) = addresses.try_next().await.map_err(Error::read("the addresses"))? {
            if let Some((index, address)) = Address::from_message(&message)
                && let Some(interface) = facts.interfaces.get_mut(&index)
            {
                interface.addresses.push(address);
            }
        }
        Ok(facts)
    }
}

impl Interface {
    /// `None` for messages of a bridge or of IPv6 about a link, which speak of something else: a "link deleted" of
    /// the bridge family only means that it left the bridge.
    pub(super) fn from_message(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let flags = message.header.flags;
        let mut interface = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            running: flags.contains(LinkFlags::Running),
            loopback: flags.contains(LinkFlags::Loopback),
            kind: None,
            driver: None,
            lower: None,
            controller: None,
            addresses: Vec::new(),
        };
        let mut elsewhere = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::Address(bytes) => interface.mac = ethernet(bytes),
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::Link(index) => interface.lower = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::Controller(index) => interface.controller = Some(*index),
                LinkAttribute::LinkInfo(infos) => interface.kind = kind(infos),
                _ => {}
            }
        }
        // IFLA_LINK of a veth is its far end, and 0 stands for none (tunnels).
        let not_below = elsewhere || interface.kind.as_deref() == Some("veth");
        interface.lower =
            interface.lower.filter(|&index| !not_below && index != 0 && index != interface.index);
        Some(interface)
    }
}

impl Address {
    pub(super) fn from_message(message: &AddressMessage) -> Option<(u32, Self)> {
        let (mut local, mut address) = (None, None);
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        for attribute in &message.attributes {
            match attribute {
                // On a point-to-point link IFA_ADDRESS is the peer's.
                AddressAttribute::Local(own) => local = Some(*own),
                AddressAttribute::Address(own_or_peer) => address = Some(*own_or_peer),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        let scope = match message.header.scope {
            AddressScope::Host | AddressScope::Nowhere => Scope::Host,
            AddressScope::Link => Scope::Link,
            _ => Scope::Global,
        };
        let unusable = AddressFlags::Deprecated | AddressFlags::Tentative | AddressFlags::Dadfailed;
        // An optimistic address is tentative and usable (RFC 4429).
        let optimistic = flags.contains(AddressFlags::Optimistic) && !flags.contains(AddressFlags::Dadfailed);
        let address = Self {
            address: local.or(address)?,
            prefix_len: message.header.prefix_len,
            scope,
            secondary: flags.contains(AddressFlags::Secondary),
            unusable: flags.intersects(unusable) && !optimistic,
        };
        Some((message.header.index, address))
    }
}

fn kind(infos: &[LinkInfo]) -> Option<String> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

/// Six bytes that are not all zero.
pub(super) fn ethernet(bytes: &[u8]) -> Option<[u8; 6]> {
    <[u8; 6]>::try_from(bytes).ok().filter(|mac| *mac != [0; 6])
}
