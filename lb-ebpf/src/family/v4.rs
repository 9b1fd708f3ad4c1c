//! IPv4: what it does its own way (RFC 791).

use aya_ebpf::{
    bindings::{bpf_fib_lookup, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1},
    programs::XdpContext,
};
use lb_common::{
    abi::{self, AddressV4, FlowKey},
    checksum::{Delta, fold},
    counters::Counter,
    hash::FlowHasher,
    wire::{ETHERNET_HEADER, IPV4_HEADER, PROTOCOL_TCP, TCP_HEADER},
};

use super::{ANSWER_TTL, Family, ports};
use crate::{
    maps::{
        BACKENDS_V4, BackendEndpoints, Backends, DRAFT_V4, Drafts, ENDPOINTS_V4, FLOWS_V4, FlowTable,
        HALF_OPEN_V4, HalfOpenTable, OUR_ADDRESSES_V4, OurAddresses, SERVICES_V4, SPREAD_V4, ServiceTable,
        SpreadTable,
    },
    packet,
    parse::{self, Layout},
};

/// IPv4.
pub enum V4 {}

impl Family for V4 {
    type Address = AddressV4;
    const UNSPECIFIED: AddressV4 = AddressV4([0; 4]);
    const NUMBER: u8 = 2;
    const IP_HEADER: usize = IPV4_HEADER;
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
    fn answer_header(ctx: &XdpContext, key: &FlowKey<AddressV4>) -> Option<()> {
        const DONT_FRAGMENT: u16 = 0x4000;
        let ip = packet::at::<IPV4_HEADER>(ctx, ETHERNET_HEADER)?;
        ip.set::<u8, 0>(0x45);
        ip.set::<u8, 1>(0);
        ip.set::<u16, 2>(((IPV4_HEADER + TCP_HEADER) as u16).to_be());
        ip.set::<u16, 4>(0);
        ip.set::<u16, 6>(DONT_FRAGMENT.to_be());
        ip.set::<u8, 8>(ANSWER_TTL);
        ip.set::<u8, 9>(PROTOCOL_TCP);
        ip.set::<u16, 10>(0);
        ip.set::<AddressV4, 12>(key.destination);
        ip.set::<AddressV4, 16>(key.source);
        let sum = u64::from(ip.get::<u32, 0>())
            + u64::from(ip.get::<u32, 4>())
            + u64::from(ip.get::<u32, 8>())
            + u64::from(ip.get::<u32, 12>())
            + u64::from(ip.get::<u32, 16>());
        ip.set::<u16, 10>(!fold(sum));
        Some(())
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
