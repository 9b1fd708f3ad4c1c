//! IPv4: what it does its own way (RFC 791).

use aya_ebpf::{
    bindings::{bpf_fib_lookup, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1},
    programs::XdpContext,
};
use lb_common::{
    abi::{self, AddressV4, FlowKey, Syn},
    checksum::{Delta, fold},
    counters::Counter,
    hash::FlowHasher,
    wire::{
        ETHERNET_HEADER, ETHERTYPE_IPV4, ICMP_ERROR_HEADER, IPV4_FRAGMENT_OFFSET, IPV4_HEADER,
        IPV4_MORE_FRAGMENTS, PROTOCOL_ICMP, PROTOCOL_TCP,
    },
};

use super::{Family, Header, ports};
use crate::{
    maps::{
        BACKENDS_V4, BackendEndpoints, Backends, DRAFT_V4, Drafts, ENDPOINTS_V4, FLOWS_V4, FlowTable,
        HALF_OPEN_V4, HalfOpenTable, KEPT_V4, KeptPackets, OUR_ADDRESSES_V4, OurAddresses, SERVICES_V4,
        SPREAD_V4, ServiceTable, SpreadTable,
    },
    packet::{self, Span},
    parse::{self, Layout, Segment},
    verdict::Step,
};

/// IPv4.
pub enum V4 {}

impl Family for V4 {
    type Address = AddressV4;
    type Octets = [u8; 4];
    const UNSPECIFIED: AddressV4 = AddressV4([0; 4]);
    const NUMBER: u8 = 2;
    const IP_HEADER: usize = IPV4_HEADER;
    const ETHERTYPE: u16 = ETHERTYPE_IPV4;
    /// Not to be fragmented.
    const PLAIN: [u8; 4] = [0, 0x40, 0, 0];
    const SOCKET_TUPLE: u32 = 12;

    #[inline(always)]
    fn flows() -> &'static FlowTable<AddressV4> {
        &FLOWS_V4
    }
    #[inline(always)]
    fn half_open() -> &'static HalfOpenTable<AddressV4> {
        &HALF_OPEN_V4
    }
    #[inline(always)]
    fn services() -> &'static ServiceTable<AddressV4> {
        &SERVICES_V4
    }
    #[inline(always)]
    fn endpoints() -> &'static BackendEndpoints<AddressV4> {
        &ENDPOINTS_V4
    }
    #[inline(always)]
    fn backends() -> &'static Backends<AddressV4> {
        &BACKENDS_V4
    }
    #[inline(always)]
    fn spread() -> &'static SpreadTable<AddressV4> {
        &SPREAD_V4
    }

    #[inline(always)]
    fn drafts() -> &'static Drafts<AddressV4> {
        &DRAFT_V4
    }
    #[inline(always)]
    fn kept() -> &'static KeptPackets<AddressV4> {
        &KEPT_V4
    }
    #[inline(always)]
    fn our_addresses() -> &'static OurAddresses<AddressV4> {
        &OUR_ADDRESSES_V4
    }

    #[inline(always)]
    fn addresses(ctx: &XdpContext, key: &mut FlowKey<AddressV4>) -> Option<()> {
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
        key.source = ip.get::<AddressV4, 12>();
        key.destination = ip.get::<AddressV4, 16>();
        Some(())
    }

    #[inline(always)]
    fn requested_key(ctx: &XdpContext, offset: usize) -> Option<FlowKey<AddressV4>> {
        let key = packet::at::<16>(ctx, offset)?;
        let ports = (key.get::<[u8; 2], 8>(), key.get::<[u8; 2], 10>());
        Some(FlowKey::new(key.get::<AddressV4, 0>(), ports.0, key.get::<AddressV4, 4>(), ports.1))
    }

    #[inline(always)]
    fn layout(ctx: &XdpContext) -> Option<Layout> {
        parse::ipv4(ctx)
    }

    #[inline(always)]
    fn rewrite_header(ctx: &XdpContext, twin: &FlowKey<AddressV4>, addresses: Delta) -> Result<(), Counter> {
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER).ok_or(Counter::DropInternal)?;
        let ttl = ip.get::<u8, 8>();
        if ttl <= 1 {
            return Err(Counter::DropTtlExpired);
        }
        let old = ip.get::<u16, 8>();
        ip.set::<u8, 8>(ttl - 1);
        let delta = addresses.replace_u16(old, ip.get::<u16, 8>());
        ip.set::<u16, 10>(delta.apply(ip.get::<u16, 10>()));
        ip.set::<AddressV4, 12>(twin.destination);
        ip.set::<AddressV4, 16>(twin.source);
        Ok(())
    }

    #[inline(always)]
    fn set_route(parameters: &mut bpf_fib_lookup, source: &AddressV4, destination: &AddressV4) {
        parameters.__bindgen_anon_3.ipv4_src = source.words()[0];
        parameters.__bindgen_anon_4.ipv4_dst = destination.words()[0];
    }

    #[inline(always)]
    fn socket_tuple(key: &FlowKey<AddressV4>) -> bpf_sock_tuple {
        // SAFETY: plain integers, for which zero is a value.
        let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
        tuple.__bindgen_anon_1.ipv4 = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
            saddr: key.source.words()[0],
            daddr: key.destination.words()[0],
            sport: u16::from_ne_bytes(key.source_port),
            dport: u16::from_ne_bytes(key.destination_port),
        };
        tuple
    }

    #[inline(always)]
    fn keep_header(ctx: &XdpContext, syn: &mut Syn) -> Step<u16> {
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER).ok_or(Counter::DropInternal)?;
        let ttl = ip.get::<u8, 8>();
        if ttl <= 1 {
            return Err(Counter::DropTtlExpired.into());
        }
        let identification = ip.get::<[u8; 2], 4>();
        syn.ip = [ip.get::<u8, 1>(), ip.get::<u8, 6>(), identification[0], identification[1]];
        syn.hop_limit = ttl - 1;
        Ok(!fold(header_sum(ip)))
    }

    #[inline(always)]
    fn write_header(ctx: &XdpContext, header: &Header<'_, AddressV4>) -> Option<()> {
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
        ip.set::<u8, 0>(0x45);
        ip.set::<u8, 1>(header.ip[0]);
        ip.set::<u16, 2>((IPV4_HEADER as u16 + header.tcp_length).to_be());
        ip.set::<[u8; 2], 4>([header.ip[2], header.ip[3]]);
        ip.set::<[u8; 2], 6>([header.ip[1], 0]);
        ip.set::<u8, 8>(header.hop_limit);
        ip.set::<u8, 9>(PROTOCOL_TCP);
        ip.set::<u16, 10>(0);
        ip.set::<AddressV4, 12>(header.key.source);
        ip.set::<AddressV4, 16>(header.key.destination);
        ip.set::<u16, 10>(!fold(header_sum(ip)));
        Some(())
    }

    #[inline(always)]
    fn unreachable(ctx: &XdpContext, segment: &mut Segment<AddressV4>) -> Option<()> {
        /// Destination unreachable (RFC 792).
        const UNREACHABLE: u8 = 3;
        /// Fragmentation needed says nothing about the destination.
        const FRAGMENTATION_NEEDED: u8 = 4;
        const ERROR: usize = ETHERNET_HEADER + IPV4_HEADER;
        const QUOTED: usize = ERROR + ICMP_ERROR_HEADER;
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
        let error = packet::at::<ICMP_ERROR_HEADER>(ctx, ERROR)?;
        // An error with IP options is left to the host.
        let speaks = ip.get::<u8, 0>() == 0x45
            && ip.get::<u8, 9>() == PROTOCOL_ICMP
            && ip.be16::<6>() & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET) == 0
            && error.get::<u8, 0>() == UNREACHABLE
            && error.get::<u8, 1>() != FRAGMENTATION_NEEDED;
        let quoted = packet::at::<IPV4_HEADER>(ctx, QUOTED)?;
        let is_tcp = quoted.get::<u8, 9>() == PROTOCOL_TCP && quoted.be16::<6>() & IPV4_FRAGMENT_OFFSET == 0;
        if !speaks || !is_tcp || quoted.get::<u8, 0>() != 0x45 {
            return None;
        }
        let tcp = packet::at::<8>(ctx, QUOTED + IPV4_HEADER)?;
        let (source, destination) = (quoted.get::<AddressV4, 12>(), quoted.get::<AddressV4, 16>());
        // An error goes to whoever sent what it quotes.
        if source != segment.key.destination {
            return None;
        }
        segment.key = FlowKey::new(destination, tcp.get::<[u8; 2], 2>(), source, tcp.get::<[u8; 2], 0>());
        segment.sequence = tcp.be32::<4>();
        Some(())
    }

    #[inline(always)]
    fn octets(address: AddressV4) -> [u8; 4] {
        address.0
    }

    #[inline(always)]
    fn filter_bit(address: &AddressV4) -> u32 {
        abi::address_bit_v4(address.words()[0])
    }

    #[inline(always)]
    fn hash(secret: [u64; 2], key: &FlowKey<AddressV4>) -> u64 {
        let source = u64::from(key.source.words()[0].to_le());
        let destination = u64::from(key.destination.words()[0].to_le());
        FlowHasher::new(secret).word(source | destination << 32).word(ports(key)).finish()
    }

    #[inline(always)]
    fn hash_address(secret: [u64; 2], address: &AddressV4) -> u64 {
        FlowHasher::new(secret).word(u64::from(address.words()[0].to_le())).finish()
    }

    #[inline(always)]
    fn is_martian(address: &AddressV4) -> bool {
        let first = address.0[0];
        first == 0 || first == 127 || first >= 224
    }

    #[inline(always)]
    fn readdress(old: &AddressV4, new: &AddressV4) -> Delta {
        Delta::ZERO.replace_u32(old.words()[0], new.words()[0])
    }

    #[inline(always)]
    fn address_sum(address: &AddressV4) -> u64 {
        u64::from(address.words()[0])
    }
}

/// The sum over a header without options.
#[inline(always)]
fn header_sum(ip: Span<IPV4_HEADER>) -> u64 {
    u64::from(ip.get::<u32, 0>())
        + u64::from(ip.get::<u32, 4>())
        + u64::from(ip.get::<u32, 8>())
        + u64::from(ip.get::<u32, 12>())
        + u64::from(ip.get::<u32, 16>())
}
