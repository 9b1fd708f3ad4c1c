//! What is not in the flow table: handshakes in the lower tier, new connections, strangers' packets.

use lb_common::{
    abi::{Endpoint, FlowKey, NextHop, Service, StateWord, flow_flags},
    counters::Counter,
    tcp::{
        Direction, State,
        flags::{ACK, FIN, RST, SYN},
    },
    tick::TICK_SHIFT,
};

use crate::{
    admit, adopt, enter,
    entry::Entry,
    family::Family,
    forward::{self, Packet},
    maps, nat, next_hop,
    pair::Tier,
    transition::{self, Next},
    verdict::{Outcome, Verdict},
};

/// Judges a packet without an entry in the flow table.
#[inline(never)]
pub fn packet<F: Family>(packet: &Packet<F>) -> Outcome {
    let mut attempt = 0;
    if let Some(entry) = Tier::HalfOpen.get::<F>(&packet.segment.key) {
        match of_entry(packet, entry)? {
            Known::Done(verdict) => return Ok(verdict),
            Known::Anew(next) => attempt = next,
        }
    }
    unknown(packet, attempt)
}

/// What became of a packet with an entry in the lower tier.
enum Known {
    /// It has been dealt with.
    Done(Verdict),
    /// The entry is gone, and the packet is nobody's; if it is adopted, then as this guess.
    Anew(u8),
}

#[inline(never)]
fn of_entry<F: Family>(packet: &Packet<F>, entry: Entry<F::Address>) -> Result<Known, Counter> {
    let Some(twin) = Tier::HalfOpen.twin_of::<F>(&packet.segment.key, entry.twin_in_place()) else {
        return torn(packet, entry).map(Known::Anew);
    };
    let word = entry.word();
    if word.has(flow_flags::UNCONFIRMED) && word.direction() == Direction::Reverse {
        adopt::judge_reply(packet, entry, twin)?;
    }
    if !forward::is_quiet(word, packet.segment.flags) {
        match transition::packet(packet, Tier::HalfOpen, entry)? {
            Next::GoOn => {}
            Next::Done(verdict) => return Ok(Known::Done(verdict)),
            Next::Anew => return Ok(Known::Anew(0)),
        }
    }
    of_pair(packet, entry, twin, word).map(Known::Done)
}

/// Sends on a packet of a pair in the lower tier, and promotes the pair where its handshake is complete.
#[inline(always)]
fn of_pair<F: Family>(
    packet: &Packet<F>,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
    before: StateWord,
) -> Outcome {
    let previous = entry.last_seen();
    entry.touch(&packet.segment, packet.now);
    let backend = F::backends().get(u32::from(entry.backend())).ok_or(Counter::DropInternal)?;
    let word = entry.word();
    // Once a second is often enough to ask for the next hop, and for room where the flow table had none.
    let again = (previous.0 ^ packet.now.0) >> next_hop::REFRESH_SHIFT != 0;
    let hop = match word.direction() {
        Direction::Forward => NextHop { mac: backend.mac, link: backend.link },
        Direction::Reverse => {
            if again {
                next_hop::refresh(packet, entry);
            }
            entry.hop()
        }
    };
    let twin_key = entry.twin();
    if is_complete(word) && (!is_complete(before) || again) {
        promote::<F>(packet, &twin_key, entry, twin);
    }
    nat::send_slowly::<F>(&packet.ctx, &packet.segment, &twin_key, hop, packet.settings)
}

/// Whether a pair belongs into the flow table. One that is closed does not: it was refused or given up, and a flood of
/// such would fill the table that never evicts.
#[inline(always)]
fn is_complete(word: StateWord) -> bool {
    let connected = matches!(word.state(), State::Established | State::ClientClosed | State::BackendClosed);
    connected && !word.has(flow_flags::UNCONFIRMED)
}

/// Moves a pair to the flow table: inserted there, then deleted below.
#[inline(never)]
fn promote<F: Family>(
    packet: &Packet<F>,
    twin_key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
) {
    let collected = (maps::collected_ns() >> TICK_SHIFT) as u32;
    if packet.now.0.wrapping_sub(collected) as i32 > packet.settings.uncollected_after as i32 {
        stays_below::<F>(entry, twin, Counter::FlowTableUncollected);
        return;
    }
    let key = &packet.segment.key;
    if !enter::promote::<F>(key, entry, twin_key, twin) {
        stays_below::<F>(entry, twin, Counter::FlowTableFull);
        return;
    }
    Tier::HalfOpen.remove::<F>(key);
    Tier::HalfOpen.remove::<F>(twin_key);
}

/// Counts a pair that stays in the lower tier, once in its life: it asks for room about each second.
#[inline(always)]
fn stays_below<F: Family>(entry: Entry<F::Address>, twin: Entry<F::Address>, reason: Counter) {
    let forward = if entry.word().direction() == Direction::Forward { entry } else { twin };
    let word = forward.word();
    if !word.has(flow_flags::STAYS_BELOW) && forward.exchange(word, word.with(flow_flags::STAYS_BELOW)) {
        maps::count(reason);
    }
}

/// An entry whose twin the tier has overwritten: no flow any more.
#[inline(always)]
fn torn<F: Family>(packet: &Packet<F>, entry: Entry<F::Address>) -> Result<u8, Counter> {
    let word = entry.word();
    if word.state() == State::Dead {
        return Err(Counter::DropBeingCollected);
    }
    maps::count(Counter::HalfOpenTorn);
    Tier::HalfOpen.remove::<F>(&packet.segment.key);
    match word.direction() {
        Direction::Reverse => Err(Counter::DropOrphanReply),
        // An adopted flow whose guess was wrong: `adopt` removed the twin and counted the attempt.
        Direction::Forward if word.has(flow_flags::UNCONFIRMED) => Ok(word.attempt()),
        Direction::Forward => Ok(0),
    }
}

/// A packet of no flow.
#[inline(always)]
fn unknown<F: Family>(packet: &Packet<F>, attempt: u8) -> Outcome {
    let key = &packet.segment.key;
    if let Some(service) = service_of::<F>(key) {
        return if packet.segment.flags & (SYN | ACK | RST | FIN) == SYN {
            admit::connection(packet, &service)
        } else {
            adopt::packet(packet, &service, attempt)
        };
    }
    let destination_port = u16::from_be_bytes(key.destination_port);
    if packet.settings.snat_ports().contains(destination_port)
        && forward::is_backend::<F>(&Endpoint::new(key.source, key.source_port))
        && forward::is_our_address::<F>(&key.destination)
    {
        return Err(Counter::DropOrphanReply);
    }
    Ok(Verdict::Pass(Counter::PassedNotOurs))
}

#[inline(always)]
fn service_of<F: Family>(key: &FlowKey<F::Address>) -> Option<Service> {
    let endpoint = Endpoint::new(key.destination, key.destination_port);
    // SAFETY: the value is copied out at once, as the slot may be given to another service.
    unsafe { F::services().get(&endpoint) }.copied()
}
