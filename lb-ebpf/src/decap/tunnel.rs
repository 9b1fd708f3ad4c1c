//! From a frame to the tunnel that it is: IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213) in IPv4 or IPv6, or in UDP without a
//! header between them (GUE, draft-ietf-intarea-gue, variant 1). Every length is checked against the others.
//!
//! Nothing is written here. What is no tunnel for one of our VIPs, and whole, is somebody else's.

use aya_ebpf::{EbpfContext as _, helpers, programs::XdpContext};
use lb_common::{
    abi::{
        AddressV4, AddressV6,
        decap::{Counter, FAMILY_V4, FAMILY_V6, Vip},
    },
    wire::{
        ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_FRAGMENT_OFFSET, IPV4_HEADER,
        IPV4_MORE_FRAGMENTS, IPV6_HEADER, PROTOCOL_DESTINATION_OPTIONS, PROTOCOL_FRAGMENT,
        PROTOCOL_HOP_BY_HOP, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_UDP, UDP_HEADER,
    },
};

use crate::{
    maps,
    packet::{self, opaque},
};

/// What becomes of a frame.
pub enum Fate {
    /// It is no tunnel: passed, and nobody counts it.
    Untouched,
    /// A tunnel that is not for us, for this reason: passed as it came.
    Passed(Counter),
    /// Taken out of its tunnel, of which kind, and passed.
    Taken(Counter),
    /// Dropped, for this reason.
    Dropped(Counter),
}

/// A whole packet to one of our VIPs, in another one.
pub struct Tunnel {
    /// Offset of the inner IP header in the frame.
    pub inner_at: usize,
    /// Whether the inner packet is IPv6.
    pub inner_is_v6: bool,
    /// Type of service or traffic class of the outer packet.
    pub outer_class: u8,
    /// The same of the inner one.
    pub inner_class: u8,
    /// What it is counted as when it is taken out.
    pub kind: Counter,
}

/// The outer IP packet.
struct Carrier {
    /// Offset of its payload in the frame. Its bound is in its bits ([`packet::known`]).
    at: usize,
    /// Where its payload ends.
    end: usize,
    /// What it carries.
    protocol: u8,
    /// Type of service or traffic class.
    class: u8,
    /// Why it cannot be taken off, if it is a tunnel at all.
    flaw: Flaw,
}

/// What is wrong with a carrier. Not an `Option` of a counter: its `None` is `u32::MAX`, which this compiler loads as 32 bits
/// and compares as 64 (LLVM 22 with `alu32`), so that it is never equal.
#[derive(Clone, Copy)]
enum Flaw {
    /// Nothing.
    None,
    /// It is a fragment.
    Fragment,
    /// It ends before its payload begins, or behind the frame.
    Contradiction,
}

impl Carrier {
    /// Ends the way of a tunnel that cannot be taken off.
    #[inline(always)]
    fn sound(&self) -> Result<(), Fate> {
        match self.flaw {
            Flaw::None => Ok(()),
            Flaw::Fragment => Err(Fate::Passed(Counter::PassedFragment)),
            Flaw::Contradiction => Err(Fate::Passed(Counter::PassedMalformed)),
        }
    }
}

/// Extension headers that a carrier may have. Linux puts a tunnel encapsulation limit there (RFC 2473, section 5.1).
const IPV6_EXTENSIONS: usize = 3;
/// Offset and "more fragments" in the fragment header. With neither it is a whole packet (RFC 6946).
const IPV6_FRAGMENT: u16 = 0xfff9;
/// The offset in the same word.
const IPV6_FRAGMENT_OFFSET: u16 = 0xfff8;

/// The tunnel that a frame is, or what becomes of the frame.
#[inline(always)]
pub fn find(ctx: &XdpContext) -> Result<Tunnel, Fate> {
    let ethernet = packet::at::<ETHERNET_HEADER>(ctx, 0).ok_or(Fate::Untouched)?;
    let carrier = match ethernet.be16::<12>() {
        ETHERTYPE_IPV4 => ipv4(ctx),
        ETHERTYPE_IPV6 => ipv6(ctx),
        // A frame with a VLAN tag too.
        _ => None,
    };
    let carrier = carrier.ok_or(Fate::Untouched)?;
    if carrier.protocol == PROTOCOL_UDP {
        let at = gue(ctx, &carrier)?;
        return inner(ctx, &Carrier { at, ..carrier }, Counter::TakenFromGue);
    }
    carrier.sound()?;
    inner(ctx, &carrier, Counter::TakenFromIpip)
}

/// Bytes of the frame, in however many buffers.
#[inline(always)]
fn frame_length(ctx: &XdpContext) -> usize {
    // SAFETY: the context is valid; since Linux 5.18.
    opaque(unsafe { helpers::bpf_xdp_get_buff_len(ctx.as_ptr().cast()) } as usize)
}

const fn carries_packets(protocol: u8) -> bool {
    matches!(protocol, PROTOCOL_IPV4 | PROTOCOL_IPV6 | PROTOCOL_UDP)
}

/// The IPv4 header of a carrier (RFC 791). `None` where it carries no packet.
#[inline(always)]
fn ipv4(ctx: &XdpContext) -> Option<Carrier> {
    let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
    let protocol = ip.get::<u8, 9>();
    let version_and_length = ip.get::<u8, 0>();
    let header = usize::from(version_and_length & 0x0f) * 4;
    if !carries_packets(protocol) || version_and_length >> 4 != 4 || header < IPV4_HEADER {
        return None;
    }
    let fragment = ip.be16::<6>();
    // Later fragments have no ports.
    if fragment & IPV4_FRAGMENT_OFFSET != 0 && protocol == PROTOCOL_UDP {
        return None;
    }
    let (at, end) = (ETHERNET_HEADER + header, ETHERNET_HEADER + usize::from(ip.be16::<2>()));
    let flaw = if fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET) != 0 {
        Flaw::Fragment
    } else {
        contradiction(ctx, at, end)
    };
    Some(Carrier { at: packet::known(at as u16), end, protocol, class: ip.get::<u8, 1>(), flaw })
}

/// The IPv6 header of a carrier and the extension headers that do not change where it goes (RFC 8200, section 4). `None`
/// where it carries no packet.
#[inline(always)]
fn ipv6(ctx: &XdpContext) -> Option<Carrier> {
    let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
    if ip.get::<u8, 0>() >> 4 != 6 {
        return None;
    }
    let mut protocol = ip.get::<u8, 6>();
    let mut at = ETHERNET_HEADER + IPV6_HEADER;
    let mut fragment = 0;
    for _ in 0..IPV6_EXTENSIONS {
        match protocol {
            PROTOCOL_HOP_BY_HOP | PROTOCOL_DESTINATION_OPTIONS => {
                let extension = packet::at::<8>(ctx, at)?;
                protocol = extension.get::<u8, 0>();
                at += (usize::from(extension.get::<u8, 1>()) + 1) * 8;
            }
            PROTOCOL_FRAGMENT => {
                let extension = packet::at::<8>(ctx, at)?;
                protocol = extension.get::<u8, 0>();
                fragment |= extension.be16::<2>();
                at += 8;
                // What follows in later fragments is no header.
                if fragment & IPV6_FRAGMENT_OFFSET != 0 {
                    break;
                }
            }
            _ => break,
        }
    }
    if !carries_packets(protocol) || fragment & IPV6_FRAGMENT_OFFSET != 0 && protocol == PROTOCOL_UDP {
        return None;
    }
    let end = ETHERNET_HEADER + IPV6_HEADER + usize::from(ip.be16::<4>());
    let flaw = if fragment & IPV6_FRAGMENT != 0 { Flaw::Fragment } else { contradiction(ctx, at, end) };
    Some(Carrier { at: packet::known(at as u16), end, protocol, class: (ip.be16::<0>() >> 4) as u8, flaw })
}

/// Whether a whole carrier ends before its payload begins, or behind the frame.
#[inline(always)]
fn contradiction(ctx: &XdpContext, at: usize, end: usize) -> Flaw {
    if end < at || end > frame_length(ctx) { Flaw::Contradiction } else { Flaw::None }
}

/// Where the packet in a UDP datagram begins.
#[inline(always)]
fn gue(ctx: &XdpContext, carrier: &Carrier) -> Result<usize, Fate> {
    let udp = packet::at::<UDP_HEADER>(ctx, carrier.at).ok_or(Fate::Untouched)?;
    if udp.be16::<2>() != maps::gue_port() {
        return Err(Fate::Untouched);
    }
    carrier.sound()?;
    if carrier.at + usize::from(udp.be16::<4>()) != carrier.end {
        return Err(Fate::Passed(Counter::PassedMalformed));
    }
    Ok(packet::known((carrier.at + UDP_HEADER) as u16))
}

/// The packet in a carrier, if it fills it to its last byte and is to one of our VIPs.
#[inline(always)]
fn inner(ctx: &XdpContext, carrier: &Carrier, kind: Counter) -> Result<Tunnel, Fate> {
    const MALFORMED: Fate = Fate::Passed(Counter::PassedMalformed);
    // Either header is as long.
    let version = packet::at::<IPV4_HEADER>(ctx, carrier.at).ok_or(MALFORMED)?.get::<u8, 0>() >> 4;
    let (vip, class, length) = match (carrier.protocol, version) {
        (PROTOCOL_IPV4 | PROTOCOL_UDP, 4) => inner_v4(ctx, carrier.at),
        (PROTOCOL_IPV6 | PROTOCOL_UDP, 6) => inner_v6(ctx, carrier.at),
        _ => None,
    }
    .ok_or(MALFORMED)?;
    if carrier.at + length != carrier.end {
        return Err(MALFORMED);
    }
    if !maps::is_vip(&vip) {
        return Err(Fate::Passed(Counter::PassedNotOurs));
    }
    Ok(Tunnel {
        inner_at: carrier.at,
        inner_is_v6: version == 6,
        outer_class: carrier.class,
        inner_class: class,
        kind,
    })
}

/// Destination, type of service and length of an inner IPv4 packet.
#[inline(always)]
fn inner_v4(ctx: &XdpContext, at: usize) -> Option<(Vip, u8, usize)> {
    let ip = packet::at::<IPV4_HEADER>(ctx, at)?;
    let header = usize::from(ip.get::<u8, 0>() & 0x0f) * 4;
    let length = usize::from(ip.be16::<2>());
    if header < IPV4_HEADER || length < header {
        return None;
    }
    let [address] = ip.get::<AddressV4, 16>().words();
    let vip = Vip { address: AddressV6::from_words([address, 0, 0, 0]).0, family: FAMILY_V4 };
    Some((vip, ip.get::<u8, 1>(), length))
}

/// Destination, traffic class and length of an inner IPv6 packet.
#[inline(always)]
fn inner_v6(ctx: &XdpContext, at: usize) -> Option<(Vip, u8, usize)> {
    let ip = packet::at::<IPV6_HEADER>(ctx, at)?;
    let vip = Vip { address: ip.get::<AddressV6, 24>().0, family: FAMILY_V6 };
    Some((vip, (ip.be16::<0>() >> 4) as u8, IPV6_HEADER + usize::from(ip.be16::<4>())))
}
