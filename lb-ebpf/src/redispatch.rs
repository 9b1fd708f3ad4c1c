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
    abi::{Address, BackendId, FlowKey, HalfOpen, ServiceId, StateWord, Syn, flow_flags, syn_marks},
    counters::Counter,
    limits::{REDISPATCH_BACKENDS, REDISPATCH_CROWDED, REDISPATCH_PORTS},
    tcp::{
        Direction, State,
        flags::{ACK, FIN, RST, SYN},
    },
};

use crate::{
    admit, choose, enter,
    entry::Entry,
    evidence::{self, Evidence},
    family::Family,
    forward::Packet,
    global::global,
    half_open, maps,
    pair::{self, Tier},
    syn,
    verdict::{Step, Verdict},
};

/// Why a connection is offered elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A RST.
    Refused,
    /// An ICMP error that nobody is there.
    Unreachable,
    /// The backend holds another connection at this address and port.
    Foreign,
    /// The client's SYN came again, and nothing else.
    Silence,
}

/// The bit of an attempt that says that the client is being sent through the backends again.
const AGAIN: u8 = 0x08;

const _: () = assert!(
    REDISPATCH_BACKENDS <= 15 && REDISPATCH_PORTS <= AGAIN,
    "an attempt has four bits for backends, three for ports"
);

/// Where a connection is offered next. It lies in the draft until it is carried out.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plan {
    /// To whom.
    backend: BackendId,
    /// The attempt that it is: the upper half is 0 for the policy's choice, else how far it is in the list of backends;
    /// below are [`AGAIN`] and how many foreign ports there were at this one.
    attempt: u8,
    /// 1 where the packet is the client's own SYN, 0 where it has to be made.
    by_client: u8,
}

/// Whether a pair may go elsewhere: its SYN has no answer, and nobody wants to have it reset.
#[inline(always)]
pub fn may_move<A: Address>(entry: Entry<A>, twin: Entry<A>) -> bool {
    let word = entry.word();
    word.state() == State::SynSent && !word.has(flow_flags::RESET) && !twin.word().has(flow_flags::RESET)
}

global! {
    /// Judges a packet of a pair in SYN-SENT. The verdict is to go on where the packet is the answer that was waited for, or
    /// where there is nobody else to offer the connection to.
    pub fn plan() [entry: HalfOpen, twin: HalfOpen] -> Verdict = of_pair as plan_v4, plan_v6;

    /// Judges an ICMP error: if it is about a SYN of ours, that is offered elsewhere; else it is the host's own business.
    pub fn unreachable() [] -> Verdict = of_error as unreachable_v4, unreachable_v6;

    /// Carries out a plan: takes the old mapping back, enters the new one, and makes the SYN. The verdict is to go on where
    /// the packet is the SYN itself.
    pub fn connection() [] -> Verdict = offer as redispatch_v4, redispatch_v6;
}

#[inline(always)]
fn of_pair<F: Family>(
    packet: &Packet<'_, F>,
    entry: *mut HalfOpen<F::Address>,
    twin: *mut HalfOpen<F::Address>,
) -> Verdict {
    let (Ok(entry), Ok(twin)) = (Entry::named_half_open(entry), Entry::named_half_open(twin)) else {
        return Verdict::dropped(Counter::DropInternal);
    };
    let word = entry.word();
    let (mut forward, reverse) =
        if word.direction() == Direction::Forward { (entry, twin) } else { (twin, entry) };
    // SAFETY: the caller found the pair in the lower tier.
    let syn = unsafe { forward.syn() };
    let Some(cause) = cause_of(packet, word.direction(), forward, syn) else {
        return Verdict::GO_ON;
    };
    let key = evidence::of::<F>(entry, word);
    if cause == Cause::Refused {
        evidence::tell(&key, Evidence::Refused, syn, packet.now);
    }
    if cause != Cause::Silence {
        return elsewhere::<F>(entry, syn, cause);
    }
    maps::count(Counter::SynRetransmitted);
    // The backend's entry is as old as the last SYN that the backend was sent.
    if packet.now.since(reverse.last_seen()) >= evidence::SILENCE {
        evidence::tell(&key, Evidence::Silent, syn, packet.now);
    }
    match elsewhere::<F>(entry, syn, cause) {
        // What is answered from now on is this SYN, which may be another one.
        Verdict::GO_ON => {
            reverse.set_last_seen(packet.now);
            // SAFETY: the pair is in the lower tier, and the reference above is not used any more.
            syn::keep(packet, unsafe { forward.syn_mut() })
        }
        verdict => verdict,
    }
}

#[inline(always)]
fn of_error<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    let key = &packet.segment.key;
    let Some(entry) = Tier::HalfOpen.get::<F>(key) else {
        return Verdict::NOT_OURS;
    };
    let Some(twin) = Tier::HalfOpen.twin_of::<F>(key, entry.twin_in_place()) else {
        return Verdict::NOT_OURS;
    };
    let word = entry.word();
    // SAFETY: the pair was found in the lower tier.
    let syn = unsafe { twin.syn() };
    let is_ours = word.direction() == Direction::Reverse && packet.segment.sequence == syn.sequence;
    if !is_ours || !may_move(entry, twin) {
        return Verdict::NOT_OURS;
    }
    evidence::tell(&evidence::of::<F>(entry, word), Evidence::Unreachable, syn, packet.now);
    match elsewhere::<F>(entry, syn, Cause::Unreachable) {
        Verdict::GO_ON => Verdict::NOT_OURS,
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
    let is_ours = syn::is_acknowledged(syn, forward.next_sequence(), segment.acknowledgment);
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
    plan.backend = entry.backend();
    plan.attempt = attempt;
    if cause == Cause::Foreign
        && attempt & (AGAIN - 1) < REDISPATCH_PORTS - 1
        && admit::is_usable::<F>(plan.backend)
    {
        plan.attempt += 1;
        return Verdict::REDISPATCH;
    }
    if next_backend::<F>(word.service(), syn, plan) {
        return Verdict::REDISPATCH;
    }
    if matches!(cause, Cause::Refused | Cause::Foreign) {
        maps::count(Counter::RefusalPassed);
    }
    Verdict::GO_ON
}

/// What the loop over the backends carries along.
struct Search<'a> {
    syn: &'a Syn,
    plan: &'a mut Plan,
    service: ServiceId,
    /// How many of the service's backends are asked, from the place on that follows from the flow's hash.
    count: u32,
    found: bool,
}

/// Finds the next usable backend of a flow's sequence; `false` where there is none.
#[inline(always)]
fn next_backend<F: Family>(service: ServiceId, syn: &Syn, plan: &mut Plan) -> bool {
    let count = choose::count(service);
    // Where not all are asked, the policy's choice may be none of those that follow.
    let count = if count <= REDISPATCH_BACKENDS { count } else { REDISPATCH_BACKENDS - 1 };
    let mut search = Search { syn, plan, service, count, found: false };
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
    let mut index = u32::from(search.plan.attempt >> 4) + round;
    let mut again = search.plan.attempt & AGAIN;
    if index >= search.count {
        // All have been asked. A client that goes on asking is sent through them again.
        if search.plan.by_client == 0 {
            return 1;
        }
        index = index.checked_rem(search.count).unwrap_or(0);
        again = AGAIN;
    }
    let id = choose::alternative(search.service, search.syn.hash, index);
    let was_asked = id == search.plan.backend || (again == 0 && id == search.syn.backend);
    if id == 0 || was_asked || !admit::is_usable::<F>(id) {
        return 0;
    }
    search.plan.backend = id;
    search.plan.attempt = ((index + 1) << 4) as u8 | again;
    search.found = true;
    1
}

#[inline(always)]
fn offer<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    let Ok(draft) = enter::draft::<F>() else {
        return Verdict::dropped(Counter::DropInternal);
    };
    let by_client = draft.plan.by_client != 0;
    match carry_out(packet, by_client) {
        Ok(verdict) => verdict,
        // Whoever refused is not answered; the client is.
        Err(verdict) if by_client => verdict,
        Err(_) => Verdict::dropped(Counter::DropRedispatchFailed),
    }
}

#[inline(always)]
fn carry_out<F: Family>(packet: &Packet<'_, F>, by_client: bool) -> Step<Verdict> {
    let lost = Verdict::dropped(Counter::DropRedispatchFailed);
    let draft = enter::draft::<F>()?;
    let key = &packet.segment.key;
    let entry = Tier::HalfOpen.get::<F>(key).ok_or(lost)?;
    let twin = Tier::HalfOpen.twin_of::<F>(key, entry.twin_in_place()).ok_or(lost)?;
    let (forward, reverse) = if by_client { (entry, twin) } else { (twin, entry) };
    draft.forward = reverse.twin();
    draft.figures = *forward.meta();
    draft.hop = reverse.hop();
    // SAFETY: the pair was found in the lower tier.
    draft.entry.syn = unsafe { *forward.syn() };
    draft.service = half_open::service_of::<F>(&draft.forward).ok_or(lost)?;
    if by_client {
        forward.touch(packet.segment, packet.now);
        draft.figures = *forward.meta();
        syn::keep(packet, &mut draft.entry.syn).go_on()?;
    } else {
        // What we make has a right checksum, and nothing but what is kept.
        draft.entry.syn.marks |= syn_marks::SOUND;
    }
    draft.figures.last_seen = packet.now.0;
    let former = forward.backend();
    draft.backend = draft.plan.backend;
    draft.word = StateWord::new(State::SynSent, 0, draft.plan.attempt, draft.service.id);
    undo::<F>(&draft.forward, forward, reverse, packet).ok_or(lost)?;
    let hash = draft.entry.syn.hash;
    admit::allocate(packet, hash, REDISPATCH_CROWDED).go_on()?;
    let moved = enter::draft::<F>()?.backend != former;
    maps::count(if moved { Counter::Redispatched } else { Counter::RedispatchedPort });
    if by_client {
        return Ok(Verdict::GO_ON);
    }
    Ok(syn::send::<F>(&packet.ctx))
}

global! {
    /// Takes the draft to the next backend of its plan, where the one before has no port for it; `false` where there is none.
    pub fn moves_on() [] -> bool = to_the_next as moves_on_v4, moves_on_v6;
}

#[inline(always)]
fn to_the_next<F: Family>(_packet: &Packet<'_, F>) -> bool {
    let Ok(draft) = enter::draft::<F>() else {
        return false;
    };
    if !next_backend::<F>(draft.service.id, &draft.entry.syn, &mut draft.plan) {
        return false;
    }
    draft.backend = draft.plan.backend;
    draft.word = StateWord::new(State::SynSent, 0, draft.plan.attempt, draft.service.id);
    true
}

/// Takes the old mapping back. Its reverse entry stays, closed and without a twin: the old backend may hold the
/// connection half open, and so the port is not free at once. Where the backend has answered at this very moment, the
/// pair stays.
#[inline(always)]
fn undo<F: Family>(
    forward_key: &FlowKey<F::Address>,
    forward: Entry<F::Address>,
    reverse: Entry<F::Address>,
    packet: &Packet<'_, F>,
) -> Option<()> {
    let word = forward.word();
    if word.state() != State::SynSent || !pair::claim::<F>(forward_key, forward, word) {
        return None;
    }
    // Another CPU may have moved the connection between our look and our claim.
    if Tier::HalfOpen.twin_of::<F>(forward_key, forward.twin_in_place()) != Some(reverse) {
        pair::give_back(forward, word);
        return None;
    }
    let other = reverse.word();
    let closed = match other.state() {
        State::SynSent => reverse.exchange(other, other.with_state(State::Closed)),
        state => state == State::Closed,
    };
    if !closed {
        pair::give_back(forward, word.with_state(reverse.word().state()));
        return None;
    }
    reverse.set_last_seen(packet.now);
    Tier::HalfOpen.remove::<F>(forward_key);
    Some(())
}
