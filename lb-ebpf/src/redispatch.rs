//! A handshake that its backend does not take is offered to the next one, before the client hears of it.
//!
//! ```text
//!  what comes in SYN-SENT                                      goes on as the client's SYN
//!  RST, ICMP unreachable                                  ───► to the next backend
//!  an ACK or SYN-ACK that is not ours (the backend holds
//!  another connection at this address and port)           ───► from the next port, to the same backend
//!  the client's SYN again (the backend is silent)         ───► to the next backend
//! ```
//!
//! The sequence is that of the flow's hash, and bounded: the refusal reaches the client when all have refused. A client
//! that goes on asking is sent around again.
//!
//! Decided where the packet is judged ([`plan`]), carried out where the stack is flat again ([`connection`]).

use core::ffi::c_void;

use aya_ebpf::helpers;
use lb_common::{
    abi::{BackendId, FlowKey, ServiceId, StateWord, Syn, flow_flags},
    counters::Counter,
    limits::{REDISPATCH_BACKENDS, REDISPATCH_PORTS},
    tcp::{
        Direction, State,
        flags::{ACK, FIN, RST, SYN},
    },
};

use crate::{
    admit, choose,
    enter::{self, Draft},
    entry::Entry,
    evidence::{self, Evidence},
    family::Family,
    forward::Packet,
    half_open, maps,
    pair::Tier,
    syn,
    verdict::{Step, Verdict},
};

/// Why a connection is offered elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A RST, or an ICMP error that nobody is there.
    Refused,
    /// The backend holds another connection at this address and port.
    Foreign,
    /// The client's SYN came again, and nothing else.
    Silence,
}

const _: () = assert!(REDISPATCH_BACKENDS <= 15 && REDISPATCH_PORTS <= 15, "half an attempt has four bits");

/// Where a connection is offered next. It lies in the draft until it is carried out.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plan {
    /// To whom.
    backend: BackendId,
    /// The attempt that it is: which of its backends in the upper half, how many foreign ports there in the lower.
    attempt: u8,
    /// 1 where the packet is the client's own SYN, 0 where it has to be made.
    by_client: u8,
}

/// Judges a packet of a pair in SYN-SENT. The verdict is to go on where the packet is the answer that was waited for, or
/// where there is nobody else to offer the connection to.
#[inline(never)]
pub fn plan<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>, twin: Entry<F::Address>) -> Verdict {
    let word = entry.word();
    let forward = if word.direction() == Direction::Forward { entry } else { twin };
    // SAFETY: the caller found the pair in the lower tier.
    let syn = unsafe { forward.syn() };
    let Some(cause) = cause_of(packet, word.direction(), forward, syn) else {
        return Verdict::GO_ON;
    };
    if cause == Cause::Silence {
        maps::count(Counter::SynRetransmitted);
        if packet.now.since(forward.created()) >= evidence::SILENCE {
            evidence::tell(entry.backend(), word.service(), Evidence::Silent, packet.now);
        }
    } else if cause == Cause::Refused {
        evidence::tell(entry.backend(), word.service(), Evidence::Refused, packet.now);
    }
    elsewhere::<F>(entry, syn, cause)
}

/// Judges an ICMP error: if it is about a SYN of ours, that is offered elsewhere; else it is the host's own business.
#[inline(never)]
pub fn unreachable<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    const NOT_OURS: Verdict = Verdict::pass(Counter::PassedNotOurs);
    let key = &packet.segment.key;
    let Some(entry) = Tier::HalfOpen.get::<F>(key) else {
        return NOT_OURS;
    };
    let Some(twin) = Tier::HalfOpen.twin_of::<F>(key, entry.twin_in_place()) else {
        return NOT_OURS;
    };
    let word = entry.word();
    // SAFETY: the pair was found in the lower tier.
    let syn = unsafe { twin.syn() };
    let is_ours = word.state() == State::SynSent
        && word.direction() == Direction::Reverse
        && !word.has(flow_flags::RESET)
        && packet.segment.sequence == syn.sequence;
    if !is_ours {
        return NOT_OURS;
    }
    evidence::tell(entry.backend(), word.service(), Evidence::Unreachable, packet.now);
    match elsewhere::<F>(entry, syn, Cause::Refused) {
        Verdict::GO_ON => NOT_OURS,
        verdict => verdict,
    }
}

/// What a packet in SYN-SENT shows, if it is not the answer that was waited for.
#[inline(always)]
fn cause_of<F: Family>(
    packet: &Packet<'_, F>,
    direction: Direction,
    forward: Entry<F::Address>,
    syn: &Syn,
) -> Option<Cause> {
    let segment = &packet.segment;
    let flags = segment.flags & (SYN | ACK | RST | FIN);
    if direction == Direction::Forward {
        return (flags == SYN).then_some(Cause::Silence);
    }
    // A SYN with data may be acknowledged with its data or without.
    let first = syn::acknowledged_by(syn);
    let is_ours = segment.acknowledgment.wrapping_sub(first) <= forward.next_sequence().wrapping_sub(first);
    match flags {
        _ if flags & ACK == 0 => None,
        _ if flags & RST != 0 => is_ours.then_some(Cause::Refused),
        _ if flags & SYN != 0 && is_ours => None,
        _ => Some(Cause::Foreign),
    }
}

/// Where the connection goes next.
#[inline(always)]
fn elsewhere<F: Family>(entry: Entry<F::Address>, syn: &Syn, cause: Cause) -> Verdict {
    let Ok(draft) = enter::draft::<F>() else {
        return Verdict::GO_ON;
    };
    let word = entry.word();
    let attempt = word.attempt();
    let plan = &mut draft.plan;
    plan.by_client = u8::from(cause == Cause::Silence);
    if cause == Cause::Foreign && attempt & 0xf < REDISPATCH_PORTS - 1 {
        plan.backend = entry.backend();
        plan.attempt = attempt + 1;
        return Verdict::REDISPATCH;
    }
    plan.backend = entry.backend();
    plan.attempt = attempt;
    if next_backend::<F>(word.service(), syn, plan) {
        return Verdict::REDISPATCH;
    }
    if cause != Cause::Silence {
        maps::count(Counter::RefusalPassed);
    }
    Verdict::GO_ON
}

/// What the loop over the backends carries along.
struct Search<'a> {
    syn: &'a Syn,
    plan: &'a mut Plan,
    service: ServiceId,
    /// The last index of the sequence.
    last: u32,
    found: bool,
}

/// Finds the next usable backend of a flow's sequence; `false` where there is none.
#[inline(always)]
fn next_backend<F: Family>(service: ServiceId, syn: &Syn, plan: &mut Plan) -> bool {
    let count = choose::count(service);
    let last = if count < REDISPATCH_BACKENDS { count } else { REDISPATCH_BACKENDS };
    let mut search = Search { syn, plan, service, last, found: false };
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop(REDISPATCH_BACKENDS, try_backend::<F> as *mut c_void, (&raw mut search).cast(), 0)
    };
    search.found
}

/// One round: the backend so many places behind the present one.
extern "C" fn try_backend<F: Family>(round: u32, search: *mut c_void) -> i64 {
    // SAFETY: `next_backend` gave its own state, which nobody else uses during the loop.
    let search = unsafe { &mut *search.cast::<Search<'_>>() };
    let mut index = u32::from(search.plan.attempt >> 4) + round + 1;
    if index > search.last {
        // All have been asked. A client that goes on asking begins again.
        if search.plan.by_client == 0 {
            return 1;
        }
        index = index.checked_rem(search.last + 1).unwrap_or(0);
    }
    let id = choose::candidate(search.service, search.syn.hash, index, search.syn.backend);
    if id == 0 || id == search.plan.backend || !admit::is_usable::<F>(id) {
        return 0;
    }
    search.plan.backend = id;
    search.plan.attempt = (index << 4) as u8;
    search.found = true;
    1
}

/// Carries out a plan: takes the old mapping back, enters the new one, and makes the SYN. The verdict is to go on where the
/// packet is the SYN itself.
#[inline(never)]
pub fn connection<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    let Ok(draft) = enter::draft::<F>() else {
        return Verdict::dropped(Counter::DropInternal);
    };
    match carry_out(packet, draft) {
        Ok(verdict) => verdict,
        // Whoever refused is not answered; the client is.
        Err(verdict) if draft.plan.by_client != 0 => verdict,
        Err(_) => Verdict::dropped(Counter::DropRedispatchFailed),
    }
}

#[inline(always)]
fn carry_out<F: Family>(packet: &Packet<'_, F>, draft: &mut Draft<F::Address>) -> Step<Verdict> {
    let lost = Verdict::dropped(Counter::DropRedispatchFailed);
    let key = &packet.segment.key;
    let entry = Tier::HalfOpen.get::<F>(key).ok_or(lost)?;
    let twin = Tier::HalfOpen.twin_of::<F>(key, entry.twin_in_place()).ok_or(lost)?;
    let (forward, reverse) = if draft.plan.by_client != 0 { (entry, twin) } else { (twin, entry) };
    draft.forward = reverse.twin();
    draft.figures = *forward.meta();
    draft.hop = reverse.hop();
    // SAFETY: the pair was found in the lower tier.
    draft.entry.syn = unsafe { *forward.syn() };
    draft.service = half_open::service_of::<F>(&draft.forward).ok_or(lost)?;
    if draft.plan.by_client != 0 {
        forward.touch(packet.segment, packet.now);
        draft.figures = *forward.meta();
        syn::keep(packet, &mut draft.entry.syn).go_on()?;
    }
    draft.figures.last_seen = packet.now.0;
    let moved = draft.plan.backend != forward.backend();
    draft.backend = draft.plan.backend;
    draft.word = StateWord::new(State::SynSent, 0, draft.plan.attempt, draft.service.id);
    undo::<F>(&draft.forward, forward, reverse, packet).ok_or(lost)?;
    let hash = draft.entry.syn.hash;
    admit::allocate(packet, draft, hash).go_on()?;
    maps::count(if moved { Counter::Redispatched } else { Counter::RedispatchedPort });
    if draft.plan.by_client != 0 {
        return Ok(Verdict::GO_ON);
    }
    Ok(syn::send(packet, draft, &enter::hop::<F>(draft)?))
}

/// Takes the old mapping back. Its reverse entry stays, closed and without a twin: the old backend may hold the
/// connection half open, and so the port is not free at once.
#[inline(always)]
fn undo<F: Family>(
    forward_key: &FlowKey<F::Address>,
    forward: Entry<F::Address>,
    reverse: Entry<F::Address>,
    packet: &Packet<'_, F>,
) -> Option<()> {
    let word = forward.word();
    if word.state() != State::SynSent || !forward.exchange(word, word.with_state(State::Dead)) {
        return None;
    }
    let word = reverse.word();
    reverse.exchange(word, word.with_state(State::Closed));
    reverse.set_last_seen(packet.now);
    Tier::HalfOpen.remove::<F>(forward_key);
    Some(())
}
