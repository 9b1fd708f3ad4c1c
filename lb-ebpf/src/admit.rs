//! A new connection: choose a backend, allocate a SNAT port, enter both directions.

use core::ffi::c_void;

use aya_ebpf::helpers;
use lb_common::{
    abi::{BackendId, Service, StateWord, backend_state},
    counters::Counter,
    limits::PORT_CANDIDATES,
    tcp::State,
};

use crate::{
    choose,
    enter::{self, Entered},
    family::Family,
    forward::{self, Packet},
    global::global,
    maps, next_hop, redispatch, syn,
    verdict::{self, Step, Verdict},
};

/// Backends tried before a SYN is dropped for want of one whose link-layer address is known: all of a control plane of
/// five.
pub const BACKEND_TRIES: u32 = 5;

global! {
    /// Admits a SYN to the draft's service. The verdict is to go on where its pair has been entered, as the draft says.
    pub fn connection() [] -> Verdict = of_syn as admit_v4, admit_v6;
}

#[inline(always)]
fn of_syn<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    verdict::of(admit(packet))
}

#[inline(always)]
fn admit<F: Family>(packet: &Packet<'_, F>) -> Step<Verdict> {
    refuse_martians(packet)?;
    let hash = choose::hash(packet);
    let draft = enter::draft::<F>()?;
    next_hop::of_client(packet, &mut draft.hop).go_on()?;
    draft.backend = usable_backend(packet, &draft.service, hash)?;
    if draft.backend == 0 {
        return Ok(Verdict::answer(Counter::ResetNoBackend));
    }
    enter::begin(packet, draft);
    let syn = &mut draft.entry.syn;
    syn::keep(packet, syn).go_on()?;
    (syn.hash, syn.backend) = (hash, draft.backend);
    draft.word = StateWord::new(State::SynSent, 0, 0, draft.service.id);
    allocate(packet, hash, 1).go_on()?;
    maps::count(Counter::FlowOpened);
    Ok(Verdict::GO_ON)
}

/// Drops what comes from an address that cannot be a client's, ours included.
#[inline(always)]
pub fn refuse_martians<F: Family>(packet: &Packet<'_, F>) -> Step<()> {
    let source = &packet.segment.key.source;
    if F::is_martian(source) || forward::is_our_address::<F>(source) {
        return Err(Counter::DropMartianSource.into());
    }
    Ok(())
}

/// The policy's backend, or the next one that can be reached; 0 where the service has none.
#[inline(always)]
fn usable_backend<F: Family>(packet: &Packet<'_, F>, service: &Service, hash: u64) -> Step<BackendId> {
    let first = choose::backend(packet, service, hash);
    if first == 0 || is_usable::<F>(first) {
        return Ok(first);
    }
    for attempt in 1..BACKEND_TRIES {
        let id = choose::other(service, hash, attempt, first);
        if is_usable::<F>(id) {
            return Ok(id);
        }
    }
    Err(Counter::DropNoNextHop.into())
}

/// Whether a backend can be reached.
#[inline(always)]
pub fn is_usable<F: Family>(id: BackendId) -> bool {
    F::backends().get(u32::from(id)).is_some_and(|backend| backend.state == backend_state::ACTIVE)
}

/// What the loop over the candidate ports carries along.
struct Allocation<'a, F: Family> {
    packet: &'a Packet<'a, F>,
    hash: u64,
    /// The first candidate that is held by a mere handshake; `PORT_CANDIDATES` for none.
    half_open: u32,
    end: AllocationEnd,
}

/// How the loop ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AllocationEnd {
    Exhausted,
    Entered,
    Lost,
}

/// Rounds for one backend: one more than there are candidates. Where every port is in use, one of them by a mere handshake,
/// that is given up, because a flood must not refuse a connection.
const ROUNDS: u32 = PORT_CANDIDATES + 1;

/// Goes through the candidate ports of the draft's connection until its pair is entered: those at the draft's backend, and
/// with more `backends` than one those at the next ones of its sequence.
#[inline(always)]
pub fn allocate<F: Family>(packet: &Packet<'_, F>, hash: u64, backends: u32) -> Verdict {
    let mut allocation =
        Allocation { packet, hash, half_open: PORT_CANDIDATES, end: AllocationEnd::Exhausted };
    // A loop of the kernel's, because the verifier goes through a loop of ours once for every candidate.
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop(
            ROUNDS * backends,
            try_candidate::<F> as *mut c_void,
            (&raw mut allocation).cast(),
            0,
        );
    }
    match allocation.end {
        AllocationEnd::Entered => Verdict::GO_ON,
        AllocationEnd::Lost => Verdict::dropped(Counter::DropBeingCollected),
        AllocationEnd::Exhausted => Verdict::answer(Counter::ResetNoPort),
    }
}

/// One round: the candidate with this index.
extern "C" fn try_candidate<F: Family>(index: u32, allocation: *mut c_void) -> i64 {
    // SAFETY: `allocate` gave its own state, which nobody else uses during the loop.
    let allocation = unsafe { &mut *allocation.cast::<Allocation<'_, F>>() };
    if index >= ROUNDS && index.is_multiple_of(ROUNDS) {
        if !redispatch::moves_on::<F>(&allocation.packet.ctx) {
            return 1;
        }
        allocation.half_open = PORT_CANDIDATES;
    }
    let index = index % ROUNDS;
    let is_last = index == PORT_CANDIDATES;
    let index = if is_last { allocation.half_open } else { index };
    if index >= PORT_CANDIDATES {
        return 0;
    }
    let port = allocation.packet.settings.snat_ports().candidate(allocation.hash, index);
    if is_last {
        enter::free::<F>(&allocation.packet.ctx, port.into());
    }
    match enter::pair::<F>(&allocation.packet.ctx, port.into()) {
        Entered::Yes => allocation.end = AllocationEnd::Entered,
        Entered::Lost => allocation.end = AllocationEnd::Lost,
        Entered::PortHalfOpen if allocation.half_open == PORT_CANDIDATES => allocation.half_open = index,
        Entered::PortHalfOpen | Entered::PortTaken => {}
    }
    if allocation.end != AllocationEnd::Exhausted {
        return 1;
    }
    maps::count(Counter::PortCollision);
    0
}
