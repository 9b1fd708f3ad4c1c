//! The collector's half in the kernel: deletes the pairs that the agent's walk found silent for too long, after looking
//! again, because a pair may have been used or reopened since.

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
    family::{Family, V4, V6},
    maps, packet,
    pair::{self, Tier},
};

/// Goes through the keys of a request; the number of pairs deleted.
#[inline(always)]
pub fn request(ctx: &XdpContext) -> u32 {
    let (Some(header), Some(settings)) = (packet::at::<{ collect::HEADER }>(ctx, 0), maps::settings()) else {
        return 0;
    };
    let count = u32::from(header.get::<u8, { collect::COUNT }>());
    match (header.get::<u8, { collect::FAMILY }>(), header.get::<u8, { collect::TIER }>()) {
        (4, 0) => keys::<V4>(ctx, settings, Tier::Flows, count),
        (4, _) => keys::<V4>(ctx, settings, Tier::HalfOpen, count),
        (6, 0) => keys::<V6>(ctx, settings, Tier::Flows, count),
        (6, _) => keys::<V6>(ctx, settings, Tier::HalfOpen, count),
        _ => 0,
    }
}

/// What the loop over the keys carries along.
struct Request<'a> {
    ctx: &'a XdpContext,
    settings: &'a Settings,
    tier: Tier,
    now: Tick,
    deleted: u32,
}

#[inline(always)]
fn keys<F: Family>(ctx: &XdpContext, settings: &Settings, tier: Tier, count: u32) -> u32 {
    // SAFETY: the helper has no conditions.
    let now = Tick::from_ns(unsafe { bpf_ktime_get_coarse_ns() });
    let mut request = Request { ctx, settings, tier, now, deleted: 0 };
    let rounds = if count > collect::MAX_KEYS as u32 { collect::MAX_KEYS as u32 } else { count };
    // A loop of the kernel's, because the verifier goes through a loop of ours once for every round.
    // SAFETY: the callback has the type that the helper wants, and the request outlives the call.
    unsafe { bpf_loop(rounds, one::<F> as *mut c_void, (&raw mut request).cast(), 0) };
    request.deleted
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
    if !pair::is_expired::<F>(request.tier, request.settings, &key, entry, request.now) {
        return 0;
    }
    let state = entry.word().state();
    if state == State::Dead {
        // Whoever claimed it needed microseconds, and could not delete it: nobody else would ever.
        request.tier.remove::<F>(&key);
        request.deleted += 1;
    } else if pair::delete::<F>(request.tier, &key, entry, state) {
        request.deleted += 1;
    }
    0
}
