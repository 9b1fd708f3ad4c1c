//! From a frame to what it says: addresses, ports and TCP fields, every length checked against the others.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    abi::{Address, FlowKey},
    wire::{
        ETHERNET_HEADER, IPV4_FRAGMENT_OFFSET, IPV4_HEADER, IPV4_MORE_FRAGMENTS, IPV6_HEADER,
        PROTOCOL_DESTINATION_OPTIONS, PROTOCOL_FRAGMENT, PROTOCOL_HOP_BY_HOP, PROTOCOL_TCP, TCP_HEADER,
        tcp_offset,
    },
};

use crate::packet;

/// A TCP segment.
#[derive(Clone, Copy)]
pub struct Segment<A: Address> {
    /// The 5-tuple.
    pub key: FlowKey<A>,
    /// Sequence number, host byte order.
    pub sequence: u32,
    /// Acknowledgment number, host byte order.
    pub acknowledgment: u32,
    /// Bytes of the IP packet by its own account, which is not the frame's where that is padded.
    pub ip_length: u32,
    /// Offset of the TCP header in the frame.
    pub tcp_at: u16,
    /// Bytes of the TCP header and its payload.
    pub tcp_length: u16,
    /// Bytes of the payload.
    pub payload: u16,
    /// The TCP flags.
    pub flags: u8,
}

impl<A: Address> Segment<A> {
    /// One of which nothing is known yet.
    #[inline(always)]
    pub const fn new(unspecified: A) -> Self {
        Self {
            key: FlowKey::new(unspecified, [0; 2], unspecified, [0; 2]),
            sequence: 0,
            acknowledgment: 0,
            ip_length: 0,
            tcp_at: 0,
            tcp_length: 0,
            payload: 0,
            flags: 0,
        }
    }
}

/// What a packet to one of our addresses turned out to be.
pub enum Parsed {
    /// A whole TCP segment.
    Segment,
    /// TCP of which the ports can be read, but whose lengths contradict each other. At this offset.
    Malformed(usize),
    /// The first fragment of a TCP segment, with ports at this offset.
    Fragment(usize),
    /// An ICMP error that a destination cannot be reached. The segment has the key of the answer that will not come, the
    /// sequence number of what was sent, and no TCP header.
    Unreachable,
    /// Something else.
    Other,
}

/// Where TCP begins and how much of it there is.
pub struct Layout {
    /// Offset of the TCP header in the frame.
    pub tcp_at: usize,
    /// Bytes of the IP packet by its own account.
    ip_length: usize,
    /// What it is, unless it is a whole segment.
    exception: Option<Parsed>,
}

/// The IPv4 header of a packet (RFC 791). `None` where it is not TCP.
#[inline(always)]
pub fn ipv4(ctx: &XdpContext) -> Option<Layout> {
    let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
    let version_and_length = ip.get::<u8, 0>();
    let header = usize::from(version_and_length & 0x0f) * 4;
    if version_and_length >> 4 != 4 || header < IPV4_HEADER || ip.get::<u8, 9>() != PROTOCOL_TCP {
        return None;
    }
    let tcp_at = ETHERNET_HEADER + header;
    let fragment = ip.be16::<6>();
    let exception = match fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET) {
        0 => None,
        IPV4_MORE_FRAGMENTS => Some(Parsed::Fragment(tcp_at)),
        // Later fragments have no ports. The host cannot complete them without the first.
        _ => return None,
    };
    Some(Layout { tcp_at, ip_length: usize::from(ip.be16::<2>()), exception })
}

/// Extension headers that a segment may have before TCP.
const IPV6_EXTENSIONS: usize = 3;

/// The IPv6 header of a packet and the extension headers that do not change where it goes (RFC 8200, section 4).
/// `None` where it is not TCP.
#[inline(always)]
pub fn ipv6(ctx: &XdpContext) -> Option<Layout> {
    let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
    if ip.get::<u8, 0>() >> 4 != 6 {
        return None;
    }
    let ip_length = IPV6_HEADER + usize::from(ip.be16::<4>());
    let next = ip.get::<u8, 6>();
    if next == PROTOCOL_TCP {
        return Some(Layout { tcp_at: ETHERNET_HEADER + IPV6_HEADER, ip_length, exception: None });
    }
    ipv6_extensions(ctx, next, ip_length)
}

#[inline(always)]
fn ipv6_extensions(ctx: &XdpContext, mut next: u8, ip_length: usize) -> Option<Layout> {
    let mut tcp_at = ETHERNET_HEADER + IPV6_HEADER;
    let mut is_fragment = false;
    for _ in 0..IPV6_EXTENSIONS {
        match next {
            PROTOCOL_HOP_BY_HOP | PROTOCOL_DESTINATION_OPTIONS => {
                let extension = packet::at::<8>(ctx, tcp_at)?;
                next = extension.get::<u8, 0>();
                tcp_at += (usize::from(extension.get::<u8, 1>()) + 1) * 8;
            }
            PROTOCOL_FRAGMENT => {
                let extension = packet::at::<8>(ctx, tcp_at)?;
                next = extension.get::<u8, 0>();
                tcp_at += 8;
                // Offset in the upper 13 bits. Only the first fragment has ports.
                if extension.be16::<2>() >> 3 != 0 {
                    return None;
                }
                is_fragment = true;
            }
            _ => break,
        }
    }
    // The ports lie behind the last extension header, which need not be that of the fragment.
    let exception = if is_fragment { Some(Parsed::Fragment(tcp_at)) } else { None };
    (next == PROTOCOL_TCP).then_some(Layout { tcp_at, ip_length, exception })
}

/// Reads the TCP header behind the IP header and fills `segment`, whose addresses the caller has set.
#[inline(always)]
pub fn tcp<A: Address>(ctx: &XdpContext, layout: Layout, segment: &mut Segment<A>) -> Parsed {
    if let Some(exception) = layout.exception {
        return exception;
    }
    let Layout { tcp_at, ip_length, .. } = layout;
    let lies = ETHERNET_HEADER + ip_length > packet::length(ctx)
        || tcp_at + TCP_HEADER > ETHERNET_HEADER + ip_length;
    if lies {
        return Parsed::Malformed(tcp_at);
    }
    let Some(header) = packet::at::<TCP_HEADER>(ctx, tcp_at) else {
        return Parsed::Malformed(tcp_at);
    };
    let tcp_length = ETHERNET_HEADER + ip_length - tcp_at;
    let tcp_header = usize::from(header.get::<u8, { tcp_offset::DATA_OFFSET }>() >> 4) * 4;
    if tcp_header < TCP_HEADER || tcp_header > tcp_length {
        return Parsed::Malformed(tcp_at);
    }
    segment.key.source_port = header.get::<[u8; 2], { tcp_offset::SOURCE }>();
    segment.key.destination_port = header.get::<[u8; 2], { tcp_offset::DESTINATION }>();
    segment.sequence = header.be32::<{ tcp_offset::SEQUENCE }>();
    segment.acknowledgment = header.be32::<{ tcp_offset::ACKNOWLEDGMENT }>();
    segment.flags = header.get::<u8, { tcp_offset::FLAGS }>();
    segment.ip_length = ip_length as u32;
    segment.tcp_at = tcp_at as u16;
    segment.tcp_length = tcp_length as u16;
    segment.payload = (tcp_length - tcp_header) as u16;
    Parsed::Segment
}
