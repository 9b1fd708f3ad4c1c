//! The way of a packet, from the frame to its verdict.
//!
//! ```text
//!  to one of our addresses? --no--> PASS          (a bit of a filter, before any table is asked)
//!       | yes
//!  flow table --hit--> judge, rewrite, transmit   (one look-up)
//!       | miss
//!  half-open tier, service, orphan                (`half_open`)
//! ```

use aya_ebpf::{helpers::generated::bpf_ktime_get_coarse_ns, programs::XdpContext};
use lb_common::{
    abi::{Endpoint, NextHop, Settings, StateWord, backend_state, flow_flags},
    counters::Counter,
    tcp::{
        Direction, State,
        flags::{FIN, RST, SYN},
    },
    tick::Tick,
    wire::{ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};

use crate::{
    enter,
    entry::Entry,
    family::{Family, V4, V6},
    half_open, maps, nat, next_hop, packet,
    pair::Tier,
    parse::{self, Parsed, Segment},
    redispatch, reset, transition,
    verdict::{self, Step, Verdict},
};

/// A packet that may be ours, and what every step needs beside it.
pub struct Packet<'a, F: Family> {
    /// The context of the run.
    pub ctx: XdpContext,
    /// What the packet says.
    pub segment: &'a Segment<F::Address>,
    /// The settings.
    pub settings: &'static Settings,
    /// Now.
    pub now: Tick,
}

/// Judges one frame.
#[inline(always)]
pub fn packet(ctx: &XdpContext) -> Verdict {
    let (Some(ethernet), Some(settings)) = (packet::at::<ETHERNET_HEADER>(ctx, 0), maps::settings()) else {
        return Verdict::NOT_OURS;
    };
    // A frame to a group is never TCP of ours: a host ignores such segments too (RFC 1122, section 4.2.3.10).
    if ethernet.get::<u8, 0>() & 1 != 0 {
        return Verdict::NOT_OURS;
    }
    match ethernet.be16::<12>() {
        ETHERTYPE_IPV4 => of_family::<V4>(ctx, settings),
        ETHERTYPE_IPV6 => of_family::<V6>(ctx, settings),
        _ => Verdict::NOT_OURS,
    }
}

/// A function of its own for each family, so that their stacks lie in the same place.
#[inline(never)]
fn of_family<F: Family>(ctx: &XdpContext, settings: &'static Settings) -> Verdict {
    let mut segment = Segment::<F::Address>::new(F::UNSPECIFIED);
    if F::addresses(ctx, &mut segment.key).is_none() {
        return Verdict::NOT_OURS;
    }
    let bit = F::filter_bit(&segment.key.destination);
    let filter = settings.address_filter.get((bit >> 6) as usize).copied().unwrap_or(0);
    if filter >> (bit & 63) & 1 == 0 {
        return Verdict::NOT_OURS;
    }
    let parsed = match F::layout(ctx) {
        Some(layout) => parse::tcp(ctx, layout, &mut segment),
        None if F::unreachable(ctx, &mut segment).is_some() => Parsed::Unreachable,
        None => Parsed::Other,
    };
    // SAFETY: the helper has no conditions.
    let now = Tick::from_ns(unsafe { bpf_ktime_get_coarse_ns() });
    let packet = Packet::<F> { ctx: XdpContext::new(ctx.ctx), segment: &segment, settings, now };
    let verdict = match parsed {
        Parsed::Segment => whole(&packet),
        Parsed::Unreachable => redispatch::unreachable(&packet),
        Parsed::Other => Verdict::NOT_OURS,
        Parsed::Malformed(tcp_at) => defective::<F>(&packet, tcp_at, Counter::DropMalformed),
        Parsed::Fragment(tcp_at) => defective::<F>(&packet, tcp_at, Counter::DropFragment),
    };
    if verdict.is_final() { verdict } else { conclude(&packet, verdict) }
}

/// A whole TCP segment to one of our addresses.
#[inline(always)]
fn whole<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    if let Some(entry) = Tier::Flows.get::<F>(&packet.segment.key) {
        let verdict = of_flow(packet, entry);
        if verdict.as_anew().is_none() {
            return verdict;
        }
    }
    half_open::packet(packet)
}

/// Carries out what steps deep in the stack have decided. The segment is copied out of the stack, so that the verifier,
/// which knows nothing of memory, goes through this once, however the packet came here.
#[inline(never)]
fn conclude<F: Family>(packet: &Packet<'_, F>, verdict: Verdict) -> Verdict {
    let Some(segment) = F::segments().get_ptr_mut(0) else {
        return Verdict::dropped(Counter::DropInternal);
    };
    // SAFETY: the place is this CPU's own, a run of the program is not interrupted by another on the same CPU, and nobody
    // else asks for it.
    let segment = unsafe {
        *segment = *packet.segment;
        &*segment
    };
    let packet = Packet::<F> {
        ctx: XdpContext::new(packet.ctx.ctx),
        segment,
        settings: packet.settings,
        now: packet.now,
    };
    let verdict = if verdict == Verdict::REDISPATCH { redispatch::connection(&packet) } else { verdict };
    if verdict == Verdict::GO_ON {
        return enter::send(&packet);
    }
    if verdict.is_answer() { reset::answer(&packet, verdict.blurred()) } else { verdict }
}

/// A packet of an entry in the flow table.
#[inline(never)]
fn of_flow<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Verdict {
    verdict::of(judge(packet, entry))
}

#[inline(always)]
fn judge<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Step<Verdict> {
    let word = entry.word();
    let backend = F::backends().get(u32::from(entry.backend())).ok_or(Counter::DropInternal)?;
    if !is_quiet(word, packet.segment.flags) || backend.state != backend_state::ACTIVE {
        transition::packet(packet, Tier::Flows, entry).go_on()?;
    }
    let previous = entry.last_seen();
    entry.touch(packet.segment, packet.now);
    let hop = match word.direction() {
        Direction::Forward => NextHop { mac: backend.mac, link: backend.link },
        Direction::Reverse => {
            if (previous.0 ^ packet.now.0) >> next_hop::REFRESH_SHIFT != 0 {
                next_hop::refresh(packet, entry);
            }
            entry.hop()
        }
    };
    let twin = entry.twin();
    nat::send::<F>(&packet.ctx, packet.segment, &twin, hop, packet.settings)
}

/// Whether a packet changes nothing in the state of its flow.
#[inline(always)]
pub fn is_quiet(word: StateWord, tcp_flags: u8) -> bool {
    word.state() == State::Established
        && !word.has(flow_flags::RESET | flow_flags::UNCONFIRMED)
        && tcp_flags & (SYN | FIN | RST) == 0
}

/// A packet that cannot be a whole segment: dropped where its ports are those of a service or of a reply to us, so
/// that the host's TCP does not answer it; else the host's own business.
#[inline(never)]
fn defective<F: Family>(packet: &Packet<'_, F>, tcp_at: usize, reason: Counter) -> Verdict {
    let Some(ports) = packet::at::<4>(&packet.ctx, tcp_at) else {
        return Verdict::NOT_OURS;
    };
    let key = &packet.segment.key;
    let ours = is_service::<F>(&Endpoint::new(key.destination, ports.get::<[u8; 2], 2>()))
        || (packet.settings.snat_ports().contains(ports.be16::<2>())
            && is_backend::<F>(&Endpoint::new(key.source, ports.get::<[u8; 2], 0>()))
            && is_our_address::<F>(&key.destination));
    if ours { Verdict::dropped(reason) } else { Verdict::NOT_OURS }
}

#[inline(always)]
fn is_service<F: Family>(endpoint: &Endpoint<F::Address>) -> bool {
    F::services().get_ptr(endpoint).is_some()
}

/// Whether a backend serves at this endpoint.
#[inline(always)]
pub fn is_backend<F: Family>(endpoint: &Endpoint<F::Address>) -> bool {
    F::endpoints().get_ptr(endpoint).is_some()
}

/// Whether an address is a VIP or a SNAT address: the certain answer to the question that the filter only guesses.
#[inline(always)]
pub fn is_our_address<F: Family>(address: &F::Address) -> bool {
    F::our_addresses().get_ptr(address).is_some()
}
