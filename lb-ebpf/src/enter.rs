//! Entering a new pair into the lower tier: put together in a draft, inserted without overwriting anybody.

use lb_common::{
    abi::{Address, BackendId, Flow, FlowKey, FlowMeta, NextHop, Service, StateWord, flow_flags},
    counters::Counter,
    tcp::{self, State},
};

use crate::{
    entry::{self, Entry},
    family::Family,
    forward::Packet,
    maps, nat,
    pair::{self, Tier},
    verdict::{Step, Verdict},
};

/// A half-open pair this old, in ticks (one second), may be taken over at once: a client that still waits has sent its
/// SYN again by then or will, and that SYN finds a new place.
const STALE_HANDSHAKE: u32 = 60;

/// Where a new pair is put together: one for each CPU, because the stack is too small.
#[repr(C)]
pub struct Draft<A: Address> {
    /// The entry that is inserted next.
    flow: Flow<A>,
    /// The key of the reverse entry.
    reverse: FlowKey<A>,
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
    // SAFETY: the place is this CPU's own, a run of the program is not interrupted by another on the same CPU, and each
    // run asks for it once.
    Ok(unsafe { &mut *draft })
}

/// Sends the first packet of the pair that has just been entered to its backend.
#[inline(always)]
pub fn send<F: Family>(packet: &Packet<F>, draft: &Draft<F::Address>) -> Step<Verdict> {
    let backend = F::backends().get(u32::from(draft.backend)).ok_or(Counter::DropInternal)?;
    let hop = NextHop { mac: backend.mac, link: backend.link };
    Ok(nat::send_slowly::<F>(&packet.ctx, &packet.segment, &draft.reverse, hop, packet.settings))
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
    draft.flow = *twin.value();
    draft.reverse = *twin_key;
    let is_ours =
        entry::same_key(&draft.flow.twin, key) && StateWord(draft.flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(&draft.reverse, &draft.flow) {
        return false;
    }
    draft.flow = *entry.value();
    let is_ours = entry::same_key(&draft.flow.twin, twin_key)
        && StateWord(draft.flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(key, &draft.flow) {
        Tier::Flows.remove::<F>(&draft.reverse);
        return false;
    }
    true
}

/// Enters both directions with this SNAT port: the reverse entry first, because it is the one that others compete for.
#[inline(never)]
pub fn pair<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>, port: u16) -> Entered {
    if set_reverse_key(packet, draft, port).is_none() {
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
    if !Tier::HalfOpen.insert_new::<F>(&draft.reverse, &draft.flow) {
        if let Some(taken) = occupied::<F>(packet, &draft.reverse) {
            return taken;
        }
        give_up::<F>(&draft.reverse);
        if !Tier::HalfOpen.insert_new::<F>(&draft.reverse, &draft.flow) {
            return Entered::PortTaken;
        }
    }
    // Another CPU may have promoted a pair with this port between the look above and the insertion.
    if Tier::Flows.get::<F>(&draft.reverse).is_some() {
        Tier::HalfOpen.remove::<F>(&draft.reverse);
        return Entered::PortTaken;
    }
    write_forward(packet, draft);
    if !Tier::HalfOpen.insert_new::<F>(&packet.segment.key, &draft.flow) {
        Tier::HalfOpen.remove::<F>(&draft.reverse);
        return Entered::Lost;
    }
    Entered::Yes
}

/// The same with a port that a handshake holds, which is given up.
#[inline(always)]
pub fn take_over<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>, port: u16) -> Entered {
    if set_reverse_key(packet, draft, port).is_none() {
        return Entered::Lost;
    }
    give_up::<F>(&draft.reverse);
    pair(packet, draft, port)
}

/// The key of the backend's packets for a SNAT port.
#[inline(always)]
fn set_reverse_key<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>, port: u16) -> Option<()> {
    let backend = F::backends().get(u32::from(draft.backend))?;
    let vip_is_source = backend.snat_is_vip >> (draft.service.vip & 31) & 1 != 0;
    let source = if vip_is_source { packet.segment.key.destination } else { backend.snat_address };
    draft.reverse = FlowKey::new(backend.address, draft.service.backend_port, source, port.to_be_bytes());
    Some(())
}

#[inline(always)]
fn write_reverse<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>) {
    draft.flow = Flow { meta: FlowMeta::default(), twin: packet.segment.key };
    let meta = &mut draft.flow.meta;
    meta.created = packet.now.0;
    meta.last_seen = packet.now.0;
    meta.backend = draft.backend;
    meta.state = draft.word.with(flow_flags::REVERSE).0;
    meta.mac = draft.hop.mac;
    meta.link = draft.hop.link;
}

/// Turns the draft of the reverse entry into that of the forward entry, which has seen one packet.
#[inline(always)]
fn write_forward<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>) {
    let segment = &packet.segment;
    draft.flow.twin = draft.reverse;
    let meta = &mut draft.flow.meta;
    meta.state = draft.word.0;
    meta.packets = 1;
    meta.bytes = u64::from(segment.ip_length);
    meta.next_sequence = segment.sequence.wrapping_add(tcp::sequence_length(segment.payload, segment.flags));
    meta.last_acknowledgment = segment.acknowledgment;
}

/// How a port is held in the lower tier; `None` where its pair is over and may be deleted.
#[inline(always)]
fn occupied<F: Family>(packet: &Packet<F>, reverse: &FlowKey<F::Address>) -> Option<Entered> {
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
        _ => Some(Entered::PortTaken),
    }
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
