//! What the packets themselves show of a backend: told to the agent, which looks at once.
//!
//! It is evidence and no verdict: the agent's own probe decides. Rate-limited for each service on a backend and each kind,
//! so that neither a port scanner nor a storm of reconnects drives the agent. And it must be the backend's doing: a SYN
//! that no host need answer shows nothing, nor do the connections of one client alone, who may speak nonsense on all.

use lb_common::{
    abi::{EvidenceCell, EvidenceEvent, EvidenceKey, RESET_CLIENTS, StateWord, Syn},
    tick::Tick,
};

use crate::{entry::Entry, family::Family, maps, ordinary};

pub use lb_common::abi::Evidence;

/// A SYN that comes again says something of the backend when the last one that it was sent is this old, in ticks (0.75 s):
/// clients send it again after a second (RFC 6298, section 2).
pub const SILENCE: u32 = 45;

/// The same kind of evidence is told again after this many ticks (0.25 s).
const AGAIN: u32 = 15;

/// Ticks that a burst of RSTs may last (1 s).
const BURST_SPAN: u32 = 60;

/// Of whom evidence is.
#[inline(always)]
pub fn of<F: Family>(entry: Entry<F::Address>, word: StateWord) -> EvidenceKey {
    EvidenceKey::new(entry.backend(), word.service())
}

/// Tells the agent of what became of this SYN, unless it has just been told the same, or the SYN was no ordinary one.
#[inline(never)]
pub fn tell(key: &EvidenceKey, kind: Evidence, syn: &Syn, now: Tick) {
    if let Some(cell) = maps::evidence(key)
        && let Some(told) = due(cell, kind, now)
        && ordinary::is_ordinary(syn)
    {
        say(told, key, kind, now);
    }
}

/// Takes note of a backend's RST on an established connection, and tells of those of many clients.
#[inline(never)]
pub fn reset<F: Family>(entry: Entry<F::Address>, now: Tick) {
    let key = of::<F>(entry, entry.word());
    let Some(cell) = maps::evidence(&key) else {
        return;
    };
    let client = F::address_sum(&entry.twin_in_place().source) as u32;
    // SAFETY: the cell is map memory; two CPUs may lose a client to each other, and it is a figure.
    let burst = unsafe { &mut *cell };
    if now.since(Tick(burst.burst_since)) > BURST_SPAN {
        begin(burst, now);
    }
    if burst.reset_clients.contains(&client) {
        return;
    }
    let Some(place) = burst.reset_clients.get_mut(burst.resets as usize) else {
        return;
    };
    *place = client;
    burst.resets += 1;
    if burst.resets as usize == RESET_CLIENTS {
        // What follows is another burst.
        begin(burst, now);
        if let Some(told) = due(cell, Evidence::Resets, now) {
            say(told, &key, Evidence::Resets, now);
        }
    }
}

#[inline(always)]
fn begin(burst: &mut EvidenceCell, now: Tick) {
    burst.burst_since = now.0;
    burst.resets = 0;
    burst.reset_clients = [0; RESET_CLIENTS];
}

/// Where it stands when this kind was told last, unless that was just now.
#[inline(always)]
fn due(cell: *mut EvidenceCell, kind: Evidence, now: Tick) -> Option<&'static mut u32> {
    // SAFETY: the cell is map memory, which is not freed while the program runs; told twice by two CPUs is no harm.
    let told = unsafe { &mut (*cell).told }.get_mut(kind as usize)?;
    // A cell of zeros has never been told.
    (*told == 0 || now.since(Tick(*told)) >= AGAIN).then_some(told)
}

#[inline(always)]
fn say(told: &mut u32, key: &EvidenceKey, kind: Evidence, now: Tick) {
    *told = now.0;
    let EvidenceKey { backend, service, .. } = *key;
    maps::tell_evidence(&EvidenceEvent { backend, kind: kind as u8, service, tick: now.0 });
}
