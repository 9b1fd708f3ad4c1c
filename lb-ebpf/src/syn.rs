//! The SYN of a connection, kept while nobody has taken it, and made again for the next backend.
//!
//! What arrives instead of a SYN-ACK (a RST, say) is turned into the client's SYN: the frame grows or shrinks at its
//! head, because the tail of a frame has no room (`bpf_xdp_adjust_tail` does not grow what generic XDP or a driver
//! handed over), and every byte is written anew.

use aya_ebpf::{EbpfContext as _, helpers, programs::XdpContext};
use lb_common::{
    abi::{Syn, syn_marks},
    checksum::{fold, pseudo_header_tail},
    counters::Counter,
    tcp::sequence_length,
    wire::{ETHERNET_HEADER, Mac, PROTOCOL_TCP, TCP_HEADER, TCP_OPTIONS, tcp_offset},
};

use crate::{
    enter::{self, Draft},
    family::{Family, Header},
    forward::Packet,
    global::global,
    maps,
    packet::{self, Span, opaque},
    reset::SHORTEST_FRAME,
    unfinished::{self, Checksum},
    verdict::{self, Step, Verdict},
};

/// Takes down what is to be kept of a client's SYN; backend and hash are the caller's.
#[inline(never)]
pub fn keep<F: Family>(packet: &Packet<'_, F>, syn: &mut Syn) -> Verdict {
    verdict::of(take_down(packet, syn).map(|()| Verdict::GO_ON))
}

#[inline(always)]
fn take_down<F: Family>(packet: &Packet<'_, F>, syn: &mut Syn) -> Step<()> {
    let segment = &packet.segment;
    let ip_error = F::keep_header(&packet.ctx, syn)?;
    let at = packet::known(segment.tcp_at);
    keep_options(packet, syn).ok_or(Counter::DropInternal)?;
    let tcp = packet::at::<TCP_HEADER>(&packet.ctx, at).ok_or(Counter::DropInternal)?;
    syn.sequence = segment.sequence;
    syn.flags = segment.flags;
    syn.window = tcp.get::<[u8; 2], { tcp_offset::WINDOW }>();
    let byte = tcp.get::<u8, { tcp_offset::DATA_OFFSET }>();
    let reserved = byte & 0x0f & !syn_marks::ACCURATE_ECN;
    let not_kept = u32::from(segment.payload)
        | u32::from(segment.tcp_at ^ (ETHERNET_HEADER + F::IP_HEADER) as u16)
        | u32::from(reserved)
        | u32::from(ip_error)
        | u32::from(tcp_error(packet, tcp, syn));
    // All ones where there is none of it: without a branch, of which the verifier would walk both ways.
    let sound = (u64::from(not_kept).wrapping_sub(1) >> 63) as u8 * syn_marks::SOUND;
    syn.marks = byte & syn_marks::ACCURATE_ECN | sound;
    Ok(())
}

/// Copies the options, and zeros behind them.
#[inline(always)]
fn keep_options<F: Family>(packet: &Packet<'_, F>, syn: &mut Syn) -> Option<()> {
    let segment = &packet.segment;
    syn.options = [0; TCP_OPTIONS];
    let length = usize::from(segment.tcp_length - segment.payload).wrapping_sub(TCP_HEADER);
    syn.options_length = length as u8;
    let Some(length) = options_length(length) else {
        return Some(());
    };
    let from = u32::from(segment.tcp_at) + TCP_HEADER as u32;
    // SAFETY: `length` bytes fit into the options; the helper checks the packet's bounds.
    let copied = unsafe {
        helpers::bpf_xdp_load_bytes(packet.ctx.as_ptr().cast(), from, syn.options.as_mut_ptr().cast(), length)
    };
    (copied == 0).then_some(())
}

/// How far the checksum of a SYN without data is off; one that the sender has left to a device is not.
#[inline(always)]
fn tcp_error<F: Family>(packet: &Packet<'_, F>, tcp: Span<TCP_HEADER>, syn: &Syn) -> u16 {
    let key = &packet.segment.key;
    let pseudo_header = F::address_sum(&key.source)
        + F::address_sum(&key.destination)
        + pseudo_header_tail(PROTOCOL_TCP, packet.segment.tcp_length);
    let header = header_sum(tcp) + u64::from(tcp.get::<u32, 16>());
    let error = !fold(pseudo_header + header + options_sum(syn));
    let unfinished = tcp.get::<u16, { tcp_offset::CHECKSUM }>() ^ fold(pseudo_header);
    if error != 0 && unfinished == 0 && unfinished::is_expected(&packet.ctx, packet.settings) {
        0
    } else {
        error
    }
}

/// The length of options that are there.
#[inline(always)]
fn options_length(length: usize) -> Option<u32> {
    packet::bounded::<TCP_OPTIONS>(length)
}

global! {
    /// Turns the frame into the SYN of the pair that has just been entered, on its way to its backend.
    pub fn send() [] -> Verdict = of_draft as send_syn_v4, send_syn_v6;
}

#[inline(always)]
fn of_draft<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    verdict::of(put_together(packet))
}

#[inline(always)]
fn put_together<F: Family>(packet: &Packet<'_, F>) -> Step<Verdict> {
    let draft = enter::draft::<F>()?;
    make(packet, draft).ok_or(Counter::DropRedispatchFailed.into())
}

#[inline(always)]
fn make<F: Family>(packet: &Packet<'_, F>, draft: &Draft<F::Address>) -> Option<Verdict> {
    let hop = draft.way;
    let link = maps::link(hop.link)?;
    let syn = &draft.entry.syn;
    let unfinished = is_unfinished(packet)?;
    let options = if unfinished { unfinished_options(syn.options_length)? } else { syn.options_length };
    let tcp_length = TCP_HEADER + usize::from(options);
    make_room(packet, ETHERNET_HEADER + F::IP_HEADER + tcp_length, unfinished)?;
    let ctx = &packet.ctx;
    let ethernet = packet::at::<ETHERNET_HEADER>(ctx, 0)?;
    ethernet.set::<Mac, 0>(hop.mac);
    ethernet.set::<Mac, 6>(link.mac);
    ethernet.set::<u16, 12>(F::ETHERTYPE.to_be());
    let key = draft.reverse.reversed();
    F::write_header(
        ctx,
        &Header { key: &key, ip: syn.ip, hop_limit: syn.hop_limit, tcp_length: tcp_length as u16 },
    )?;
    let mut sum = F::address_sum(&key.source)
        + F::address_sum(&key.destination)
        + pseudo_header_tail(PROTOCOL_TCP, tcp_length as u16);
    if unfinished {
        sum += finished_word(syn, options);
    }
    write_tcp::<F>(ctx, syn, (key.source_port, key.destination_port), sum, options)?;
    write_options::<F>(ctx, syn)?;
    Some(Verdict::transmit(hop.link))
}

/// Whether the sender of the packet has left its checksum to a device. An ICMP error, which has no TCP header, is finished
/// by its sender.
#[inline(always)]
fn is_unfinished<F: Family>(packet: &Packet<'_, F>) -> Option<bool> {
    if packet.segment.tcp_at == 0 {
        return Some(false);
    }
    let checksum = unfinished::checksum_of::<F>(&packet.ctx, packet.segment, packet.settings).ok()?;
    Some(checksum == Checksum::Partial)
}

/// Bytes between the end of the options and the end of the word that a device may write behind them.
const FINISHED: u8 = 4;
/// The least length of options that puts the old TCP header behind the checksum of the new one.
const BEHIND_CHECKSUM: u8 = 12;

/// Bytes of the options of a SYN that is made of an unfinished packet.
///
/// The kernel remembers the place of the old TCP header in the buffer, and whoever sends the frame out, or nobody, sums
/// from there to the end and writes the result sixteen bytes behind. That word must lie within the segment, or the kernel
/// drops it (`pskb_trim_rcsum_slow`, `net/core/skbuff.c`), and in nobody's way: so the options end (a zero, RFC 9293,
/// section 3.1) before it, and it is padding.
#[inline(always)]
fn unfinished_options(length: u8) -> Option<u8> {
    let length = if length < BEHIND_CHECKSUM { BEHIND_CHECKSUM } else { length };
    (usize::from(length + FINISHED) <= TCP_OPTIONS).then_some(length + FINISHED)
}

/// What a device would write into that word, for the checksum to count it; where nobody writes it, nobody looks at the
/// checksum either. The old TCP header begins six bytes behind the beginning of the new one, and as many as the options
/// have without the padding.
#[inline(always)]
fn finished_word(syn: &Syn, options: u8) -> u64 {
    let begin = i32::from(options - FINISHED) + 6 - TCP_HEADER as i32;
    let mut sum = 0;
    for (index, word) in syn.options.as_chunks::<2>().0.iter().enumerate() {
        // All ones where the word is counted: without a branch, of which the verifier would walk both ways.
        let counted = ((begin - 1 - 2 * index as i32) >> 31) as u16;
        sum += u64::from(u16::from_ne_bytes(*word) & counted);
    }
    u64::from(!fold(sum))
}

/// Makes the frame as long as the SYN wants it. What is not written afterwards is zero: old bytes of the other packet do
/// not leave as padding.
#[inline(always)]
fn make_room<F: Family>(packet: &Packet<'_, F>, segment_end: usize, unfinished: bool) -> Option<()> {
    let ctx = &packet.ctx;
    let mut wanted = segment_end;
    if unfinished {
        // The old header ends two bytes behind its checksum.
        packet::shorten(ctx, usize::from(packet.segment.tcp_at) + TCP_HEADER)?;
        wanted += 2;
    }
    let wanted = if wanted < SHORTEST_FRAME { SHORTEST_FRAME } else { wanted };
    let surplus = packet::length(ctx) as i32 - wanted as i32;
    // SAFETY: the context is valid; the helper checks that there is room.
    let adjusted = unsafe { helpers::bpf_xdp_adjust_head(ctx.as_ptr().cast(), surplus) };
    if adjusted != 0 {
        return None;
    }
    // A SYN that is shorter than the shortest frame ends in its last bytes.
    packet::at::<6>(ctx, SHORTEST_FRAME - 6)?.set::<[u8; 6], 0>([0; 6]);
    if unfinished {
        // The padding of the options, and what lies behind the segment.
        let padding = packet::at::<{ 16 + 2 }>(ctx, opaque(segment_end - 16))?;
        padding.set::<u32, 0>(0);
        padding.set::<u32, 4>(0);
        padding.set::<u32, 8>(0);
        padding.set::<u32, 12>(0);
        padding.set::<u16, 16>(0);
    }
    Some(())
}

/// Writes the TCP header; `sum` is that of the pseudo-header.
#[inline(always)]
fn write_tcp<F: Family>(
    ctx: &XdpContext,
    syn: &Syn,
    ports: ([u8; 2], [u8; 2]),
    sum: u64,
    options: u8,
) -> Option<()> {
    let tcp = packet::at::<TCP_HEADER>(ctx, ETHERNET_HEADER + F::IP_HEADER)?;
    let words = 5 + (options >> 2);
    tcp.set::<[u8; 2], { tcp_offset::SOURCE }>(ports.0);
    tcp.set::<[u8; 2], { tcp_offset::DESTINATION }>(ports.1);
    tcp.set::<u32, { tcp_offset::SEQUENCE }>(syn.sequence.to_be());
    tcp.set::<u32, { tcp_offset::ACKNOWLEDGMENT }>(0);
    tcp.set::<u8, { tcp_offset::DATA_OFFSET }>(words << 4 | syn.marks & syn_marks::ACCURATE_ECN);
    tcp.set::<u8, { tcp_offset::FLAGS }>(syn.flags);
    tcp.set::<[u8; 2], { tcp_offset::WINDOW }>(syn.window);
    // Checksum and urgent pointer.
    tcp.set::<u32, { tcp_offset::CHECKSUM }>(0);
    tcp.set::<u16, { tcp_offset::CHECKSUM }>(!fold(sum + header_sum(tcp) + options_sum(syn)));
    Some(())
}

/// The sum over the header up to the checksum.
#[inline(always)]
fn header_sum(tcp: Span<TCP_HEADER>) -> u64 {
    u64::from(tcp.get::<u32, 0>())
        + u64::from(tcp.get::<u32, 4>())
        + u64::from(tcp.get::<u32, 8>())
        + u64::from(tcp.get::<u32, 12>())
}

/// The sum over the options, which are zero behind their end.
#[inline(always)]
fn options_sum(syn: &Syn) -> u64 {
    let mut sum = 0;
    for word in syn.options.as_chunks::<4>().0 {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    sum
}

#[inline(always)]
fn write_options<F: Family>(ctx: &XdpContext, syn: &Syn) -> Option<()> {
    let Some(length) = options_length(syn.options_length.into()) else {
        return Some(());
    };
    let at = (ETHERNET_HEADER + F::IP_HEADER + TCP_HEADER) as u32;
    // SAFETY: that many bytes of options are there; the helper checks the packet's bounds.
    let stored = unsafe {
        helpers::bpf_xdp_store_bytes(ctx.as_ptr().cast(), at, syn.options.as_ptr().cast_mut().cast(), length)
    };
    (stored == 0).then_some(())
}

/// Whether an acknowledgment can be that of the SYN, of whose data nothing is known any more.
#[inline(always)]
pub fn is_answered(syn: &Syn, acknowledgment: u32) -> bool {
    let first = syn.sequence.wrapping_add(sequence_length(0, syn.flags));
    u16::try_from(acknowledgment.wrapping_sub(first)).is_ok()
}

/// Whether an acknowledgment is that of the SYN; `next` is what the client will send next. Its data may be acknowledged
/// or not.
#[inline(always)]
pub fn is_acknowledged(syn: &Syn, next: u32, acknowledgment: u32) -> bool {
    let first = syn.sequence.wrapping_add(sequence_length(0, syn.flags));
    acknowledgment.wrapping_sub(first) <= next.wrapping_sub(first)
}
