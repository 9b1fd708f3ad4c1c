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
    enter::{self, Draft, Entered},
    family::Family,
    forward::{self, Packet},
    maps, next_hop,
    verdict::{self, Step, Verdict},
};

/// Backends tried before a SYN is dropped for want of one whose link-layer address is known: all of a control plane of
/// five.
const BACKEND_TRIES: u32 = 5;

/// Admits a SYN.
#[inline(never)]
pub fn connection<F: Family>(packet: &Packet<F>, service: &Service) -> Verdict {
    verdict::of(admit(packet, service))
}

#[inline(always)]
fn admit<F: Family>(packet: &Packet<F>, service: &Service) -> Step<Verdict> {
    refuse_martians(packet)?;
    let hash = choose::hash(packet);
    let draft = enter::draft::<F>()?;
    next_hop::of_client(packet, &mut draft.hop).go_on()?;
    draft.backend = usable_backend(packet, service, hash)?;
    if draft.backend == 0 {
        return Ok(Verdict::answer(Counter::ResetNoBackend));
    }
    draft.service = *service;
    draft.word = StateWord::new(State::SynSent, 0, 0, service.id);
    allocate(packet, draft, hash).go_on()?;
    maps::count(Counter::FlowOpened);
    enter::send(packet, draft)
}

/// Drops what comes from an address that cannot be a client's, ours included.
#[inline(always)]
pub fn refuse_martians<F: Family>(packet: &Packet<F>) -> Step<()> {
    let source = &packet.segment.key.source;
    if F::is_martian(source) || forward::is_our_address::<F>(source) {
        return Err(Counter::DropMartianSource.into());
    }
    Ok(())
}

/// The policy's backend, or the next one that can be reached; 0 where the service has none.
#[inline(always)]
fn usable_backend<F: Family>(packet: &Packet<F>, service: &Service, hash: u64) -> Step<BackendId> {
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

#[inline(always)]
fn is_usable<F: Family>(id: BackendId) -> bool {
    F::backends().get(u32::from(id)).is_some_and(|backend| backend.state == backend_state::ACTIVE)
}

/// What the loop over the candidate ports carries along.
struct Allocation<'a, F: Family> {
    packet: &'a Packet<F>,
    draft: &'a mut Draft<F::Address>,
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

/// Goes through the candidate ports of a connection until its pair is entered.
#[inline(never)]
fn allocate<F: Family>(packet: &Packet<F>, draft: &mut Draft<F::Address>, hash: u64) -> Verdict {
    let mut allocation =
        Allocation { packet, draft, hash, half_open: PORT_CANDIDATES, end: AllocationEnd::Exhausted };
    // A loop of the kernel's, because the verifier goes through a loop of ours once for every candidate.
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop(
            PORT_CANDIDATES,
            try_candidate::<F> as *mut c_void,
            (&raw mut allocation).cast(),
            0,
        );
    }
    match allocation.end {
        AllocationEnd::Entered => return Verdict::GO_ON,
        AllocationEnd::Lost => return Verdict::dropped(Counter::DropBeingCollected),
        AllocationEnd::Exhausted if allocation.half_open == PORT_CANDIDATES => {
            return Verdict::answer(Counter::ResetNoPort);
        }
        AllocationEnd::Exhausted => {}
    }
    // Every port is in use, one of them by a mere handshake: a flood must not refuse a connection.
    let port = packet.settings.snat_ports().candidate(hash, allocation.half_open);
    match enter::take_over(packet, allocation.draft, port) {
        Entered::Yes => Verdict::GO_ON,
        _ => Verdict::answer(Counter::ResetNoPort),
    }
}

/// One round: the candidate with this index.
extern "C" fn try_candidate<F: Family>(index: u32, allocation: *mut c_void) -> i64 {
    // SAFETY: `allocate` gave its own state, which nobody else uses during the loop.
    let allocation = unsafe { &mut *allocation.cast::<Allocation<'_, F>>() };
    let port = allocation.packet.settings.snat_ports().candidate(allocation.hash, index);
    match enter::pair(allocation.packet, allocation.draft, port) {
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
