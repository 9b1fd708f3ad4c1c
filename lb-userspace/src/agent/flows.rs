//! The flows for the command line: walked in slices, named, filtered; and marked for reset.

use std::{collections::BTreeMap, io, net::SocketAddr};

use lb_common::{
    abi::{AddressV4, AddressV6, BackendId, Flow as Entry, FlowKey, FlowMeta, StateWord, flow_flags},
    tcp::{Direction, State},
    tick::{Tick, ns_from_ticks},
};

use super::{census::Standard, clock};
use crate::{
    control::types::{Flow, FlowFilter},
    kernel::{
        batch::{FlowTables, Walk, WalkFamily},
        collect::Tier,
    },
};

/// The names of the backends, by id.
pub type Names = BTreeMap<BackendId, String>;

/// Goes through all flows that match, in parts; ends early when `take` says that nobody listens.
pub fn each(
    tables: &FlowTables,
    names: &Names,
    filter: &FlowFilter,
    mut take: impl FnMut(Vec<Flow>) -> bool,
) -> io::Result<()> {
    for tier in [Tier::Flows, Tier::HalfOpen] {
        if !each_of::<AddressV4>(tables, tier, names, filter, &mut take)?
            || !each_of::<AddressV6>(tables, tier, names, filter, &mut take)?
        {
            return Ok(());
        }
    }
    Ok(())
}

fn each_of<A: Standard>(
    tables: &FlowTables,
    tier: Tier,
    names: &Names,
    filter: &FlowFilter,
    take: &mut impl FnMut(Vec<Flow>) -> bool,
) -> io::Result<bool> {
    let mut walk = Walk::<A>::new(tables, tier);
    let now = Tick::from_ns(clock::monotonic_ns());
    while let Some(slice) = walk.next_slice()? {
        let forward: Vec<_> = slice.filter(|(_, entry)| is_live_forward(entry)).collect();
        let flows: Vec<Flow> = forward
            .iter()
            .map(|(key, entry)| describe(key, entry, tables.get(tier, &entry.twin).as_ref(), names, now))
            .filter(|flow| filter.matches(flow))
            .collect();
        if !flows.is_empty() && !take(flows) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_live_forward<A: WalkFamily>(entry: &Entry<A>) -> bool {
    let word = StateWord(entry.meta.state);
    word.direction() == Direction::Forward && word.state() != State::Dead
}

/// A flow for people, of both its entries.
fn describe<A: Standard>(
    key: &FlowKey<A>,
    entry: &Entry<A>,
    twin: Option<&Entry<A>>,
    names: &Names,
    now: Tick,
) -> Flow {
    let socket = |address: A, port: [u8; 2]| SocketAddr::new(address.ip(), u16::from_be_bytes(port));
    let reverse = twin.map_or_else(FlowMeta::default, |twin| twin.meta);
    let idle = now.since(Tick(entry.meta.last_seen));
    let idle = twin.map_or(idle, |twin| idle.min(now.since(Tick(twin.meta.last_seen))));
    let seconds = |ticks| ns_from_ticks(ticks) / 1_000_000_000;
    let name = names.get(&entry.meta.backend).cloned().unwrap_or_else(|| entry.twin.source.ip().to_string());
    Flow {
        client: socket(key.source, key.source_port),
        vip: socket(key.destination, key.destination_port),
        snat: Some(socket(entry.twin.destination, entry.twin.destination_port)),
        backend: name.into(),
        backend_address: socket(entry.twin.source, entry.twin.source_port),
        state: StateWord(entry.meta.state).state().name().into(),
        age_s: seconds(now.since(Tick(entry.meta.created))),
        idle_s: seconds(idle),
        packets: entry.meta.packet_count() + reverse.packet_count(),
        bytes: entry.meta.bytes + reverse.bytes,
    }
}

/// Marks the flows that match: their next packet, from either end, is answered with RST. Returns how many.
pub fn reset(tables: &FlowTables, names: &Names, filter: &FlowFilter) -> io::Result<u64> {
    let mut marked = 0;
    for tier in [Tier::Flows, Tier::HalfOpen] {
        marked += reset_of::<AddressV4>(tables, tier, names, filter)?;
        marked += reset_of::<AddressV6>(tables, tier, names, filter)?;
    }
    Ok(marked)
}

fn reset_of<A: Standard>(
    tables: &FlowTables,
    tier: Tier,
    names: &Names,
    filter: &FlowFilter,
) -> io::Result<u64> {
    let mut walk = Walk::<A>::new(tables, tier);
    let now = Tick::from_ns(clock::monotonic_ns());
    let mut marked = 0;
    while let Some(slice) = walk.next_slice()? {
        let matching: Vec<FlowKey<A>> = slice
            .filter(|(_, entry)| {
                is_live_forward(entry) && StateWord(entry.meta.state).state() != State::Closed
            })
            .filter(|(key, entry)| filter.matches(&describe(key, entry, None, names, now)))
            .map(|(key, _)| key)
            .collect();
        for key in matching {
            marked += u64::from(mark(tables, tier, &key)?);
        }
    }
    Ok(marked)
}

/// Sets the flag in both entries, read just before: what the data plane writes meanwhile are figures.
fn mark<A: Standard>(tables: &FlowTables, tier: Tier, key: &FlowKey<A>) -> io::Result<bool> {
    let Some(mut forward) = tables.get(tier, key) else { return Ok(false) };
    let twin_key = forward.twin;
    forward.meta.state = StateWord(forward.meta.state).with(flow_flags::RESET).0;
    if !set(tables, tier, key, &forward)? {
        return Ok(false);
    }
    if let Some(mut reverse) = tables.get(tier, &twin_key).filter(|twin| twin.twin == *key) {
        reverse.meta.state = StateWord(reverse.meta.state).with(flow_flags::RESET).0;
        set(tables, tier, &twin_key, &reverse)?;
    }
    Ok(true)
}

/// Overwrites an entry; `false` where it has gone.
fn set<A: Standard>(tables: &FlowTables, tier: Tier, key: &FlowKey<A>, flow: &Entry<A>) -> io::Result<bool> {
    match tables.set(tier, key, flow) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many flows were marked, in words.
pub fn reset_words(marked: u64) -> String {
    match marked {
        0 => "no flow matches".into(),
        1 => "1 flow is reset with the next packet".into(),
        more => format!("{more} flows are reset with the next packet"),
    }
}

/// That a filter names a backend which nobody knows.
pub fn unknown_words(name: &str) -> String {
    format!("no backend is called {name}: `xdplb backend list` shows the names")
}
