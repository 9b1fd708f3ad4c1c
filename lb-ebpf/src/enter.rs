//! Entering a new pair into the lower tier: put together in a draft, inserted without overwriting anybody.

use lb_common::{
    abi::{Address, BackendId, Flow, FlowKey, FlowMeta, HalfOpen, NextHop, Service, StateWord, flow_flags},
    counters::Counter,
    tcp::{self, State},
};

use crate::{
    entry::{self, Entry},
    family::Family,
    forward::Packet,
    maps, nat,
    pair::{self, Tier},
    redispatch::Plan,
    verdict::{Step, Verdict},
};

/// A half-open pair this old, in ticks (one second), may be taken over at once: a client that still waits has sent its
/// SYN again by then or will, and that SYN finds a new place.
const STALE_HANDSHAKE: u32 = 60;

/// Where a new pair is put together: one for each CPU, because the stack is too small.
#[repr(C)]
pub struct Draft<A: Address> {
    /// The entry that is inserted next, with the SYN of both.
    pub entry: HalfOpen<A>,
    /// Where a connection is offered that its backend does not take.
    pub plan: Plan,
    /// The figures that the forward entry begins with.
    pub figures: FlowMeta,
    /// The key of the forward entry: the client's packets.
    pub forward: FlowKey<A>,
    /// The key of the reverse entry.
    pub reverse: FlowKey<A>,
    /// The client's next hop.
    pub hop: NextHop,
    /// The service.
    pub service: Service,
    /// The state that the pair begins with.
    pub word: StateWord,
    /// The backend.
    pub backend: BackendId,
}

/// How an attempt to enter a pair ended.
#[derive(Clone, Copy)]
pub enum Entered {
    /// Both entries are there.
    Yes,
    /// The port belongs to a flow.
    PortTaken,
    /// The port belongs to a handshake that may be given up for this one.
    PortHalfOpen,
    /// Another CPU has entered the same client's flow.
    Lost,
}

/// The draft of this CPU.
#[inline(always)]
pub fn draft<F: Family>() -> Step<&'static mut Draft<F::Address>> {
    let draft = F::drafts().get_ptr_mut(0).ok_or(Counter::DropInternal)?;
    // SAFETY: the place is this CPU's own, a run of the program is not interrupted by another on the same CPU, and no step
    // of a run asks for it while another holds it.
    Ok(unsafe { &mut *draft })
}

/// Begins a draft with the packet of a client: its key, and figures of one packet.
#[inline(always)]
pub fn begin<F: Family>(packet: &Packet<'_, F>, draft: &mut Draft<F::Address>) {
    let segment = &packet.segment;
    draft.forward = segment.key;
    draft.figures = FlowMeta {
        created: packet.now.0,
        last_seen: packet.now.0,
        packets: 1,
        bytes: u64::from(segment.ip_length),
        next_sequence: segment.sequence.wrapping_add(tcp::sequence_length(segment.payload, segment.flags)),
        last_acknowledgment: segment.acknowledgment,
        ..FlowMeta::default()
    };
}

/// Sends the first packet of the pair that has just been entered to its backend. Not for the steps that enter it: their
/// part of the stack is wanted here.
#[inline(always)]
pub fn send<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    let Ok(draft) = draft::<F>() else {
        return Verdict::dropped(Counter::DropInternal);
    };
    match hop::<F>(draft) {
        Ok(hop) => nat::send_slowly::<F>(&packet.ctx, packet.segment, &draft.reverse, hop, packet.settings),
        Err(verdict) => verdict,
    }
}

/// The way to the backend of a draft.
#[inline(always)]
pub fn hop<F: Family>(draft: &Draft<F::Address>) -> Step<NextHop> {
    let backend = F::backends().get(u32::from(draft.backend)).ok_or(Counter::DropInternal)?;
    Ok(NextHop { mac: backend.mac, link: backend.link })
}

/// Copies both entries of a pair out of the lower tier, where their slots may be given away at any moment, and inserts
/// them into the flow table. `false` where it has no room, or the pair is not what it was.
#[inline(always)]
pub fn promote<F: Family>(
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    twin_key: &FlowKey<F::Address>,
    twin: Entry<F::Address>,
) -> bool {
    let Ok(draft) = draft::<F>() else {
        return false;
    };
    draft.entry.flow = *twin.value();
    draft.reverse = *twin_key;
    let flow = &draft.entry.flow;
    let is_ours = entry::same_key(&flow.twin, key) && StateWord(flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(&draft.reverse, &draft.entry) {
        return false;
    }
    draft.entry.flow = *entry.value();
    let flow = &draft.entry.flow;
    let is_ours = entry::same_key(&flow.twin, twin_key) && StateWord(flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(key, &draft.entry) {
        Tier::Flows.remove::<F>(&draft.reverse);
        return false;
    }
    true
}

/// Enters both directions with this SNAT port: the reverse entry first, because it is the one that others compete for.
#[inline(never)]
pub fn pair<F: Family>(packet: &Packet<'_, F>, draft: &mut Draft<F::Address>, port: u16) -> Entered {
    if set_reverse_key::<F>(draft, port).is_none() {
        return Entered::Lost;
    }
    if let Some(entry) = Tier::Flows.get::<F>(&draft.reverse) {
        let over = entry.word().state() == State::Closed
            && pair::is_expired::<F>(Tier::Flows, packet.settings, &draft.reverse, entry, packet.now);
        if !over || !pair::delete::<F>(Tier::Flows, &draft.reverse, entry, State::Closed) {
            return Entered::PortTaken;
        }
    }
    write_reverse(packet, draft);
    if !Tier::HalfOpen.insert_new::<F>(&draft.reverse, &draft.entry) {
        if let Some(taken) = occupied::<F>(packet, &draft.reverse) {
            return taken;
        }
        give_up::<F>(&draft.reverse);
        if !Tier::HalfOpen.insert_new::<F>(&draft.reverse, &draft.entry) {
            return Entered::PortTaken;
        }
    }
    // Another CPU may have promoted a pair with this port between the look above and the insertion.
    if Tier::Flows.get::<F>(&draft.reverse).is_some() {
        Tier::HalfOpen.remove::<F>(&draft.reverse);
        return Entered::PortTaken;
    }
    write_forward::<F>(draft);
    if !Tier::HalfOpen.insert_new::<F>(&draft.forward, &draft.entry) {
        Tier::HalfOpen.remove::<F>(&draft.reverse);
        return Entered::Lost;
    }
    Entered::Yes
}

/// Gives up the handshake that holds a port.
#[inline(never)]
pub fn free<F: Family>(draft: &mut Draft<F::Address>, port: u16) {
    if set_reverse_key::<F>(draft, port).is_some() {
        give_up::<F>(&draft.reverse);
    }
}

/// The key of the backend's packets for a SNAT port.
#[inline(always)]
fn set_reverse_key<F: Family>(draft: &mut Draft<F::Address>, port: u16) -> Option<()> {
    let backend = F::backends().get(u32::from(draft.backend))?;
    let vip_is_source = backend.snat_is_vip >> (draft.service.vip & 31) & 1 != 0;
    let source = if vip_is_source { draft.forward.destination } else { backend.snat_address };
    draft.reverse = FlowKey::new(backend.address, draft.service.backend_port, source, port.to_be_bytes());
    Some(())
}

#[inline(always)]
fn write_reverse<F: Family>(packet: &Packet<'_, F>, draft: &mut Draft<F::Address>) {
    draft.entry.flow = Flow { meta: FlowMeta::default(), twin: draft.forward };
    let meta = &mut draft.entry.flow.meta;
    meta.created = draft.figures.created;
    meta.last_seen = packet.now.0;
    meta.backend = draft.backend;
    meta.state = draft.word.with(flow_flags::REVERSE).0;
    meta.mac = draft.hop.mac;
    meta.link = draft.hop.link;
}

/// Turns the draft of the reverse entry into that of the forward entry.
#[inline(always)]
fn write_forward<F: Family>(draft: &mut Draft<F::Address>) {
    let flow = &mut draft.entry.flow;
    flow.twin = draft.reverse;
    flow.meta = draft.figures;
    flow.meta.state = draft.word.0;
    flow.meta.backend = draft.backend;
}

/// How a port is held in the lower tier; `None` where its pair is over and may be deleted.
#[inline(always)]
fn occupied<F: Family>(packet: &Packet<'_, F>, reverse: &FlowKey<F::Address>) -> Option<Entered> {
    let Some(entry) = Tier::HalfOpen.get::<F>(reverse) else {
        return Some(Entered::PortTaken);
    };
    match entry.word().state() {
        State::SynSent if pair::idle::<F>(Tier::HalfOpen, reverse, entry, packet.now) > STALE_HANDSHAKE => {
            None
        }
        State::SynSent => Some(Entered::PortHalfOpen),
        State::Closed
            if pair::is_expired::<F>(Tier::HalfOpen, packet.settings, reverse, entry, packet.now) =>
        {
            None
        }
        // It waits, but under pressure it is worth no more than a handshake, or a flood of SYNs that come twice, or with a
        // RST behind them, would hold all ports.
        State::Closed if !was_established::<F>(reverse, entry) => Some(Entered::PortHalfOpen),
        _ => Some(Entered::PortTaken),
    }
}

/// Whether a closed pair of the lower tier has been a connection that the flow table had no room for, or one that was
/// ended by us and answers for a while. It has not where `redispatch` took it back and left half of it.
#[inline(always)]
fn was_established<F: Family>(reverse: &FlowKey<F::Address>, entry: Entry<F::Address>) -> bool {
    const SIGNS: u8 = flow_flags::STAYS_BELOW | flow_flags::ADOPTED | flow_flags::RESET;
    let forward = Tier::HalfOpen.twin_of::<F>(reverse, entry.twin_in_place());
    forward.is_some_and(|forward| forward.word().has(SIGNS))
}

/// Gives up a handshake of the lower tier, or a pair of it that is closed, so that its port is free. One that has been
/// answered meanwhile stays.
#[inline(always)]
fn give_up<F: Family>(reverse: &FlowKey<F::Address>) {
    if let Some(entry) = Tier::HalfOpen.get::<F>(reverse)
        && let state @ (State::SynSent | State::Closed) = entry.word().state()
        && pair::delete::<F>(Tier::HalfOpen, reverse, entry, state)
    {
        maps::count(Counter::HalfOpenTakenOver);
    }
}
