//! Checksums that a sender has left to its device and no device has finished: what generic XDP on veth or virtio and
//! native XDP on veth hand over (`CHECKSUM_PARTIAL`, `include/linux/skbuff.h`). The field then holds the folded sum of
//! the pseudo-header, not complemented.
//!
//! Nothing in the packet tells the two kinds apart for certain but the sum over the segment, so that is made where the
//! field looks like an unfinished one, and only on links known for it.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, bindings::xdp_md, btf_maps::PerCpuArray, helpers, macros::btf_map, programs::XdpContext,
};
use lb_common::{
    abi::{Settings, link_flags, settings_flags},
    checksum::{fold, pseudo_header_tail},
    counters::Counter,
    wire::{PROTOCOL_TCP, TCP_HEADER, tcp_offset},
};

use crate::{family::Family, maps, packet, parse::Segment, verdict::Step};

/// How a checksum field is to be updated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It covers the segment.
    Complete,
    /// It holds the sum of the pseudo-header, and leaves so.
    Partial,
}

/// A sum that could not be made; those of segments have 40 bits.
const NO_SUM: u64 = u64::MAX;

/// Bytes summed at a time: a multiple of four, and at most 512 (`MAX_BPF_STACK`-sized scratch of `bpf_csum_diff` on
/// kernels before 6.13).
const CHUNK: usize = 512;

/// The longest segment that is summed. What is longer came from no wire (a jumbo frame has 9,216 bytes) but from an
/// offload, and offloads leave the checksum unfinished.
const LONGEST: usize = 20 * CHUNK;

#[btf_map]
static CHECKSUM_SCRATCH: PerCpuArray<[u32; CHUNK / 4], 1> = PerCpuArray::new();

/// Tells how the checksum of a packet is to be updated; finishes it first where nobody behind us would.
#[inline(always)]
pub fn checksum_of<F: Family>(
    ctx: &XdpContext,
    segment: &Segment<F::Address>,
    settings: &Settings,
) -> Step<Checksum> {
    if settings.flags & settings_flags::UNFINISHED_CHECKSUMS == 0 {
        Ok(Checksum::Complete)
    } else {
        let addresses = F::address_sum(&segment.key.source) + F::address_sum(&segment.key.destination);
        let pseudo_header = addresses + pseudo_header_tail(PROTOCOL_TCP, segment.tcp_length);
        match checksum(ctx.ctx, segment.tcp_at.into(), segment.tcp_length.into(), pseudo_header) {
            COMPLETE => Ok(Checksum::Complete),
            PARTIAL => Ok(Checksum::Partial),
            _ => Err(Counter::DropInternal.into()),
        }
    }
}

/// Whether the link by which a packet came is known for unfinished checksums.
#[inline(always)]
pub fn is_expected(ctx: &XdpContext, settings: &Settings) -> bool {
    settings.flags & settings_flags::UNFINISHED_CHECKSUMS != 0 && checksum_flags(ctx) != 0
}

/// What is known of the checksums of packets by the link that this one came by.
#[inline(always)]
fn checksum_flags(ctx: &XdpContext) -> u16 {
    let interface = ctx.ingress_ifindex() as u32;
    let flags = maps::link_of_interface(interface).and_then(maps::link).map_or(0, |link| link.flags);
    flags & (link_flags::CHECKSUM_PARTIAL | link_flags::CHECKSUM_FINISH)
}

/// What [`checksum`] returns, as a number.
const COMPLETE: u32 = 0;
const PARTIAL: u32 = 1;
const UNREADABLE: u32 = 2;

/// The same where there are links with such packets; [`UNREADABLE`] where the segment cannot be, which is a defect of ours. A
/// global function (`global`), although on the way of every packet of such a link, for the loop in it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn checksum(ctx: *mut xdp_md, tcp_at: u32, tcp_length: u32, pseudo_header: u64) -> u32 {
    match classify(&XdpContext::new(ctx), tcp_at, tcp_length, pseudo_header) {
        Some(Checksum::Complete) => COMPLETE,
        Some(Checksum::Partial) => PARTIAL,
        None => UNREADABLE,
    }
}

#[inline(always)]
fn classify(ctx: &XdpContext, tcp_at: u32, tcp_length: u32, pseudo_header: u64) -> Option<Checksum> {
    let flags = checksum_flags(ctx);
    if flags == 0 {
        return Some(Checksum::Complete);
    }
    let tcp = packet::at::<TCP_HEADER>(ctx, tcp_at as usize)?;
    let field = tcp.get::<u16, { tcp_offset::CHECKSUM }>();
    if field != fold(pseudo_header) {
        return Some(Checksum::Complete);
    }
    if tcp_length as usize > LONGEST {
        maps::count(Counter::ChecksumPartial);
        return Some(Checksum::Partial);
    }
    let sum = sum_segment(ctx, tcp_at, tcp_length);
    if sum == NO_SUM {
        return None;
    }
    if fold(sum + pseudo_header) == 0xffff {
        return Some(Checksum::Complete);
    }
    if flags & link_flags::CHECKSUM_FINISH == 0 {
        maps::count(Counter::ChecksumPartial);
        return Some(Checksum::Partial);
    }
    // The field is the pseudo-header's sum, so the sum over the segment covers both.
    // Opaque, or the compiler would know from above that it is near enough and leave the verifier without the check.
    let tcp = packet::at::<TCP_HEADER>(ctx, packet::opaque(tcp_at as usize))?;
    tcp.set::<u16, { tcp_offset::CHECKSUM }>(!fold(sum));
    maps::count(Counter::ChecksumFinished);
    Some(Checksum::Complete)
}

/// What the loop over the chunks carries along.
struct Summing {
    ctx: *mut xdp_md,
    scratch: *mut u32,
    /// Where the segment begins in the frame.
    begin: u32,
    /// Bytes of the segment.
    length: u32,
    /// Whether the last byte has been summed. Not how many have: a number would make every round another state, and the
    /// verifier would walk them all.
    whole: bool,
    sum: u64,
}

/// The sum over the TCP header and its payload, or [`NO_SUM`].
#[inline(always)]
fn sum_segment(ctx: &XdpContext, tcp_at: u32, length: u32) -> u64 {
    let Some(scratch) = CHECKSUM_SCRATCH.get_ptr_mut(0) else {
        return NO_SUM;
    };
    let scratch = scratch.cast::<u32>();
    let mut summing = Summing { ctx: ctx.ctx, scratch, begin: tcp_at, length, whole: false, sum: 0 };
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop((LONGEST / CHUNK) as u32, add_chunk as *mut c_void, (&raw mut summing).cast(), 0)
    };
    if summing.whole { summing.sum } else { NO_SUM }
}

/// One round: the next chunk.
extern "C" fn add_chunk(index: u32, summing: *mut c_void) -> i64 {
    // SAFETY: `sum_segment` gave its own state, which nobody else uses during the loop.
    let summing = unsafe { &mut *summing.cast::<Summing>() };
    let at = index * CHUNK as u32;
    let left = summing.length.wrapping_sub(at);
    let take = if left >= CHUNK as u32 { CHUNK as u32 } else { left };
    // SAFETY: the scratch is this CPU's own, and `take` at most its size; the helper checks the packet's bounds.
    let Some(sum) =
        (unsafe { sum_chunk(&XdpContext::new(summing.ctx), summing.scratch, summing.begin + at, take) })
    else {
        return 1;
    };
    summing.sum += sum;
    summing.whole = left == take;
    i64::from(summing.whole)
}

/// The sum of up to `CHUNK` bytes, copied to the scratch and padded with zeros.
///
/// # Safety
///
/// `scratch` points to `CHUNK` bytes that nobody else uses.
#[inline(always)]
unsafe fn sum_chunk(ctx: &XdpContext, scratch: *mut u32, offset: u32, take: u32) -> Option<u64> {
    let take = packet::bounded::<CHUNK>(take as usize)?;
    // The word that the last bytes will not fill; the copy overwrites all the others.
    let last_word = take as usize & (CHUNK - 4);
    // SAFETY: the offset is a multiple of four below the size of the scratch, which is a map's value and so aligned.
    unsafe { scratch.add(last_word / 4).write(0) };
    // SAFETY: `take` bytes fit into the scratch.
    let copied = unsafe { helpers::bpf_xdp_load_bytes(ctx.as_ptr().cast(), offset, scratch.cast(), take) };
    if copied != 0 {
        return None;
    }
    // Opaque, or the compiler would know that it fits and leave the verifier without the check.
    let padded = packet::opaque(packet::opaque(take as usize + 3) & (2 * CHUNK - 4));
    if padded > CHUNK {
        return None;
    }
    // SAFETY: `padded` bytes of the scratch are initialised.
    let sum = unsafe { helpers::bpf_csum_diff(core::ptr::null_mut(), 0, scratch.cast(), padded as u32, 0) };
    (sum >= 0).then_some(sum as u64 & 0xffff_ffff)
}
