//! IPv6: what it does its own way (RFC 8200).

use aya_ebpf::{
    bindings::{bpf_fib_lookup, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2},
    programs::XdpContext,
};
use lb_common::{
    abi::{self, AddressV6, FlowKey, Syn},
    checksum::Delta,
    counters::Counter,
    hash::FlowHasher,
    wire::{ETHERNET_HEADER, ETHERTYPE_IPV6, ICMP_ERROR_HEADER, IPV6_HEADER, PROTOCOL_ICMPV6, PROTOCOL_TCP},
};

use super::{Family, Header, ports};
use crate::{
    maps::{
        BACKENDS_V6, BackendEndpoints, Backends, DRAFT_V6, Drafts, ENDPOINTS_V6, FLOWS_V6, FlowTable,
        HALF_OPEN_V6, HalfOpenTable, KEPT_V6, KeptPackets, OUR_ADDRESSES_V6, OurAddresses, SERVICES_V6,
        SPREAD_V6, ServiceTable, SpreadTable,
    },
    packet,
    parse::{self, Layout, Segment},
    verdict::Step,
};

/// IPv6.
pub enum V6 {}

impl Family for V6 {
    type Address = AddressV6;
    type Octets = [u8; 16];
    const UNSPECIFIED: AddressV6 = AddressV6([0; 16]);
    const NUMBER: u8 = 10;
    const IP_HEADER: usize = IPV6_HEADER;
    const ETHERTYPE: u16 = ETHERTYPE_IPV6;
    const PLAIN: [u8; 4] = [0x60, 0, 0, 0];
    const SOCKET_TUPLE: u32 = 36;

    #[inline(always)]
    fn flows() -> &'static FlowTable<AddressV6> {
        &FLOWS_V6
    }
    #[inline(always)]
    fn half_open() -> &'static HalfOpenTable<AddressV6> {
        &HALF_OPEN_V6
    }
    #[inline(always)]
    fn services() -> &'static ServiceTable<AddressV6> {
        &SERVICES_V6
    }
    #[inline(always)]
    fn endpoints() -> &'static BackendEndpoints<AddressV6> {
        &ENDPOINTS_V6
    }
    #[inline(always)]
    fn backends() -> &'static Backends<AddressV6> {
        &BACKENDS_V6
    }
    #[inline(always)]
    fn spread() -> &'static SpreadTable<AddressV6> {
        &SPREAD_V6
    }

    #[inline(always)]
    fn drafts() -> &'static Drafts<AddressV6> {
        &DRAFT_V6
    }
    #[inline(always)]
    fn kept() -> &'static KeptPackets<AddressV6> {
        &KEPT_V6
    }
    #[inline(always)]
    fn our_addresses() -> &'static OurAddresses<AddressV6> {
        &OUR_ADDRESSES_V6
    }

    #[inline(always)]
    fn addresses(ctx: &XdpContext, key: &mut FlowKey<AddressV6>) -> Option<()> {
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
        key.source = ip.get::<AddressV6, 8>();
        key.destination = ip.get::<AddressV6, 24>();
        Some(())
    }

    #[inline(always)]
    fn requested_key(ctx: &XdpContext, offset: usize) -> Option<FlowKey<AddressV6>> {
        let key = packet::at::<40>(ctx, offset)?;
        let ports = (key.get::<[u8; 2], 32>(), key.get::<[u8; 2], 34>());
        Some(FlowKey::new(key.get::<AddressV6, 0>(), ports.0, key.get::<AddressV6, 16>(), ports.1))
    }

    #[inline(always)]
    fn layout(ctx: &XdpContext) -> Option<Layout> {
        parse::ipv6(ctx)
    }

    #[inline(always)]
    fn rewrite_header(ctx: &XdpContext, twin: &FlowKey<AddressV6>, _addresses: Delta) -> Result<(), Counter> {
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER).ok_or(Counter::DropInternal)?;
        let hop_limit = ip.get::<u8, 7>();
        if hop_limit <= 1 {
            return Err(Counter::DropTtlExpired);
        }
        ip.set::<u8, 7>(hop_limit - 1);
        ip.set::<AddressV6, 8>(twin.destination);
        ip.set::<AddressV6, 24>(twin.source);
        Ok(())
    }

    #[inline(always)]
    fn set_route(parameters: &mut bpf_fib_lookup, source: &AddressV6, destination: &AddressV6) {
        parameters.__bindgen_anon_3.ipv6_src = source.words();
        parameters.__bindgen_anon_4.ipv6_dst = destination.words();
    }

    #[inline(always)]
    fn socket_tuple(key: &FlowKey<AddressV6>) -> bpf_sock_tuple {
        // SAFETY: plain integers, for which zero is a value.
        let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
        tuple.__bindgen_anon_1.ipv6 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
            saddr: key.source.words(),
            daddr: key.destination.words(),
            sport: u16::from_ne_bytes(key.source_port),
            dport: u16::from_ne_bytes(key.destination_port),
        };
        tuple
    }

    #[inline(always)]
    fn keep_header(ctx: &XdpContext, syn: &mut Syn) -> Step<u16> {
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER).ok_or(Counter::DropInternal)?;
        let hop_limit = ip.get::<u8, 7>();
        if hop_limit <= 1 {
            return Err(Counter::DropTtlExpired.into());
        }
        syn.ip = ip.get::<u32, 0>().to_ne_bytes();
        syn.hop_limit = hop_limit - 1;
        // An IPv6 header has no checksum.
        Ok(0)
    }

    #[inline(always)]
    fn write_header(ctx: &XdpContext, header: &Header<'_, AddressV6>) -> Option<()> {
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
        ip.set::<u32, 0>(u32::from_ne_bytes(header.ip));
        ip.set::<u16, 4>(header.tcp_length.to_be());
        ip.set::<u8, 6>(PROTOCOL_TCP);
        ip.set::<u8, 7>(header.hop_limit);
        ip.set::<AddressV6, 8>(header.key.source);
        ip.set::<AddressV6, 24>(header.key.destination);
        Some(())
    }

    #[inline(always)]
    fn unreachable(ctx: &XdpContext, segment: &mut Segment<AddressV6>) -> Option<()> {
        /// Destination unreachable (RFC 4443, section 3.1).
        const UNREACHABLE: u8 = 1;
        const ERROR: usize = ETHERNET_HEADER + IPV6_HEADER;
        const QUOTED: usize = ERROR + ICMP_ERROR_HEADER;
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
        let error = packet::at::<ICMP_ERROR_HEADER>(ctx, ERROR)?;
        let speaks = ip.get::<u8, 6>() == PROTOCOL_ICMPV6 && error.get::<u8, 0>() == UNREACHABLE;
        let quoted = packet::at::<IPV6_HEADER>(ctx, QUOTED)?;
        // What we send has no extension headers.
        if !speaks || quoted.get::<u8, 0>() >> 4 != 6 || quoted.get::<u8, 6>() != PROTOCOL_TCP {
            return None;
        }
        let tcp = packet::at::<8>(ctx, QUOTED + IPV6_HEADER)?;
        let (source, destination) = (quoted.get::<AddressV6, 8>(), quoted.get::<AddressV6, 24>());
        // An error goes to whoever sent what it quotes.
        if source.words() != segment.key.destination.words() {
            return None;
        }
        segment.key = FlowKey::new(destination, tcp.get::<[u8; 2], 2>(), source, tcp.get::<[u8; 2], 0>());
        segment.sequence = tcp.be32::<4>();
        Some(())
    }

    #[inline(always)]
    fn octets(address: AddressV6) -> [u8; 16] {
        address.0
    }

    #[inline(always)]
    fn filter_bit(address: &AddressV6) -> u32 {
        abi::address_bit_v6(address.words())
    }

    #[inline(always)]
    fn hash(secret: [u64; 2], key: &FlowKey<AddressV6>) -> u64 {
        let ([a, b, c, d], destination) = (key.source.words(), key.destination.words());
        FlowHasher::new(secret)
            .word(u64::from(a.to_le()) | u64::from(b.to_le()) << 32)
            .word(u64::from(c.to_le()) | u64::from(d.to_le()) << 32)
            .word(u64::from(destination[0].to_le()) | u64::from(destination[1].to_le()) << 32)
            .word(u64::from(destination[2].to_le()) | u64::from(destination[3].to_le()) << 32)
            .word(ports(key))
            .finish()
    }

    #[inline(always)]
    fn hash_address(secret: [u64; 2], address: &AddressV6) -> u64 {
        let [a, b, c, d] = address.words();
        FlowHasher::new(secret)
            .word(u64::from(a.to_le()) | u64::from(b.to_le()) << 32)
            .word(u64::from(c.to_le()) | u64::from(d.to_le()) << 32)
            .finish()
    }

    #[inline(always)]
    fn is_martian(address: &AddressV6) -> bool {
        // ::/127 (unspecified and loopback), ff00::/8 (multicast).
        let [a, b, c, d] = address.words();
        address.0[0] == 0xff || (a == 0 && b == 0 && c == 0 && u32::from_be(d) <= 1)
    }

    #[inline(always)]
    fn readdress(old: &AddressV6, new: &AddressV6) -> Delta {
        let (old, new) = (old.words(), new.words());
        Delta::ZERO
            .replace_u32(old[0], new[0])
            .replace_u32(old[1], new[1])
            .replace_u32(old[2], new[2])
            .replace_u32(old[3], new[3])
    }

    #[inline(always)]
    fn address_sum(address: &AddressV6) -> u64 {
        let [a, b, c, d] = address.words();
        u64::from(a) + u64::from(b) + u64::from(c) + u64::from(d)
    }
}
