//! What differs between IPv4 and IPv6: the maps, and a few words about addresses. Everything else is generic over it.

mod v4;
mod v6;

use aya_ebpf::{
    bindings::{bpf_fib_lookup, bpf_sock_tuple},
    programs::XdpContext,
};
use aya_log_ebpf::macro_support::{Argument, IpFormatter};
use lb_common::{
    abi::{Address, FlowKey, Syn},
    checksum::Delta,
    counters::Counter,
};

pub use self::{v4::V4, v6::V6};
use crate::{
    maps::{
        BackendEndpoints, Backends, Drafts, FlowTable, HalfOpenTable, KeptPackets, OurAddresses,
        ServiceTable, SpreadTable,
    },
    packet::Wire,
    parse::{Layout, Segment},
    verdict::Step,
};

pub trait Family: 'static {
    /// An address as on the wire.
    type Address: Address + Wire;
    /// The bytes of an address.
    type Octets: Argument + IpFormatter;
    /// The unspecified address.
    const UNSPECIFIED: Self::Address;
    /// The family's number in `bpf_fib_lookup` (`include/linux/socket.h`).
    const NUMBER: u8;
    /// Bytes of the IP header without options.
    const IP_HEADER: usize;
    /// The `EtherType`, host byte order.
    const ETHERTYPE: u16;
    /// What the IP header of a packet of our own says, as in [`Syn::ip`].
    const PLAIN: [u8; 4];
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
    /// Where a packet is kept for the global functions.
    fn kept() -> &'static KeptPackets<Self::Address>;
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
    /// What is to be kept of the IP header of a SYN: its first words and the time that it has to live behind us. Returns how
    /// far the header's own checksum is off.
    fn keep_header(ctx: &XdpContext, syn: &mut Syn) -> Step<u16>;
    /// Writes the IP header of a TCP segment of ours.
    fn write_header(ctx: &XdpContext, header: &Header<'_, Self::Address>) -> Option<()>;
    /// Reads from an ICMP error that a destination cannot be reached which TCP segment it speaks of: the 5-tuple with
    /// which that would be answered, and its sequence number. `None` where it is no such error.
    fn unreachable(ctx: &XdpContext, segment: &mut Segment<Self::Address>) -> Option<()>;

    /// An address as a line about a packet tells it.
    fn octets(address: Self::Address) -> Self::Octets;
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

/// The IP header of a TCP segment that we make ourselves.
pub struct Header<'a, A: Address> {
    /// From whom to whom.
    pub key: &'a FlowKey<A>,
    /// As in [`Syn::ip`].
    pub ip: [u8; 4],
    /// The time to live.
    pub hop_limit: u8,
    /// Bytes of the TCP header, and there is nothing behind it.
    pub tcp_length: u16,
}

fn ports<A: Address>(key: &FlowKey<A>) -> u64 {
    let [a, b] = key.source_port;
    let [c, d] = key.destination_port;
    u64::from(u32::from_le_bytes([a, b, c, d]))
}
