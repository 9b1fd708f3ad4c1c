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
    admit, adopt,
    enter::{self, Draft},
    entry::Entry,
    family::Family,
    forward::{self, Packet},
    global::global,
    maps, next_hop,
    pair::{self, Tier},
    redispatch, syn, transition,
    verdict::{self, Step, Verdict},
};

global! {
    /// Judges a packet without an entry in the flow table.
    pub fn packet() [] -> Verdict = of_lower_tier as half_open_v4, half_open_v6;

    /// Judges a packet of no flow; if it is adopted, then as this guess.
    pub fn unknown(attempt: u32) [] -> Verdict = of_no_flow as unknown_v4, unknown_v6;
}

#[inline(always)]
fn of_lower_tier<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    match Tier::HalfOpen.get::<F>(&packet.segment.key) {
        Some(entry) => verdict::of(judge(packet, entry)),
        None => Verdict::anew(0),
    }
}

#[inline(always)]
fn judge<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Step<Verdict> {
    let Some(twin) = Tier::HalfOpen.twin_of::<F>(&packet.segment.key, entry.twin_in_place()) else {
        return torn(packet, entry);
    };
    let word = entry.word();
    let is_guess = word.has(flow_flags::UNCONFIRMED) && !word.has(flow_flags::RESET);
    if is_guess && word.direction() == Direction::Reverse {
        adopt::judge_reply::<F>(&packet.ctx, entry.pointer(), twin.pointer()).go_on()?;
    }
    if redispatch::may_move(entry, twin) {
        redispatch::plan::<F>(&packet.ctx, entry.half_open(), twin.half_open()).go_on()?;
    }
    // A connection may stay here for long, and its backend go meanwhile.
    if !forward::is_quiet(word, packet.segment.flags) || !admit::is_usable::<F>(entry.backend()) {
        transition::packet::<F>(&packet.ctx, Tier::HalfOpen.number(), entry.pointer()).go_on()?;
    }
    of_pair(packet, entry, twin, word)
}

/// Sends on a packet of a pair in the lower tier, and promotes the pair where its handshake is complete.
#[inline(always)]
fn of_pair<F: Family>(
    packet: &Packet<'_, F>,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
    before: StateWord,
) -> Step<Verdict> {
    let previous = entry.last_seen();
    entry.touch(packet.segment, packet.now);
    let backend = F::backends().get(u32::from(entry.backend())).ok_or(Counter::DropInternal)?;
    let word = entry.word();
    if word.state() == State::Closed && packet.segment.flags & SYN != 0 {
        refuse_late_answer(packet, entry)?;
    }
    // Once a second is often enough to ask for the next hop, and for room where the flow table had none.
    let again = (previous.0 ^ packet.now.0) >> next_hop::REFRESH_SHIFT != 0;
    let hop = match word.direction() {
        Direction::Forward => NextHop { mac: backend.mac, link: backend.link },
        Direction::Reverse => {
            if again {
                next_hop::refresh::<F>(&packet.ctx, entry.pointer());
            }
            entry.hop()
        }
    };
    let draft = enter::draft::<F>()?;
    draft.reverse = entry.twin();
    draft.way = hop;
    if is_complete(word) && (!is_complete(before) || again) {
        promote::<F>(packet, draft, entry, twin);
    }
    Ok(Verdict::GO_ON)
}

/// Drops the answer to a SYN that another CPU has taken back since this one looked: its client must not hear of it.
#[inline(always)]
fn refuse_late_answer<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Step<()> {
    match Tier::HalfOpen.twin_of::<F>(&packet.segment.key, entry.twin_in_place()) {
        Some(twin) if twin.word().state() != State::Dead => Ok(()),
        _ => Err(Counter::DropBeingCollected.into()),
    }
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
    packet: &Packet<'_, F>,
    draft: &mut Draft<F::Address>,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
) {
    let collected = (maps::collected_ns() >> TICK_SHIFT) as u32;
    if packet.now.0.wrapping_sub(collected) as i32 > packet.settings.uncollected_after as i32 {
        stays_below::<F>(entry, twin, Counter::FlowTableUncollected);
        return;
    }
    let key = &packet.segment.key;
    if !enter::promote::<F>(draft, key, entry, twin) {
        stays_below::<F>(entry, twin, Counter::FlowTableFull);
        return;
    }
    Tier::HalfOpen.remove::<F>(key);
    Tier::HalfOpen.remove::<F>(&draft.reverse);
}

/// Counts a pair that stays in the lower tier, once in its life: it asks for room about each second.
#[inline(always)]
fn stays_below<F: Family>(entry: Entry<F::Address>, twin: Entry<F::Address>, reason: Counter) {
    let forward = if entry.word().direction() == Direction::Forward { entry } else { twin };
    let word = forward.word();
    // A pair that is being deleted was not refused.
    let is_known = word.has(flow_flags::STAYS_BELOW) || word.state() == State::Dead;
    if !is_known && forward.exchange(word, word.with(flow_flags::STAYS_BELOW)) {
        maps::count(reason);
    }
}

/// An entry whose twin the tier has overwritten: no flow any more.
#[inline(always)]
fn torn<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Step<Verdict> {
    let word = entry.word();
    if word.state() == State::Dead {
        return Err(Counter::DropBeingCollected.into());
    }
    if word.state() == State::Closed && word.direction() == Direction::Reverse {
        // The connection has gone to another backend (`redispatch`). This one may let go of it, if it is this one that it
        // speaks of: it may as well hold another connection at this port, which lives.
        // SAFETY: the entry is one of the lower tier.
        let is_of_it = syn::is_answered(unsafe { entry.syn() }, packet.segment.acknowledgment);
        return if is_of_it && packet.segment.flags & ACK != 0 {
            Ok(Verdict::answer(Counter::ResetUndone))
        } else {
            Err(Counter::DropOrphanReply.into())
        };
    }
    let key = &packet.segment.key;
    if !pair::claim::<F>(key, entry, word) {
        return Err(Counter::DropBeingCollected.into());
    }
    if Tier::HalfOpen.twin_of::<F>(key, entry.twin_in_place()).is_some() {
        // Another CPU has just moved the connection, and the slot is its entry again.
        pair::give_back(entry, word);
        return Err(Counter::DropBeingCollected.into());
    }
    maps::count(Counter::HalfOpenTorn);
    Tier::HalfOpen.remove::<F>(key);
    match word.direction() {
        Direction::Reverse => Err(Counter::DropOrphanReply.into()),
        // An adopted flow whose guess was wrong: `adopt` removed the twin and counted the attempt.
        Direction::Forward if word.has(flow_flags::UNCONFIRMED) => Ok(Verdict::anew(word.attempt())),
        Direction::Forward => Ok(Verdict::anew(0)),
    }
}

#[inline(always)]
fn of_no_flow<F: Family>(packet: &Packet<'_, F>, attempt: u32) -> Verdict {
    let key = &packet.segment.key;
    if let Some(service) = service_of::<F>(key) {
        let Ok(draft) = enter::draft::<F>() else {
            return Verdict::dropped(Counter::DropInternal);
        };
        draft.service = service;
        return if packet.segment.flags & (SYN | ACK | RST | FIN) == SYN {
            admit::connection::<F>(&packet.ctx)
        } else {
            adopt::packet::<F>(&packet.ctx, attempt)
        };
    }
    let destination_port = u16::from_be_bytes(key.destination_port);
    if packet.settings.snat_ports().contains(destination_port)
        && forward::is_backend::<F>(&Endpoint::new(key.source, key.source_port))
        && forward::is_our_address::<F>(&key.destination)
    {
        return Verdict::dropped(Counter::DropOrphanReply);
    }
    Verdict::NOT_OURS
}

/// The service that a client's packets are for.
#[inline(always)]
pub fn service_of<F: Family>(key: &FlowKey<F::Address>) -> Option<Service> {
    let endpoint = Endpoint::new(key.destination, key.destination_port);
    // SAFETY: the value is copied out at once, as the slot may be given to another service.
    unsafe { F::services().get(&endpoint) }.copied()
}
