//! Entering a new pair into the lower tier: put together in a draft, inserted without overwriting anybody.

use lb_common::{
    abi::{Address, BackendId, Flow, FlowKey, FlowMeta, HalfOpen, NextHop, Service, StateWord, flow_flags},
    counters::Counter,
    tcp::{self, State, flags::ACK},
};

use crate::{
    entry::{self, Entry},
    family::Family,
    forward::Packet,
    global::{Word, global},
    maps,
    pair::{self, Tier},
    redispatch::Plan,
    verdict::Step,
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
    /// Where the packet goes that is sent next: with the key above as that of its twin.
    pub way: NextHop,
    /// The service.
    pub service: Service,
    /// The state that the pair begins with.
    pub word: StateWord,
    /// The backend.
    pub backend: BackendId,
}

/// How an attempt to enter a pair ended.
#[derive(Clone, Copy)]
#[repr(u32)]
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

impl Word for Entered {
    const DEFECT: Self = Self::Lost;

    #[inline(always)]
    fn word(self) -> u32 {
        self as u32
    }

    #[inline(always)]
    fn from_word(word: u32) -> Self {
        match word {
            0 => Self::Yes,
            1 => Self::PortTaken,
            2 => Self::PortHalfOpen,
            _ => Self::Lost,
        }
    }
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
        last_acknowledgment: if segment.flags & ACK == 0 { 0 } else { segment.acknowledgment },
        ..FlowMeta::default()
    };
}

/// Copies both entries of a pair out of the lower tier, where their slots may be given away at any moment, and inserts
/// them into the flow table. The draft has the twin's key. `false` where it has no room, or the pair is not what it was.
#[inline(always)]
pub fn promote<F: Family>(
    draft: &mut Draft<F::Address>,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
) -> bool {
    draft.entry.flow = *twin.value();
    let flow = &draft.entry.flow;
    let is_ours = entry::same_key(&flow.twin, key) && StateWord(flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(&draft.reverse, &draft.entry) {
        return false;
    }
    draft.entry.flow = *entry.value();
    let flow = &draft.entry.flow;
    let is_ours =
        entry::same_key(&flow.twin, &draft.reverse) && StateWord(flow.meta.state).state() != State::Dead;
    if !is_ours || !Tier::Flows.insert_new::<F>(key, &draft.entry) {
        Tier::Flows.remove::<F>(&draft.reverse);
        return false;
    }
    true
}

global! {
    /// Enters both directions of the draft with this SNAT port: the reverse entry first, because it is the one that others
    /// compete for.
    pub fn pair(port: u32) [] -> Entered = both_directions as enter_v4, enter_v6;

    /// Gives up the handshake that holds a port.
    pub fn free(port: u32) [] -> () = free_port as free_v4, free_v6;
}

#[inline(always)]
fn both_directions<F: Family>(packet: &Packet<'_, F>, port: u32) -> Entered {
    let Ok(draft) = draft::<F>() else {
        return Entered::Lost;
    };
    let port = port as u16;
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

#[inline(always)]
fn free_port<F: Family>(_packet: &Packet<'_, F>, port: u32) {
    if let Ok(draft) = draft::<F>()
        && set_reverse_key::<F>(draft, port as u16).is_some()
    {
        give_up::<F>(&draft.reverse);
    }
}

/// The key of the backend's packets for a SNAT port.
#[inline(always)]
fn set_reverse_key<F: Family>(draft: &mut Draft<F::Address>, port: u16) -> Option<()> {
    let backend = F::backends().get(u32::from(draft.backend))?;
    let vip_is_source = backend.snat_is_vip >> (draft.service.vip & 31) & 1 != 0;
    let source = if vip_is_source { draft.forward.destination } else { backend.snat_address };
    draft.way = NextHop { mac: backend.mac, link: backend.link };
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
