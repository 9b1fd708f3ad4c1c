//! The flow tables of both families with the addresses of the standard library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aya::{Pod, maps::MapError};
use lb_common::abi::{
    self, Address, AddressV4, AddressV6, Endpoint, Flow, FlowKey, FlowMeta, HalfOpen, StateWord, Syn,
};
use lb_userspace::kernel::tables::{FamilyTables, Tables};

pub use lb_userspace::kernel::collect::Tier;

use super::{Rig, setting::Family};

/// Source and destination of a packet: the key of a flow entry.
pub type Tuple = (SocketAddr, SocketAddr);

/// A flow entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key of the other direction's entry.
    pub twin: Tuple,
    /// The rest.
    pub meta: FlowMeta,
}

impl Entry {
    /// State and flags.
    pub fn word(&self) -> StateWord {
        StateWord(self.meta.state)
    }
}

/// An address type of the maps.
pub trait Typed: Address + Pod {
    /// The address in the maps' form.
    fn of(address: IpAddr) -> Self;
    /// The address.
    fn ip(self) -> IpAddr;
    /// Its bit in the filter of our addresses.
    fn filter_bit(self) -> u32;
    /// The family's maps.
    fn tables(tables: &mut Tables) -> &mut FamilyTables<Self>;
}

impl Typed for AddressV4 {
    fn of(address: IpAddr) -> Self {
        let IpAddr::V4(address) = address else { panic!("{address} is IPv4") };
        address.into()
    }
    fn ip(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
    fn filter_bit(self) -> u32 {
        abi::address_bit_v4(self.words()[0])
    }
    fn tables(tables: &mut Tables) -> &mut FamilyTables<Self> {
        &mut tables.v4
    }
}

impl Typed for AddressV6 {
    fn of(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address else { panic!("{address} is IPv6") };
        address.into()
    }
    fn ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
    fn filter_bit(self) -> u32 {
        abi::address_bit_v6(self.words())
    }
    fn tables(tables: &mut Tables) -> &mut FamilyTables<Self> {
        &mut tables.v6
    }
}

/// An endpoint in the maps' form.
pub fn endpoint<A: Typed>(address: SocketAddr) -> Endpoint<A> {
    Endpoint::new(A::of(address.ip()), address.port().to_be_bytes())
}

/// A tuple in the maps' form.
pub fn key<A: Typed>((source, destination): Tuple) -> FlowKey<A> {
    let ports = (source.port().to_be_bytes(), destination.port().to_be_bytes());
    FlowKey::new(A::of(source.ip()), ports.0, A::of(destination.ip()), ports.1)
}

/// A key of the maps as a tuple.
pub fn tuple<A: Typed>(key: &FlowKey<A>) -> Tuple {
    let of = |address: A, port| SocketAddr::new(address.ip(), u16::from_be_bytes(port));
    (of(key.source, key.source_port), of(key.destination, key.destination_port))
}

/// The bytes of a tuple's key, as the ring of closed flows holds them.
pub fn key_bytes((source, destination): Tuple) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut bytes = octets(source.ip());
    bytes.extend(octets(destination.ip()));
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(6_u32.to_ne_bytes());
    bytes
}

fn entry<A: Typed>(flow: &Flow<A>) -> Entry {
    Entry { twin: tuple(&flow.twin), meta: flow.meta }
}

fn get<A: Typed>(tables: &mut Tables, tier: Tier, at: Tuple) -> Option<Entry> {
    let tables = A::tables(tables);
    let flow = match tier {
        Tier::Flows => tables.flows.get(&key(at), 0).ok()?,
        Tier::HalfOpen => tables.half_open.get(&key(at), 0).ok()?.flow,
    };
    Some(entry(&flow))
}

fn put<A: Typed>(tables: &mut Tables, tier: Tier, at: Tuple, entry: &Entry) {
    let tables = A::tables(tables);
    let flow = Flow { twin: key::<A>(entry.twin), meta: entry.meta };
    match tier {
        Tier::Flows => tables.flows.insert(key(at), flow, 0),
        Tier::HalfOpen => {
            // The SYN of an entry that is there stays.
            let syn = tables.half_open.get(&key(at), 0).map_or(Syn::NONE, |entry| entry.syn);
            tables.half_open.insert(key(at), HalfOpen { flow, syn }, 0)
        }
    }
    .expect("an entry can be written");
}

fn remove<A: Typed>(tables: &mut Tables, tier: Tier, at: Tuple) {
    let tables = A::tables(tables);
    match tier {
        Tier::Flows => tables.flows.remove(&key(at)),
        Tier::HalfOpen => tables.half_open.remove(&key(at)),
    }
    .expect("the entry is there");
}

fn all<A: Typed>(tables: &mut Tables, tier: Tier) -> Vec<(Tuple, Entry)> {
    let tables = A::tables(tables);
    match tier {
        Tier::Flows => walk(tables.flows.iter()),
        Tier::HalfOpen => walk(tables.half_open.iter().map(|entry| entry.map(|(at, half)| (at, half.flow)))),
    }
}

fn walk<A: Typed>(
    entries: impl Iterator<Item = Result<(FlowKey<A>, Flow<A>), MapError>>,
) -> Vec<(Tuple, Entry)> {
    entries
        .map(|found| found.expect("the table can be walked"))
        .map(|(at, flow)| (tuple(&at), entry(&flow)))
        .collect()
}

fn collect<A: Typed>(rig: &mut Rig, tier: Tier, keys: &[Tuple]) -> u32 {
    let keys: Vec<_> = keys.iter().map(|at| key::<A>(*at)).collect();
    rig.collector().collect(tier, &keys).expect("the collector runs")
}

fn reset<A: Typed>(rig: &mut Rig, tier: Tier, keys: &[Tuple]) -> u32 {
    let keys: Vec<_> = keys.iter().map(|at| key::<A>(*at)).collect();
    rig.collector().reset(tier, &keys).expect("the collector runs")
}

impl Rig {
    /// The entry of a packet's tuple.
    pub fn get(&mut self, tier: Tier, at: Tuple) -> Option<Entry> {
        match at.0 {
            SocketAddr::V4(_) => get::<AddressV4>(&mut self.plane.tables, tier, at),
            SocketAddr::V6(_) => get::<AddressV6>(&mut self.plane.tables, tier, at),
        }
    }

    /// Writes an entry as if a packet had made it.
    pub fn put(&mut self, tier: Tier, at: Tuple, entry: &Entry) {
        match at.0 {
            SocketAddr::V4(_) => put::<AddressV4>(&mut self.plane.tables, tier, at, entry),
            SocketAddr::V6(_) => put::<AddressV6>(&mut self.plane.tables, tier, at, entry),
        }
    }

    /// Takes an entry away, as the lower tier does when it overwrites one.
    pub fn remove(&mut self, tier: Tier, at: Tuple) {
        match at.0 {
            SocketAddr::V4(_) => remove::<AddressV4>(&mut self.plane.tables, tier, at),
            SocketAddr::V6(_) => remove::<AddressV6>(&mut self.plane.tables, tier, at),
        }
    }

    /// Every entry of a table.
    pub fn all(&mut self, family: Family, tier: Tier) -> Vec<(Tuple, Entry)> {
        match family {
            Family::V4 => all::<AddressV4>(&mut self.plane.tables, tier),
            Family::V6 => all::<AddressV6>(&mut self.plane.tables, tier),
        }
    }

    /// Changes an entry that is there.
    pub fn edit(&mut self, tier: Tier, at: Tuple, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.get(tier, at).unwrap_or_else(|| panic!("{at:?} is in {tier:?}"));
        change(&mut entry);
        self.put(tier, at, &entry);
    }

    /// Makes an entry's last packet so many ticks older.
    pub fn age(&mut self, tier: Tier, at: Tuple, ticks: u32) {
        self.edit(tier, at, |entry| entry.meta.last_seen = entry.meta.last_seen.wrapping_sub(ticks));
    }

    /// Asks the collector for these keys' pairs; how many it deleted.
    pub fn collect(&mut self, tier: Tier, keys: &[Tuple]) -> u32 {
        match keys.first().map(|at| at.0) {
            None => 0,
            Some(SocketAddr::V4(_)) => collect::<AddressV4>(self, tier, keys),
            Some(SocketAddr::V6(_)) => collect::<AddressV6>(self, tier, keys),
        }
    }

    /// Asks for these keys' pairs to be reset; how many were marked.
    pub fn reset(&mut self, tier: Tier, keys: &[Tuple]) -> u32 {
        match keys.first().map(|at| at.0) {
            None => 0,
            Some(SocketAddr::V4(_)) => reset::<AddressV4>(self, tier, keys),
            Some(SocketAddr::V6(_)) => reset::<AddressV6>(self, tier, keys),
        }
    }
}
