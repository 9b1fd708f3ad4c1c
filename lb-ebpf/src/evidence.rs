//! What the packets themselves show of a backend: told to the agent, which looks at once.
//!
//! It is evidence and no verdict: the agent's own probe decides. Rate-limited for each backend and kind, so that neither
//! a port scanner nor a storm of reconnects drives the agent.

use lb_common::{
    abi::{BackendId, EvidenceCell, EvidenceEvent, ServiceId},
    tick::Tick,
};

use crate::maps;

pub use lb_common::abi::Evidence;

/// A SYN that comes again says something of the backend when the first is this old, in ticks (0.75 s): clients send it
/// again after a second (RFC 6298, section 2).
pub const SILENCE: u32 = 45;

/// The same kind of evidence is told again after this many ticks (0.25 s).
const AGAIN: u32 = 15;

/// RSTs of established connections within [`BURST_SPAN`] that are a burst.
const BURST: u32 = 8;
/// Ticks that a burst may last (1 s).
const BURST_SPAN: u32 = 60;

/// Tells the agent, unless it has just been told the same.
#[inline(never)]
pub fn tell(backend: BackendId, service: ServiceId, kind: Evidence, now: Tick) {
    let Some(cell) = maps::evidence(backend) else {
        return;
    };
    tell_of(cell, (backend, service), kind, now);
}

/// Takes note of a backend's RST on an established connection, and tells of many.
#[inline(never)]
pub fn reset(backend: BackendId, service: ServiceId, now: Tick) {
    let Some(cell) = maps::evidence(backend) else {
        return;
    };
    // SAFETY: the cell is map memory; two CPUs may lose a count to each other, and it is a figure.
    unsafe {
        if now.since(Tick((*cell).burst_since)) > BURST_SPAN {
            (*cell).burst_since = now.0;
            (*cell).resets = 0;
        }
        (*cell).resets += 1;
        if (*cell).resets < BURST {
            return;
        }
        (*cell).resets = 0;
    }
    tell_of(cell, (backend, service), Evidence::Resets, now);
}

#[inline(always)]
fn tell_of(cell: *mut EvidenceCell, (backend, service): (BackendId, ServiceId), kind: Evidence, now: Tick) {
    // SAFETY: the cell is map memory; told twice by two CPUs is no harm.
    let told = unsafe { &mut (*cell).told };
    let Some(told) = told.get_mut(kind as usize) else {
        return;
    };
    // A cell of zeros has never been told.
    if *told != 0 && now.since(Tick(*told)) < AGAIN {
        return;
    }
    *told = now.0;
    maps::tell_evidence(&EvidenceEvent { backend, kind: kind as u8, service, tick: now.0 });
}
