//! The way of a packet, from the frame to its verdict.
//!
//! ```text
//!  to one of our addresses? --no--> PASS          (a bit of a filter, before any table is asked)
//!       | yes
//!  flow table --hit--> judge, rewrite, transmit   (one look-up)
//!       | miss
//!  half-open tier, service, orphan                (`half_open`)
//! ```

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_ktime_get_coarse_ns, programs::XdpContext};
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
    global::{Word as _, global},
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
    let Some(ethernet) = packet::at::<ETHERNET_HEADER>(ctx, 0) else {
        return Verdict::NOT_OURS;
    };
    // A frame to a group is never TCP of ours: a host ignores such segments too (RFC 1122, section 4.2.3.10). And none comes
    // from a group (IEEE 802.3, section 3.2.3): its answer would go to all of that.
    if (ethernet.get::<u8, 0>() | ethernet.get::<u8, 6>()) & 1 != 0 {
        return Verdict::NOT_OURS;
    }
    match ethernet.be16::<12>() {
        ETHERTYPE_IPV4 => through::<V4>(ctx, ipv4(ctx.ctx)),
        ETHERTYPE_IPV6 => through::<V6>(ctx, ipv6(ctx.ctx)),
        _ => Verdict::NOT_OURS,
    }
}

/// Where the verdict is not final, the packet goes the rest of its way from here, where the stack is empty again.
#[inline(always)]
fn through<F: Family>(ctx: &XdpContext, verdict: u32) -> Verdict {
    let verdict = Verdict::from_word(verdict);
    if verdict.is_final() { verdict } else { rest::<F>(ctx, verdict.word()) }
}

/// A function of its own for each family, so that their stacks lie in the same place; a global one (`global`), so that the
/// entry point is gone through once for all verdicts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv4(ctx: *mut xdp_md) -> u32 {
    of_family::<V4>(&XdpContext::new(ctx)).word()
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv6(ctx: *mut xdp_md) -> u32 {
    of_family::<V6>(&XdpContext::new(ctx)).word()
}

#[inline(always)]
fn of_family<F: Family>(ctx: &XdpContext) -> Verdict {
    let Some(settings) = maps::settings() else {
        return Verdict::NOT_OURS;
    };
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
    match parsed {
        Parsed::Segment => whole(&packet),
        Parsed::Unreachable => {
            packet.keep();
            redispatch::unreachable::<F>(ctx)
        }
        Parsed::Other => Verdict::NOT_OURS,
        Parsed::Malformed(tcp_at) => defective::<F>(&packet, tcp_at, Counter::DropMalformed),
        Parsed::Fragment(tcp_at) => defective::<F>(&packet, tcp_at, Counter::DropFragment),
    }
}

/// A whole TCP segment to one of our addresses.
#[inline(always)]
fn whole<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    if let Some(entry) = Tier::Flows.get::<F>(&packet.segment.key) {
        return of_flow(packet, entry);
    }
    packet.keep();
    Verdict::anew(0)
}

global! {
    /// The rest of the way of a packet that the flow table has not settled. Each step leaves in memory what the next one needs,
    /// and is called from here, so that none of them lies on top of another on the stack.
    fn rest(verdict: u32) [] -> Verdict = step_by_step as rest_v4, rest_v6;
}

#[inline(always)]
fn step_by_step<F: Family>(packet: &Packet<'_, F>, verdict: u32) -> Verdict {
    let ctx = &packet.ctx;
    let mut verdict = Verdict::from_word(verdict);
    if verdict == Verdict::CHANGE {
        verdict = change::<F>(ctx);
    }
    if verdict.as_anew().is_some() {
        verdict = half_open::packet::<F>(ctx);
    }
    if let Some(attempt) = verdict.as_anew() {
        verdict = half_open::unknown::<F>(ctx, attempt.into());
    }
    if verdict == Verdict::REDISPATCH {
        verdict = redispatch::connection::<F>(ctx);
    }
    if verdict == Verdict::GO_ON {
        return nat::send_draft::<F>(ctx);
    }
    if verdict.is_answer() { reset::answer::<F>(ctx, verdict.word()) } else { verdict }
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
        packet.keep();
        return Ok(Verdict::CHANGE);
    }
    let previous = entry.last_seen();
    entry.touch(packet.segment, packet.now);
    let hop = match word.direction() {
        Direction::Forward => NextHop { mac: backend.mac, link: backend.link },
        Direction::Reverse => {
            if (previous.0 ^ packet.now.0) >> next_hop::REFRESH_SHIFT != 0 {
                packet.keep();
                next_hop::refresh::<F>(&packet.ctx, entry.pointer());
            }
            entry.hop()
        }
    };
    let twin = entry.twin();
    nat::send::<F>(&packet.ctx, packet.segment, &twin, hop, packet.settings)
}

global! {
    /// A packet of an entry in the flow table that is not quiet. The entry is looked up again: it may have gone meanwhile, and
    /// what of it would lie on the stack here is as much as all that follows.
    fn change() [] -> Verdict = of_change as change_v4, change_v6;
}

#[inline(always)]
fn of_change<F: Family>(packet: &Packet<'_, F>) -> Verdict {
    match Tier::Flows.get::<F>(&packet.segment.key) {
        Some(entry) => verdict::of(judge_change(packet, entry)),
        None => Verdict::anew(0),
    }
}

#[inline(always)]
fn judge_change<F: Family>(packet: &Packet<'_, F>, entry: Entry<F::Address>) -> Step<Verdict> {
    transition::packet::<F>(&packet.ctx, Tier::Flows.number(), entry.pointer()).go_on()?;
    let previous = entry.last_seen();
    entry.touch(packet.segment, packet.now);
    let draft = enter::draft::<F>()?;
    draft.reverse = entry.twin();
    draft.way = match entry.word().direction() {
        Direction::Forward => {
            let backend = F::backends().get(u32::from(entry.backend())).ok_or(Counter::DropInternal)?;
            NextHop { mac: backend.mac, link: backend.link }
        }
        Direction::Reverse => {
            if (previous.0 ^ packet.now.0) >> next_hop::REFRESH_SHIFT != 0 {
                next_hop::refresh::<F>(&packet.ctx, entry.pointer());
            }
            entry.hop()
        }
    };
    Ok(Verdict::GO_ON)
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
