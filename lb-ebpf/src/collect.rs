//! What user space has done to pairs that it names by their keys, each after looking again, because a pair may have been
//! used, closed or reopened since: the collector deletes those that were silent for too long, `flows reset` marks those
//! that an operator wants to end.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_loop},
    programs::XdpContext,
};
use lb_common::{
    abi::{FlowKey, Settings, collect},
    tcp::State,
    tick::Tick,
};

use crate::{
    entry::Entry,
    family::{Family, V4, V6},
    maps, packet,
    pair::{self, Tier},
};

/// Goes through the keys of a request; the number of pairs that were deleted or marked.
#[inline(always)]
pub fn request(ctx: &XdpContext) -> u32 {
    let (Some(header), Some(settings)) = (packet::at::<{ collect::HEADER }>(ctx, 0), maps::settings()) else {
        return 0;
    };
    let tier = if header.get::<u8, { collect::TIER }>() == 0 { Tier::Flows } else { Tier::HalfOpen };
    let mut request = Request {
        ctx,
        settings,
        tier,
        operation: header.get::<u8, { collect::OPERATION }>(),
        // SAFETY: the helper has no conditions.
        now: Tick::from_ns(unsafe { bpf_ktime_get_coarse_ns() }),
        done: 0,
    };
    let count = u32::from(header.get::<u8, { collect::COUNT }>());
    match header.get::<u8, { collect::FAMILY }>() {
        4 => keys::<V4>(&mut request, count),
        6 => keys::<V6>(&mut request, count),
        _ => {}
    }
    request.done
}

/// What the loop over the keys carries along.
struct Request<'a> {
    ctx: &'a XdpContext,
    settings: &'a Settings,
    tier: Tier,
    operation: u8,
    now: Tick,
    done: u32,
}

#[inline(always)]
fn keys<F: Family>(request: &mut Request<'_>, count: u32) {
    let rounds = if count > collect::MAX_KEYS as u32 { collect::MAX_KEYS as u32 } else { count };
    // A loop of the kernel's, because the verifier goes through a loop of ours once for every round.
    // SAFETY: the callback has the type that the helper wants, and the request outlives the call.
    unsafe { bpf_loop(rounds, one::<F> as *mut c_void, (&raw mut *request).cast(), 0) };
}

/// One round: the key with this index.
extern "C" fn one<F: Family>(index: u32, request: *mut c_void) -> i64 {
    const { assert!(collect::MAX_KEYS.is_power_of_two()) };
    // SAFETY: `keys` gave its own request, which nobody else uses during the loop.
    let request = unsafe { &mut *request.cast::<Request<'_>>() };
    let index = index as usize & (collect::MAX_KEYS - 1);
    let at = collect::HEADER + index * size_of::<FlowKey<F::Address>>();
    let Some(key) = F::requested_key(request.ctx, at) else {
        return 1;
    };
    let Some(entry) = request.tier.get::<F>(&key) else {
        return 0;
    };
    let done = match request.operation {
        collect::DELETE_EXPIRED => delete_expired::<F>(request, &key, entry),
        collect::RESET => pair::mark_reset::<F>(request.tier, &key, entry, request.now),
        _ => false,
    };
    request.done += u32::from(done);
    0
}

/// Deletes a pair that is over.
#[inline(always)]
fn delete_expired<F: Family>(
    request: &Request<'_>,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
) -> bool {
    if !pair::is_expired::<F>(request.tier, request.settings, key, entry, request.now) {
        return false;
    }
    let state = entry.word().state();
    if state == State::Dead {
        // Whoever claimed it needed microseconds, and could not delete it: nobody else would ever.
        request.tier.remove::<F>(key);
        return true;
    }
    pair::delete::<F>(request.tier, key, entry, state)
}
