//! A line for each packet of ours that is dropped, where a human has asked for it. Otherwise the agent loads the programs
//! with the log level 0, and the verifier leaves all of this out.
//!
//! Called from the entry point alone, whose stack is nearly empty when everything below it has returned. The packet is
//! read once more for that: it may have been rewritten by then, and tells the addresses that it has now.

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_ktime_get_coarse_ns, programs::XdpContext};
use aya_log_ebpf::{
    info,
    macro_support::{Level, level_enabled},
};
use lb_common::{
    abi::FlowKey,
    counters::Counter,
    tick::Tick,
    wire::{ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};

use crate::{
    family::{Family, V4, V6},
    maps, packet,
};

/// Writes the line, unless this CPU has written enough of them for now. User space knows the reason's name by its number.
#[inline(always)]
pub fn dropped(ctx: &XdpContext, reason: Counter) {
    drop_line(ctx.ctx, reason as u32);
}

/// A global function (`global`), which the verifier goes through once for all reasons.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn drop_line(ctx: *mut xdp_md, reason: u32) -> u32 {
    write(&XdpContext::new(ctx), reason);
    0
}

#[inline(always)]
fn write(ctx: &XdpContext, reason: u32) {
    // SAFETY: the helper has no conditions.
    if !level_enabled(Level::Info) || !maps::take_line(Tick::from_ns(unsafe { bpf_ktime_get_coarse_ns() })) {
        return;
    }
    match packet::at::<ETHERNET_HEADER>(ctx, 0).map_or(0, packet::Span::be16::<12>) {
        ETHERTYPE_IPV4 => line::<V4>(ctx, reason),
        ETHERTYPE_IPV6 => line::<V6>(ctx, reason),
        _ => {}
    }
}

/// The line of a packet: the number of the reason, then source and destination, each an address and a port.
#[inline(always)]
fn line<F: Family>(ctx: &XdpContext, reason: u32) {
    let Some(key) = addresses_and_ports::<F>(ctx) else { return };
    info!(
        ctx,
        "{} {:i} {} {:i} {}",
        reason,
        F::octets(key.source),
        u16::from_be_bytes(key.source_port),
        F::octets(key.destination),
        u16::from_be_bytes(key.destination_port)
    );
}

#[inline(always)]
fn addresses_and_ports<F: Family>(ctx: &XdpContext) -> Option<FlowKey<F::Address>> {
    let mut key = FlowKey::new(F::UNSPECIFIED, [0; 2], F::UNSPECIFIED, [0; 2]);
    F::addresses(ctx, &mut key)?;
    let ports = packet::at::<4>(ctx, F::layout(ctx)?.tcp_at)?;
    key.source_port = ports.get::<[u8; 2], 0>();
    key.destination_port = ports.get::<[u8; 2], 2>();
    Some(key)
}
