//! The desired state of the kernel's tables, computed whole from the configuration, the health and the network; and
//! the difference to what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use lb_common::{
    abi::{
        ADDRESS_FILTER_WORDS, Address, AddressV4, AddressV6, Backend, BackendId, Endpoint, LinkId, Service,
        ServiceId, address_bit_v4, address_bit_v6, backend_state, policy,
    },
    wire::Mac,
};

use super::Member;
use crate::config::Policy;

/// An address and a port.
pub type Socket = (IpAddr, u16);

/// What the tables are to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// VIPs and SNAT addresses.
    pub our_addresses: BTreeSet<IpAddr>,
    /// The services, by VIP and port.
    pub services: BTreeMap<Socket, Service>,
    /// Whom each service's new connections go to.
    pub choices: BTreeMap<ServiceId, Choosing>,
    /// The backends' service ports.
    pub endpoints: BTreeMap<Socket, BackendId>,
    /// The backends, one entry for each address.
    pub backends: BTreeMap<(BackendId, IpAddr), BackendEntry>,
}

/// What a choice table is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choosing {
    /// How to choose.
    pub policy: Policy,
    /// Among whom.
    pub members: Vec<Member>,
}

/// What the data plane needs to know of a backend at one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendEntry {
    /// The way to it, where it is known.
    pub path: Option<Path>,
    /// Whether its flows are to be reset.
    pub reset: bool,
}

/// The way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The link.
    pub link: LinkId,
    /// The next hop's link-layer address, where it is known.
    pub mac: Option<Mac>,
    /// The source address towards it, where the VIP is not.
    pub snat_address: IpAddr,
    /// A bit for each VIP that is itself the source.
    pub snat_is_vip: u32,
}

impl Desired {
    /// The filter that the data plane asks before any table.
    pub fn address_filter(&self) -> [u64; ADDRESS_FILTER_WORDS] {
        let mut filter = [0; ADDRESS_FILTER_WORDS];
        for address in &self.our_addresses {
            let bit = match *address {
                IpAddr::V4(address) => address_bit_v4(AddressV4::from(address).words()[0]),
                IpAddr::V6(address) => address_bit_v6(AddressV6::from(address).words()),
            };
            filter[(bit >> 6) as usize] |= 1 << (bit & 63);
        }
        filter
    }
}

/// A service's entry.
pub fn service(id: ServiceId, chooses: Policy, backend_port: u16, vip: u8) -> Service {
    let policy = match chooses {
        Policy::Maglev => policy::MAGLEV,
        Policy::Spread => policy::SPREAD,
    };
    Service { backend_port: backend_port.to_be_bytes(), id, policy, vip, zero: [0; 3] }
}

/// An endpoint of either family.
pub fn endpoint<A: Address>(address: A, port: u16) -> Endpoint<A> {
    Endpoint::new(address, port.to_be_bytes())
}

impl BackendEntry {
    /// The entry in the table of its family.
    pub fn encode<A: Address>(self, address: A, snat_address: A) -> Backend<A> {
        let mac = self.path.and_then(|path| path.mac);
        let state = match (self.reset, mac) {
            (true, _) => backend_state::RESET,
            (false, Some(_)) => backend_state::ACTIVE,
            (false, None) => backend_state::UNRESOLVED,
        };
        Backend {
            address,
            snat_address,
            snat_is_vip: self.path.map_or(0, |path| path.snat_is_vip),
            mac: mac.unwrap_or_default(),
            link: self.path.map_or(0, |path| path.link),
            state,
            zero: [0; 4],
        }
    }

    /// The SNAT address of the entry, if it is of this family.
    pub fn snat_v4(self) -> Ipv4Addr {
        match self.path.map(|path| path.snat_address) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// The same for IPv6.
    pub fn snat_v6(self) -> Ipv6Addr {
        match self.path.map(|path| path.snat_address) {
            Some(IpAddr::V6(address)) => address,
            _ => Ipv6Addr::UNSPECIFIED,
        }
    }
}

/// Which VIPs are themselves the source towards a backend: those on a subnet of the host that the backend is on too.
/// Backends then see the same peer after the VIP has moved to another balancer.
pub fn vips_on_subnet_of(backend: IpAddr, vips: &[IpAddr], subnets: &[(IpAddr, u8)]) -> u32 {
    let shared = |vip: IpAddr| {
        subnets.iter().any(|&(address, prefix)| {
            prefix < host_prefix(address)
                && contains(address, prefix, backend)
                && contains(address, prefix, vip)
        })
    };
    vips.iter().enumerate().filter(|(_, vip)| shared(**vip)).fold(0, |bits, (index, _)| bits | 1 << index)
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    network.is_ipv4() == address.is_ipv4() && bits(network) & mask == bits(address) & mask
}

/// What is to be done to get from one map to another: first what is new or changed, then what is gone.
pub fn difference<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> (impl Iterator<Item = (&'a K, &'a V)>, impl Iterator<Item = &'a K>) {
    let written = new.iter().filter(|(key, value)| old.get(key) != Some(value));
    let removed = old.keys().filter(|key| !new.contains_key(key));
    (written, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_vip_is_the_source_on_its_own_subnet_only() {
        let subnets =
            [(ip("10.0.0.2"), 24), (ip("10.0.0.10"), 32), (ip("192.0.2.1"), 24), (ip("fd00::2"), 64)];
        let vips = [ip("10.0.0.10"), ip("192.0.2.10"), ip("fd00::10")];
        assert_eq!(vips_on_subnet_of(ip("10.0.0.11"), &vips, &subnets), 0b001);
        assert_eq!(vips_on_subnet_of(ip("192.0.2.11"), &vips, &subnets), 0b010);
        assert_eq!(vips_on_subnet_of(ip("fd00::11"), &vips, &subnets), 0b100);
        assert_eq!(
            vips_on_subnet_of(ip("10.9.0.11"), &vips, &subnets),
            0,
            "a routed backend gets the interface's address"
        );
    }

    #[test]
    fn only_the_difference_is_written() {
        let old = BTreeMap::from([(1, "a"), (2, "b"), (3, "c")]);
        let new = BTreeMap::from([(2, "b"), (3, "d"), (4, "e")]);
        let (written, removed) = difference(&old, &new);
        assert_eq!(written.collect::<Vec<_>>(), [(&3, &"d"), (&4, &"e")]);
        assert_eq!(removed.collect::<Vec<_>>(), [&1]);
    }

    #[test]
    fn the_filter_has_the_bit_of_every_address_of_ours() {
        let desired =
            Desired { our_addresses: [ip("10.0.0.10"), ip("fd00::10")].into(), ..Desired::default() };
        assert_eq!(desired.address_filter().iter().map(|word| word.count_ones()).sum::<u32>(), 2);
    }
}
