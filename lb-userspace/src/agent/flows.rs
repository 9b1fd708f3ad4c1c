//! The flows for the command line: walked in slices, named, filtered, and ended.

use std::{collections::BTreeMap, io, net::SocketAddr};

use lb_common::{
    abi::{AddressV4, AddressV6, BackendId, Flow as Entry, FlowKey, FlowMeta, StateWord, flow_flags},
    tcp::{Direction, State},
    tick::{Tick, ns_from_ticks},
};

use super::{census::Standard, clock, resets::Candidate};
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
        state: state_name(StateWord(entry.meta.state)).into(),
        age_s: seconds(now.since(Tick(entry.meta.created))),
        idle_s: seconds(idle),
        packets: entry.meta.packet_count() + reverse.packet_count(),
        bytes: entry.meta.bytes + reverse.bytes,
    }
}

/// The name of a state: that of TCP, unless somebody has ended the connection.
fn state_name(word: StateWord) -> &'static str {
    if word.has(flow_flags::RESET) { "reset" } else { word.state().name() }
}

/// The choice of the flows that match.
pub fn matching(names: Names, filter: FlowFilter) -> impl Fn(&Candidate<'_>) -> bool {
    move |candidate| {
        let name = names.get(&candidate.meta.backend).map(String::as_str);
        filter.selects(name, candidate.client.ip(), Some(candidate.snat))
    }
}

/// How many flows were ended, in words.
pub fn reset_words(ended: u64) -> String {
    match ended {
        0 => "no flow matches".into(),
        1 => "1 flow is reset".into(),
        more => format!("{more} flows are reset"),
    }
}

/// That a filter names a backend which nobody knows.
pub fn unknown_words(name: &str) -> String {
    format!("no backend is called {name}: `xdplb backend list` shows the names")
}
