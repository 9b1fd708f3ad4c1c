//! A tunnel becomes the packet in it: the outer headers go, the link-layer addresses stay, and what the tunnel met of
//! congestion is told to the inner packet (RFC 6040). Its class of service and its time to live stay as they are.

use aya_ebpf::{EbpfContext as _, helpers, programs::XdpContext};
use lb_common::{
    abi::decap::Counter,
    checksum::Delta,
    ecn,
    wire::{ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac},
};

use crate::{
    maps, packet,
    tunnel::{Fate, Tunnel},
};

/// The shift of the ECN field in the second byte of an IPv6 header, whose traffic class begins in the first.
const IPV6_ECN_SHIFT: u32 = 4;

/// Takes the inner packet out.
#[inline(always)]
pub fn tunnel(ctx: &XdpContext, tunnel: &Tunnel) -> Fate {
    if ecn::contradicts(tunnel.outer_class, tunnel.inner_class) {
        maps::count(Counter::EcnContradiction);
    }
    let Some(leaving) = ecn::leaving_tunnel(tunnel.outer_class, tunnel.inner_class) else {
        return Fate::Dropped(Counter::DropCongestionUnheard);
    };
    let marked = leaving != tunnel.inner_class & ecn::MASK;
    if cut(ctx, tunnel).is_none() || marked && mark(ctx, tunnel, leaving).is_none() {
        return Fate::Dropped(Counter::DropInternal);
    }
    if marked {
        maps::count(Counter::EcnMarked);
    }
    Fate::Taken(tunnel.kind)
}

/// Removes what is between the link-layer addresses and the inner packet.
#[inline(always)]
fn cut(ctx: &XdpContext, tunnel: &Tunnel) -> Option<()> {
    let ethernet = packet::at::<ETHERNET_HEADER>(ctx, 0)?;
    let (to, from) = (ethernet.get::<Mac, 0>(), ethernet.get::<Mac, 6>());
    let surplus = tunnel.inner_at - ETHERNET_HEADER;
    // SAFETY: the context is valid; the frame is made shorter by headers that were found in it.
    if unsafe { helpers::bpf_xdp_adjust_head(ctx.as_ptr().cast(), surplus as i32) } != 0 {
        return None;
    }
    let ethertype = if tunnel.inner_is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    let ethernet = packet::at::<ETHERNET_HEADER>(ctx, 0)?;
    ethernet.set::<Mac, 0>(to);
    ethernet.set::<Mac, 6>(from);
    ethernet.set::<u16, 12>(ethertype.to_be());
    Some(())
}

/// Writes the ECN field, and mends the checksum that covers it in IPv4.
#[inline(always)]
fn mark(ctx: &XdpContext, tunnel: &Tunnel, ecn: u8) -> Option<()> {
    if tunnel.inner_is_v6 {
        let ip = packet::at::<2>(ctx, ETHERNET_HEADER)?;
        let others = ip.get::<u8, 1>() & !(ecn::MASK << IPV6_ECN_SHIFT);
        ip.set::<u8, 1>(others | ecn << IPV6_ECN_SHIFT);
        return Some(());
    }
    let ip = packet::at::<12>(ctx, ETHERNET_HEADER)?;
    let before = ip.get::<u16, 0>();
    ip.set::<u8, 1>(tunnel.inner_class & !ecn::MASK | ecn);
    let delta = Delta::ZERO.replace_u16(before, ip.get::<u16, 0>());
    ip.set::<u16, 10>(delta.apply(ip.get::<u16, 10>()));
    Some(())
}
