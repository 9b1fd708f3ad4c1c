//! Turns a packet into the RST that answers it (RFC 9293, section 3.5.2), back to where it came from.

use lb_common::{
    checksum::{fold, pseudo_header_tail},
    counters::Counter,
    tcp::{
        self,
        flags::{ACK, RST},
    },
    wire::{ETHERNET_HEADER, Mac, PROTOCOL_TCP, TCP_HEADER, tcp_offset},
};

use crate::{
    family::{Family, Header},
    forward::Packet,
    global::{Word as _, global},
    packet::{self, Span},
    unfinished::{self, Checksum},
    verdict::{self, Step, Verdict},
};

/// The shortest Ethernet frame without its check sequence (IEEE 802.3): an answer is not made shorter, where the packet
/// was not.
pub const SHORTEST_FRAME: usize = 60;

/// The time to live of an answer.
const HOP_LIMIT: u8 = 64;

global! {
    /// Answers a packet with a RST that its sender must believe, and returns the verdict. A RST itself is answered with nothing,
    /// but counted the same.
    pub fn answer(verdict: u32) [] -> Verdict = with_reset as answer_v4, answer_v6;
}

#[inline(always)]
fn with_reset<F: Family>(packet: &Packet<'_, F>, verdict: u32) -> Verdict {
    verdict::of(turn_around(packet).map(|()| Verdict::from_word(verdict)))
}

#[inline(always)]
fn turn_around<F: Family>(packet: &Packet<'_, F>) -> Step<()> {
    if packet.segment.flags & RST != 0 {
        return Err(Counter::DropUnknownReset.into());
    }
    // Who finishes the checksum of the packet finishes that of its answer too.
    let checksum = unfinished::checksum_of::<F>(&packet.ctx, packet.segment, packet.settings)?;
    let plain = ETHERNET_HEADER + F::IP_HEADER + TCP_HEADER;
    // What is shorter already came from no wire. Its answer ends with the segment, and not in bytes of the packet.
    let has_padding = plain < SHORTEST_FRAME && packet::length(&packet.ctx) >= SHORTEST_FRAME;
    let wanted = if has_padding { SHORTEST_FRAME } else { plain };
    packet::shorten(&packet.ctx, wanted).ok_or(Counter::DropInternal)?;
    write::<F>(packet, checksum).ok_or(Counter::DropInternal.into())
}

#[inline(always)]
fn write<F: Family>(packet: &Packet<'_, F>, checksum: Checksum) -> Option<()> {
    let ethernet = packet::at::<ETHERNET_HEADER>(&packet.ctx, 0)?;
    let (to, from) = (ethernet.get::<Mac, 0>(), ethernet.get::<Mac, 6>());
    ethernet.set::<Mac, 0>(from);
    ethernet.set::<Mac, 6>(to);
    let key = packet.segment.key.reversed();
    F::write_header(
        &packet.ctx,
        &Header { key: &key, ip: F::PLAIN, hop_limit: HOP_LIMIT, tcp_length: TCP_HEADER as u16 },
    )?;
    let header = packet::at::<TCP_HEADER>(&packet.ctx, ETHERNET_HEADER + F::IP_HEADER)?;
    write_tcp::<F>(packet, header, checksum);
    if F::IP_HEADER == lb_common::wire::IPV4_HEADER
        && let Some(padding) = packet::at::<6>(&packet.ctx, ETHERNET_HEADER + F::IP_HEADER + TCP_HEADER)
    {
        padding.set::<[u8; 6], 0>([0; 6]);
    }
    Some(())
}

#[inline(always)]
fn write_tcp<F: Family>(packet: &Packet<'_, F>, header: Span<TCP_HEADER>, checksum: Checksum) {
    let segment = &packet.segment;
    let key = &segment.key;
    let taken = tcp::sequence_length(segment.payload, segment.flags);
    let (sequence, acknowledgment, flags) = if segment.flags & ACK == 0 {
        (0, segment.sequence.wrapping_add(taken), RST | ACK)
    } else {
        (segment.acknowledgment, 0, RST)
    };
    header.set::<[u8; 2], { tcp_offset::SOURCE }>(key.destination_port);
    header.set::<[u8; 2], { tcp_offset::DESTINATION }>(key.source_port);
    header.set::<u32, { tcp_offset::SEQUENCE }>(sequence.to_be());
    header.set::<u32, { tcp_offset::ACKNOWLEDGMENT }>(acknowledgment.to_be());
    header.set::<u8, { tcp_offset::DATA_OFFSET }>(0x50);
    header.set::<u8, { tcp_offset::FLAGS }>(flags);
    // Window, checksum and urgent pointer.
    header.set::<u16, { tcp_offset::WINDOW }>(0);
    header.set::<u32, { tcp_offset::CHECKSUM }>(0);
    let pseudo_header = F::address_sum(&key.source)
        + F::address_sum(&key.destination)
        + pseudo_header_tail(PROTOCOL_TCP, TCP_HEADER as u16);
    let header_sum = u64::from(header.get::<u32, 0>())
        + u64::from(header.get::<u32, 4>())
        + u64::from(header.get::<u32, 8>())
        + u64::from(header.get::<u32, 12>());
    let field = match checksum {
        Checksum::Partial => fold(pseudo_header),
        Checksum::Complete => !fold(pseudo_header + header_sum),
    };
    header.set::<u16, { tcp_offset::CHECKSUM }>(field);
}
