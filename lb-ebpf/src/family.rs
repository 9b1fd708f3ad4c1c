//! What differs between IPv4 and IPv6: the maps, and a few words about addresses. Everything else is generic over it.

use aya_ebpf::{
    bindings::{
        bpf_fib_lookup, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
    },
    programs::XdpContext,
};
use lb_common::{
    abi::{self, Address, AddressV4, AddressV6, FlowKey},
    checksum::{Delta, fold},
    counters::Counter,
    hash::FlowHasher,
    wire::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, PROTOCOL_TCP, TCP_HEADER},
};

use crate::{
    maps::{
        BACKENDS_V4, BACKENDS_V6, BackendEndpoints, Backends, DRAFT_V4, DRAFT_V6, Drafts, ENDPOINTS_V4,
        ENDPOINTS_V6, FLOWS_V4, FLOWS_V6, FlowTable, HALF_OPEN_V4, HALF_OPEN_V6, HalfOpenTable,
        OUR_ADDRESSES_V4, OUR_ADDRESSES_V6, OurAddresses, SERVICES_V4, SERVICES_V6, SPREAD_V4, SPREAD_V6,
        ServiceTable, SpreadTable,
    },
    packet::{self, Wire},
    parse::{self, Layout},
};

/// An address family.
pub trait Family: 'static {
    /// An address as on the wire.
    type Address: Address + Wire;
    /// The unspecified address.
    const UNSPECIFIED: Self::Address;
    /// The family's number in `bpf_fib_lookup` (`include/linux/socket.h`).
    const NUMBER: u8;
    /// Bytes of the IP header without options.
    const IP_HEADER: usize;
    /// Bytes of the 5-tuple as the socket look-up wants it.
    const SOCKET_TUPLE: u32;

    /// The flow table.
    fn flows() -> &'static FlowTable<Self::Address>;
    /// The lower tier.
    fn half_open() -> &'static HalfOpenTable<Self::Address>;
    /// The services.
    fn services() -> &'static ServiceTable<Self::Address>;
    /// The backends' service ports.
    fn endpoints() -> &'static BackendEndpoints<Self::Address>;
    /// The backends.
    fn backends() -> &'static Backends<Self::Address>;
    /// Whose turn it is.
    fn spread() -> &'static SpreadTable<Self::Address>;

    /// Where a new pair is put together.
    fn drafts() -> &'static Drafts<Self::Address>;
    /// VIPs and SNAT addresses.
    fn our_addresses() -> &'static OurAddresses<Self::Address>;

    /// Reads source and destination of a packet into a key; `None` where the frame has no whole IP header.
    fn addresses(ctx: &XdpContext, key: &mut FlowKey<Self::Address>) -> Option<()>;
    /// A key in a request to the collector.
    fn requested_key(ctx: &XdpContext, offset: usize) -> Option<FlowKey<Self::Address>>;
    /// Where TCP begins; `None` where the packet is not TCP.
    fn layout(ctx: &XdpContext) -> Option<Layout>;
    /// Writes the new addresses and one hop less to live into the IP header, which it leaves alone where the packet's
    /// time is over.
    fn rewrite_header(
        ctx: &XdpContext,
        twin: &FlowKey<Self::Address>,
        addresses: Delta,
    ) -> Result<(), Counter>;
    /// Writes the addresses of a route look-up.
    fn set_route(parameters: &mut bpf_fib_lookup, source: &Self::Address, destination: &Self::Address);
    /// The 5-tuple of a packet for the socket look-up.
    fn socket_tuple(key: &FlowKey<Self::Address>) -> bpf_sock_tuple;
    /// Turns the IP header of a packet around and makes it that of a bare TCP header behind it.
    fn answer_header(ctx: &XdpContext, key: &FlowKey<Self::Address>) -> Option<()>;

    /// The bit of an address in the filter of our addresses.
    fn filter_bit(address: &Self::Address) -> u32;
    /// The keyed hash of a flow.
    fn hash(secret: [u64; 2], key: &FlowKey<Self::Address>) -> u64;
    /// The keyed hash of a client.
    fn hash_address(secret: [u64; 2], address: &Self::Address) -> u64;
    /// Whether an address can be nobody's: unspecified, loopback, multicast, broadcast (RFC 1122, section 3.2.1.3;
    /// RFC 6890; RFC 4291, section 2.7).
    fn is_martian(address: &Self::Address) -> bool;
    /// What another address changes in a checksum.
    fn readdress(old: &Self::Address, new: &Self::Address) -> Delta;
    /// The sum of the words of an address.
    fn address_sum(address: &Self::Address) -> u64;
}

/// The time to live of a packet that we make ourselves.
const ANSWER_TTL: u8 = 64;

/// IPv4.
pub enum V4 {}
/// IPv6.
pub enum V6 {}

fn ports<A: Address>(key: &FlowKey<A>) -> u64 {
    let [a, b] = key.source_port;
    let [c, d] = key.destination_port;
    u64::from(u32::from_le_bytes([a, b, c, d]))
}

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

impl Family for V6 {
    type Address = AddressV6;
    const UNSPECIFIED: AddressV6 = AddressV6([0; 16]);
    const NUMBER: u8 = 10;
    const IP_HEADER: usize = IPV6_HEADER;
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
    fn answer_header(ctx: &XdpContext, key: &FlowKey<AddressV6>) -> Option<()> {
        let ip = packet::at::<IPV6_HEADER>(ctx, ETHERNET_HEADER)?;
        ip.set::<u32, 0>(0x6000_0000_u32.to_be());
        ip.set::<u16, 4>((TCP_HEADER as u16).to_be());
        ip.set::<u8, 6>(PROTOCOL_TCP);
        ip.set::<u8, 7>(ANSWER_TTL);
        ip.set::<AddressV6, 8>(key.destination);
        ip.set::<AddressV6, 24>(key.source);
        Some(())
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
