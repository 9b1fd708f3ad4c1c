//! The loaded program: a packet through it, what it counts and tells, and its tables in the words of the model.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use aya::maps::{Array, Map, MapData, MapInfo};
use lb_common::{
    abi::{
        self, Address, AddressV4, AddressV6, Choice, Evidence, EvidenceCell, EvidenceKey, FlowKey, SpreadKey,
        backend_state, link_flags, policy, settings_flags,
    },
    counters::{COUNTER_CELLS, Counter},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    model::{Condition, Memory, Policy, Service, Tables, Tier, Tuple, tables::Unfinished},
    rig::{
        self, Rig, Verdict,
        setting::{FAMILIES, Family, SERVICES},
    },
    stored::Stored,
    world,
};

/// What a run of the program did.
#[derive(Debug)]
pub struct Ran {
    /// The verdict.
    pub verdict: Verdict,
    /// The frame behind it.
    pub output: Vec<u8>,
    /// The counters that moved, each as often as it did.
    pub counted: Vec<Counter>,
    /// The bytes of the keys that were told as closed.
    pub closed: Vec<Vec<u8>>,
    /// What was told of backends.
    pub told: Vec<(u16, Evidence)>,
}

/// The turns of one family.
type Spread<A> = aya::maps::HashMap<MapData, SpreadKey<A>, u64>;

/// The program, with its tables.
pub struct Program<'a> {
    rig: &'a mut Rig,
    /// The inner maps of the choices: written in place, because a swap waits for the kernel.
    choices: HashMap<u8, Array<MapData, Choice>>,
    turns_v4: Spread<AddressV4>,
    turns_v6: Spread<AddressV6>,
    counters: [u64; COUNTER_CELLS],
}

impl<'a> Program<'a> {
    /// That of a rig.
    pub fn new(rig: &'a mut Rig) -> Self {
        let mut choices = HashMap::new();
        for (family, service) in
            FAMILIES.into_iter().flat_map(|family| SERVICES.map(|service| (family, service)))
        {
            let inner = Array::create(1, 0).expect("a map can be made");
            let id = service.id(family);
            rig.plane.tables.choices.set(id.into(), &inner, 0).expect("a choice can be written");
            choices.insert(id, inner);
        }
        let turns_v4 = map_named(rig, "SPREAD_V4").try_into().expect("it is a hash");
        let turns_v6 = map_named(rig, "SPREAD_V6").try_into().expect("it is a hash");
        let mut program = Self { rig, choices, turns_v4, turns_v6, counters: [0; COUNTER_CELLS] };
        program.counters = program.count();
        program
    }

    fn count(&self) -> [u64; COUNTER_CELLS] {
        let cells = self.rig.plane.tables.counters.get(&0, 0).expect("the counters can be read");
        std::array::from_fn(|index| cells.iter().map(|cells| cells[index]).sum())
    }

    /// Runs the program on a frame that came by this interface.
    pub fn run(&mut self, frame: &[u8], interface: u32) -> Ran {
        let ran = rig::run(self.rig.forwarder(), frame, interface);
        let counters = self.count();
        let mut counted = Vec::new();
        for (number, (before, after)) in self.counters.iter().zip(&counters).enumerate() {
            for _ in *before..*after {
                counted.push(Counter::from_number(number as u32).expect("a cell that counts has a name"));
            }
        }
        self.counters = counters;
        let (closed, told) = (self.rig.closed(), self.rig.told());
        Ran { verdict: ran.verdict, output: ran.output, counted, closed, told }
    }

    /// An entry.
    pub fn entry(&mut self, tier: Tier, key: Tuple) -> Option<Stored> {
        let entry = self.rig.get(of_rig(tier), key)?;
        Some(Stored { twin: entry.twin, meta: entry.meta, syn: self.syn(tier, key) })
    }

    fn syn(&self, tier: Tier, at: Tuple) -> Option<abi::Syn> {
        let tables = &self.rig.plane.tables;
        match (tier, at) {
            (Tier::Flows, _) => None,
            (Tier::HalfOpen, (SocketAddr::V4(from), SocketAddr::V4(to))) => {
                let (source, destination) = (AddressV4::from(*from.ip()), AddressV4::from(*to.ip()));
                let key =
                    FlowKey::new(source, from.port().to_be_bytes(), destination, to.port().to_be_bytes());
                tables.v4.half_open.get(&key, 0).ok().map(|entry| entry.syn)
            }
            (Tier::HalfOpen, (SocketAddr::V6(from), SocketAddr::V6(to))) => {
                let (source, destination) = (AddressV6::from(*from.ip()), AddressV6::from(*to.ip()));
                let key =
                    FlowKey::new(source, from.port().to_be_bytes(), destination, to.port().to_be_bytes());
                tables.v6.half_open.get(&key, 0).ok().map(|entry| entry.syn)
            }
            _ => panic!("{at:?} is of no family"),
        }
    }

    /// The keys of every entry.
    pub fn keys(&mut self) -> HashSet<(Tier, Tuple)> {
        let mut keys = HashSet::new();
        for (family, tier) in FAMILIES.into_iter().flat_map(|family| TIERS.map(|tier| (family, tier))) {
            keys.extend(self.rig.all(family, of_rig(tier)).into_iter().map(|(key, _)| (tier, key)));
        }
        keys
    }

    /// Takes an entry away.
    pub fn remove(&mut self, tier: Tier, key: Tuple) {
        self.rig.remove(of_rig(tier), key);
    }

    /// Changes an entry that is there.
    pub fn edit(&mut self, tier: Tier, key: Tuple, change: impl FnOnce(&mut abi::FlowMeta)) {
        self.rig.edit(of_rig(tier), key, |entry| change(&mut entry.meta));
    }

    /// Forgets every connection, every turn, and what was told.
    pub fn forget(&mut self, turns: impl Iterator<Item = (IpAddr, u8)>) {
        for (tier, key) in self.keys() {
            self.remove(tier, key);
        }
        for (source, service) in turns {
            let service = u32::from(service).to_ne_bytes();
            // One that was never there is as good.
            let _ = match source {
                IpAddr::V4(source) => self.turns_v4.remove(&SpreadKey { source: source.into(), service }),
                IpAddr::V6(source) => self.turns_v6.remove(&SpreadKey { source: source.into(), service }),
            };
        }
        self.rig.forget_evidence();
        self.rig.closed();
    }

    /// Writes a backend's state.
    pub fn set_backend(&mut self, ipv4: bool, id: u16, condition: Condition) {
        let state = match condition {
            Condition::Absent => backend_state::NONE,
            Condition::Active => backend_state::ACTIVE,
            Condition::Unresolved => backend_state::UNRESOLVED,
            Condition::Reset => backend_state::RESET,
        };
        let controller =
            world::backends().into_iter().find(|controller| controller.id == id).expect("it is one of these");
        self.rig.set_backend_state(family(ipv4), controller, state);
    }

    /// Writes whom a service's new connections go to.
    pub fn set_choice(&mut self, service: u8, slots: &[u16], list: &[u16]) {
        // Too large for a stack.
        let mut words = vec![0_u32; size_of::<Choice>() / size_of::<u32>()];
        let choice = Choice::mut_from_bytes(words.as_mut_bytes()).expect("a choice is so many words");
        choice.slot_count = slots.len() as u32;
        choice.rotation_count = list.len() as u32;
        choice.slots[..slots.len()].copy_from_slice(slots);
        choice.rotation[..list.len()].copy_from_slice(list);
        let inner = self.choices.get_mut(&service).expect("every service has a choice");
        inner.set(0, *choice, 0).expect("a choice can be written");
    }

    /// Adds where a backend serves.
    pub fn add_endpoint(&mut self, at: SocketAddr) {
        let (tables, port) = (&mut self.rig.plane.tables, at.port().to_be_bytes());
        match at.ip() {
            IpAddr::V4(address) => tables.v4.endpoints.insert(abi::Endpoint::new(address.into(), port), 0, 0),
            IpAddr::V6(address) => tables.v6.endpoints.insert(abi::Endpoint::new(address.into(), port), 0, 0),
        }
        .expect("an endpoint can be written");
    }

    /// Adds or removes a service.
    pub fn set_service(&mut self, at: SocketAddr, service: Option<&Service>) {
        let entry = service.map(|service| abi::Service {
            backend_port: service.backend_port.to_be_bytes(),
            id: service.id,
            policy: if service.policy == Policy::Spread { policy::SPREAD } else { policy::MAGLEV },
            vip: 0,
            zero: [0; 3],
        });
        let (tables, port) = (&mut self.rig.plane.tables, at.port().to_be_bytes());
        match at.ip() {
            IpAddr::V4(address) => {
                write_service(&mut tables.v4.services, abi::Endpoint::new(address.into(), port), entry);
            }
            IpAddr::V6(address) => {
                write_service(&mut tables.v6.services, abi::Endpoint::new(address.into(), port), entry);
            }
        }
    }

    /// Writes what comes and goes unfinished.
    pub fn set_links(&mut self, links: [Unfinished; 2]) {
        self.rig.write_settings(|settings| settings.flags &= !settings_flags::UNFINISHED_CHECKSUMS);
        for (index, unfinished) in links.into_iter().enumerate() {
            let flags = match unfinished {
                Unfinished::Never => 0,
                Unfinished::StayAsTheyAre => link_flags::CHECKSUM_PARTIAL,
                Unfinished::AreFinished => link_flags::CHECKSUM_FINISH,
            };
            self.rig.set_link_flags(index, flags);
        }
    }

    /// Writes how many SNAT ports there are.
    pub fn set_ports(&mut self, count: u16) {
        self.rig.write_settings(|settings| settings.snat_port_count = count);
    }

    /// Writes when the agent last collected.
    pub fn set_collected(&mut self, tick: u32) {
        self.rig.set_collected(u64::from(tick) << 24);
    }

    /// Writes what is remembered of a service on a backend.
    pub fn set_memory(&mut self, (backend, service): (u16, u8), memory: &Memory) {
        let mut cell = EvidenceCell {
            told: memory.told.map(|told| told.unwrap_or(0)),
            burst_since: memory.burst_since,
            resets: memory.clients.len() as u32,
            ..EvidenceCell::EMPTY
        };
        for (place, client) in cell.reset_clients.iter_mut().zip(&memory.clients) {
            *place = sum_of_words(*client);
        }
        self.rig.edit_evidence(EvidenceKey::new(backend, service), |place| *place = cell);
    }

    /// Asks the collector for these keys.
    pub fn collect(&mut self, tier: Tier, keys: &[Tuple]) -> u32 {
        self.rig.collect(of_rig(tier), keys)
    }

    /// Asks for these keys to be reset.
    pub fn reset(&mut self, tier: Tier, keys: &[Tuple]) -> u32 {
        self.rig.reset(of_rig(tier), keys)
    }

    /// What the model is told in the beginning.
    pub fn tables(&self, host_connections: &[world::HostConnection], flow_table: u32) -> Tables {
        world::tables(self.rig, host_connections, flow_table)
    }
}

/// Both tiers.
pub const TIERS: [Tier; 2] = [Tier::Flows, Tier::HalfOpen];

fn write_service<A: Address>(
    services: &mut aya::maps::HashMap<MapData, abi::Endpoint<A>, abi::Service>,
    at: abi::Endpoint<A>,
    entry: Option<abi::Service>,
) {
    let written = match entry {
        Some(entry) => services.insert(at, entry, 0),
        None => services.remove(&at),
    };
    written.expect("a service can be written");
}

/// The sum of the 32-bit words of an address, as they lie in memory.
fn sum_of_words(address: IpAddr) -> u32 {
    let words = crate::model::frame::octets(address);
    let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    words.chunks(4).map(word).fold(0, u32::wrapping_add)
}

fn of_rig(tier: Tier) -> rig::Tier {
    match tier {
        Tier::Flows => rig::Tier::Flows,
        Tier::HalfOpen => rig::Tier::HalfOpen,
    }
}

fn family(ipv4: bool) -> Family {
    if ipv4 { Family::V4 } else { Family::V6 }
}

fn map_named(rig: &mut Rig, name: &str) -> Map {
    let info = rig.forwarder().info().expect("the kernel tells about a program");
    let ids = info.map_ids().expect("the maps have ids").expect("the kernel tells them");
    let has_name =
        |id: &&u32| MapInfo::from_id(**id).expect("the kernel tells about a map").name_as_str() == Some(name);
    let id = ids.iter().find(has_name).unwrap_or_else(|| panic!("the program has the map {name}"));
    let data = MapData::from_id(*id).expect("a map can be opened");
    Map::from_map_data(data).expect("the map is of a known type")
}
