//! Which backend a new connection goes to.

use lb_common::abi::{BackendId, Service, ServiceId, SpreadKey, policy};

use crate::{atomic, family::Family, forward::Packet, maps};

/// The keyed hash of a packet's flow. A function of its own, because its rounds want all the registers.
#[inline(never)]
pub fn hash<F: Family>(packet: &Packet<'_, F>) -> u64 {
    F::hash(packet.settings.hash_key, &packet.segment.key)
}

/// The policy's backend for a new connection, or 0 where the service has none.
#[inline(never)]
pub fn backend<F: Family>(packet: &Packet<'_, F>, service: &Service, hash: u64) -> BackendId {
    let place = if service.policy == policy::SPREAD { turn(packet, service) } else { hash };
    slot(service, place)
}

/// The backend of a guess at a connection that was begun elsewhere: where its SYN led to, then the others in turn.
#[inline(always)]
pub fn guess(service: &Service, hash: u64, attempt: u32) -> BackendId {
    let first =
        if service.policy == policy::SPREAD { alternative(service.id, hash, 0) } else { slot(service, hash) };
    if attempt == 0 { first } else { other(service, hash, attempt, first) }
}

/// The `attempt`-th backend of the service, from 1 on, that is not the first. All are named before one comes again: the
/// list is gone through from a place that follows from the flow's hash, and where it comes to the first backend, the one
/// at that place stands in for it.
#[inline(always)]
pub fn other(service: &Service, hash: u64, attempt: u32, first: BackendId) -> BackendId {
    let id = alternative(service.id, hash, attempt);
    if id == first { alternative(service.id, hash, 0) } else { id }
}

/// The `attempt`-th of all backends of the service, beginning at a place that follows from the flow's hash; 0 where the
/// service has none.
#[inline(always)]
pub fn alternative(service: ServiceId, hash: u64, attempt: u32) -> BackendId {
    alternative_backend(service.into(), hash, attempt) as BackendId
}

/// A global function (`global`), because it is asked for in loops.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn alternative_backend(service: u32, hash: u64, attempt: u32) -> u32 {
    let Some(choice) = maps::choice(service as ServiceId) else {
        return 0;
    };
    let place = ((hash >> 48) as u32).wrapping_add(attempt).checked_rem(choice.rotation_count).unwrap_or(0);
    maps::backend_in(&choice.rotation, place as usize).into()
}

/// How many distinct backends a service has, as far as the list of alternatives goes.
#[inline(always)]
pub fn count(service: ServiceId) -> u32 {
    maps::choice(service).map_or(0, |choice| choice.rotation_count)
}

#[inline(never)]
fn slot(service: &Service, place: u64) -> BackendId {
    let Some(choice) = maps::choice(service.id) else {
        return 0;
    };
    let slot = place.checked_rem(choice.slot_count.into()).unwrap_or(0);
    maps::backend_in(&choice.slots, slot as usize)
}

/// The turn of a source: each of its connections takes the next one. A source begins at a place of its own, so that
/// the first connections of many sources are spread too.
#[inline(always)]
fn turn<F: Family>(packet: &Packet<'_, F>, service: &Service) -> u64 {
    const ANY: u64 = aya_ebpf::bindings::BPF_ANY as u64;
    let source = packet.segment.key.source;
    let key = SpreadKey { source, service: u32::from(service.id).to_ne_bytes() };
    if let Some(turn) = F::spread().get_ptr_mut(&key) {
        // SAFETY: eight aligned bytes of map memory, which is not freed while the program runs.
        return unsafe { atomic::fetch_increment(turn) };
    }
    let first = F::hash_address(packet.settings.hash_key, &source) >> 8;
    let next = first.wrapping_add(1);
    let _forgotten_when_it_fails = F::spread().insert(&key, &next, ANY);
    first
}
