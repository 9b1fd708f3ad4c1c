//! The rewrite: addresses, ports, time to live, checksums and MACs of a packet that goes on.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    abi::{FlowKey, NextHop, Settings},
    checksum::Delta,
    counters::Counter,
    wire::{ETHERNET_HEADER, Mac, TCP_HEADER, tcp_offset},
};

use crate::{
    enter,
    family::Family,
    forward::Packet,
    global::global,
    maps, packet,
    parse::Segment,
    unfinished::{self, Checksum},
    verdict::{self, Step, Verdict},
};

/// Rewrites a packet to what the twin's key says, seen from the other end, and sends it to the next hop.
#[inline(always)]
pub fn send<F: Family>(
    ctx: &XdpContext,
    segment: &Segment<F::Address>,
    twin: &FlowKey<F::Address>,
    hop: NextHop,
    settings: &Settings,
) -> Step<Verdict> {
    let link = maps::link(hop.link).ok_or(Counter::DropNoNextHop)?;
    let checksum = unfinished::checksum_of::<F>(ctx, segment, settings)?;
    let addresses = F::readdress(&segment.key.source, &twin.destination)
        .and(F::readdress(&segment.key.destination, &twin.source));
    F::rewrite_header(ctx, twin, addresses)?;
    rewrite_tcp::<F>(ctx, segment, twin, addresses, checksum).ok_or(Counter::DropInternal)?;
    let ethernet = packet::at::<ETHERNET_HEADER>(ctx, 0).ok_or(Counter::DropInternal)?;
    ethernet.set::<Mac, 0>(hop.mac);
    ethernet.set::<Mac, 6>(link.mac);
    Ok(Verdict::transmit(hop.link))
}

global! {
    /// The same as the draft says, for the steps where a call more is not felt.
    pub fn send_draft() [] -> Verdict = of_draft as send_v4, send_v6;
}

#[inline(always)]
fn of_draft<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    match enter::draft::<F>() {
        Ok(draft) => {
            verdict::of(send::<F>(&packet.ctx, packet.segment, &draft.reverse, draft.way, packet.settings))
        }
        Err(verdict) => verdict,
    }
}

/// Ports and checksum of the TCP header. The checksum covers the addresses (RFC 9293, section 3.1).
#[inline(always)]
fn rewrite_tcp<F: Family>(
    ctx: &XdpContext,
    segment: &Segment<F::Address>,
    twin: &FlowKey<F::Address>,
    addresses: Delta,
    checksum: Checksum,
) -> Option<()> {
    let tcp = packet::at::<TCP_HEADER>(ctx, usize::from(segment.tcp_at))?;
    let old_ports = tcp.get::<u32, { tcp_offset::SOURCE }>();
    tcp.set::<[u8; 2], { tcp_offset::SOURCE }>(twin.destination_port);
    tcp.set::<[u8; 2], { tcp_offset::DESTINATION }>(twin.source_port);
    let new_ports = tcp.get::<u32, { tcp_offset::SOURCE }>();
    let field = tcp.get::<u16, { tcp_offset::CHECKSUM }>();
    let field = match checksum {
        // What a device finishes later covers the ports as they are then.
        Checksum::Partial => addresses.apply_to_partial(field),
        Checksum::Complete => addresses.replace_u32(old_ports, new_ports).apply(field),
    };
    tcp.set::<u16, { tcp_offset::CHECKSUM }>(field);
    Some(())
}
