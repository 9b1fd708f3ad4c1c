//! The layout of every map: what the programs and the agent read and write together.
//!
//! Addresses and ports stay as they are on the wire (big-endian byte arrays); all else is in the machine's byte order.
//! No type has padding: `zerocopy::IntoBytes` refuses it at compile time, or a key's look-up would depend on it.
//! A change of any layout or meaning changes [`ABI_VERSION`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    limits::{MAGLEV_SLOTS, ROTATION_SLOTS},
    tcp::{Direction, State},
    wire::{Mac, PROTOCOL_TCP},
};

/// The version of everything in this module. An agent does not take over pinned maps of another version.
pub const ABI_VERSION: u32 = 1;

/// Index of a backend in the backend arrays. 0 is nobody; an id is not given to another backend while flows hold it.
pub type BackendId = u16;
/// Index of a link in the link arrays. 0 is none.
pub type LinkId = u8;
/// Index of a service in the choice tables.
pub type ServiceId = u8;

macro_rules! plain_data {
    ($($(#[$attribute:meta])* pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)+ })+) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type,)+ }

        #[cfg(feature = "user")]
        // SAFETY: repr(C), and zerocopy has checked that every byte is initialised and every bit pattern valid.
        unsafe impl aya::Pod for $name {}
    )+ };
}

/// An address as it is on the wire: [`AddressV4`] or [`AddressV6`].
pub trait Address: Copy + Eq + 'static {}

macro_rules! address {
    ($name:ident, $length:literal, $words:literal, $standard:ty) => {
        /// An address as it is on the wire, aligned so that it is read by words.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(C, align(4))]
        pub struct $name(pub [u8; $length]);

        impl Address for $name {}

        impl $name {
            /// The address as 32-bit words in the machine's byte order, each as it lies on the wire.
            #[inline(always)]
            pub const fn words(&self) -> [u32; $words] {
                // SAFETY: the type is aligned to a word and as long as the array, for which every bit pattern is valid.
                unsafe { (&raw const *self).cast::<[u32; $words]>().read() }
            }

            /// The address with these words.
            #[inline(always)]
            pub const fn from_words(words: [u32; $words]) -> Self {
                // SAFETY: as in `words`.
                Self(unsafe { core::mem::transmute::<[u32; $words], [u8; $length]>(words) })
            }
        }

        impl From<$standard> for $name {
            fn from(address: $standard) -> Self {
                Self(address.octets())
            }
        }

        impl From<$name> for $standard {
            fn from(address: $name) -> Self {
                address.0.into()
            }
        }

        #[cfg(feature = "user")]
        // SAFETY: repr(C), an array of bytes without padding.
        unsafe impl aya::Pod for $name {}
    };
}

address!(AddressV4, 4, 1, core::net::Ipv4Addr);
address!(AddressV6, 16, 4, core::net::Ipv6Addr);

/// Defines the types that are generic over the address, and asserts for both families that none has padding (zerocopy's
/// derive cannot know it of a generic type).
macro_rules! per_family {
    ($($(#[$attribute:meta])* pub struct $name:ident<A> ($v4:ident, $v6:ident) { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)+ })+) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<A: Address> { $($(#[$field_attribute])* pub $field: $type,)+ }

        #[doc = concat!("[`", stringify!($name), "`] for IPv4.")]
        pub type $v4 = $name<AddressV4>;
        #[doc = concat!("[`", stringify!($name), "`] for IPv6.")]
        pub type $v6 = $name<AddressV6>;

        const _: () = {
            const fn sum<A: Address>() -> usize { 0 $(+ size_of::<$type>())+ }
            assert!(size_of::<$v4>() == sum::<AddressV4>(), concat!(stringify!($v4), " has padding"));
            assert!(size_of::<$v6>() == sum::<AddressV6>(), concat!(stringify!($v6), " has padding"));
        };

        #[cfg(feature = "user")]
        // SAFETY: repr(C), no padding (asserted above), and every field is valid for every bit pattern.
        unsafe impl<A: Address> aya::Pod for $name<A> {}
    )+ };
}

per_family! {
    /// The key of a flow entry: the packet's own 5-tuple. Aligned so that a key on the stack is compared and copied by
    /// words.
    #[derive(Hash)]
    #[repr(C, align(8))]
    pub struct FlowKey<A> (FlowKeyV4, FlowKeyV6) {
        /// Source address of the packet.
        pub source: A,
        /// Destination address of the packet.
        pub destination: A,
        /// Source port, big-endian.
        pub source_port: [u8; 2],
        /// Destination port, big-endian.
        pub destination_port: [u8; 2],
        /// Protocol number, in the machine's byte order; TCP.
        pub protocol: u32,
    }

    /// The value of a flow entry.
    #[repr(C)]
    pub struct Flow<A> (FlowV4, FlowV6) {
        /// State, next hop and figures.
        pub meta: FlowMeta,
        /// The key of the other direction's entry. The packet's new source is its destination and the other way round,
        /// so this is the rewrite too.
        pub twin: FlowKey<A>,
    }

    /// An address and a port: the key of the service and backend look-ups.
    #[derive(Hash)]
    #[repr(C, align(4))]
    pub struct Endpoint<A> (EndpointV4, EndpointV6) {
        /// The address.
        pub address: A,
        /// The port, big-endian.
        pub port: [u8; 2],
        /// Protocol number, in the machine's byte order; TCP.
        pub protocol: u16,
    }

    /// What a packet needs to know of a backend.
    #[repr(C, align(8))]
    pub struct Backend<A> (BackendV4, BackendV6) {
        /// The backend's address.
        pub address: A,
        /// The source address towards it, where the VIP is not.
        pub snat_address: A,
        /// A bit for each VIP (by its index) that is itself the source towards this backend.
        pub snat_is_vip: u32,
        /// Link-layer address of the next hop.
        pub mac: Mac,
        /// The link it is reached by.
        pub link: LinkId,
        /// One of [`backend_state`].
        pub state: u8,
        /// Zero.
        pub zero: [u8; 4],
    }

    /// A source of connections to a service with the policy `spread`.
    #[derive(Hash)]
    #[repr(C, align(4))]
    pub struct SpreadKey<A> (SpreadKeyV4, SpreadKeyV6) {
        /// The client's address.
        pub source: A,
        /// The service.
        pub service: [u8; 4],
    }
}

impl<A: Address> FlowKey<A> {
    /// A key for TCP.
    #[inline(always)]
    pub const fn new(source: A, source_port: [u8; 2], destination: A, destination_port: [u8; 2]) -> Self {
        Self { source, destination, source_port, destination_port, protocol: PROTOCOL_TCP as u32 }
    }

    /// The same 5-tuple seen from the other end.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self::new(self.destination, self.destination_port, self.source, self.source_port)
    }
}

impl<A: Address> Endpoint<A> {
    /// An endpoint of TCP; the port is big-endian.
    #[inline(always)]
    pub const fn new(address: A, port: [u8; 2]) -> Self {
        Self { address, port, protocol: PROTOCOL_TCP as u16 }
    }
}

plain_data! {
    /// What a flow entry holds beside the rewrite; the same for both families.
    ///
    /// Each direction's packets write only their own entry, so the two never fight for a cache line.
    #[derive(Default)]
    pub struct FlowMeta {
        /// Bytes forwarded, IP headers included.
        pub bytes: u64,
        /// A [`StateWord`]. It and the two fields behind it are one 64-bit word, which changes atomically (BPF knows
        /// no narrower compare-and-exchange in Rust). The word of the *forward* entry is the pair's lock.
        pub state: u32,
        /// The backend; the same for the life of the entry.
        pub backend: BackendId,
        /// Zero; the rest of the atomic word.
        pub zero_of_word: u16,
        /// Packets forwarded, the lower 32 bits.
        pub packets: u32,
        /// When the last packet of this direction was seen, in [ticks](crate::tick::Tick).
        pub last_seen: u32,
        /// When the flow was entered, in ticks.
        pub created: u32,
        /// The highest sequence number seen in this direction, plus what the segment took.
        pub next_sequence: u32,
        /// The last acknowledgment number seen in this direction.
        pub last_acknowledgment: u32,
        /// Reverse entries: link-layer address of the client's next hop.
        pub mac: Mac,
        /// Packets forwarded, the upper 16 bits.
        pub packets_high: u16,
        /// Reverse entries: the link to the client.
        pub link: LinkId,
        /// Zero.
        pub zero_byte: u8,
        /// Zero.
        pub zero: u16,
    }

    /// A service: what a new connection needs to know.
    pub struct Service {
        /// The port of the backends, big-endian.
        pub backend_port: [u8; 2],
        /// Its index in the choice tables.
        pub id: ServiceId,
        /// One of [`policy`].
        pub policy: u8,
        /// The index of its VIP.
        pub vip: u8,
        /// Zero.
        pub zero: [u8; 3],
    }

    /// A way out: a device and its own link-layer address.
    pub struct Link {
        /// The kernel's number of the interface.
        pub interface: u32,
        /// The interface's own link-layer address.
        pub mac: Mac,
        /// A set of [`link_flags`].
        pub flags: u16,
    }

    /// What the whole data plane needs to know; one element.
    pub struct Settings {
        /// The key of the flow hash.
        pub hash_key: [u64; 2],
        /// A filter of all our addresses (VIPs and SNAT addresses), see [`address_bit_v4`] and [`address_bit_v6`].
        pub address_filter: [u64; ADDRESS_FILTER_WORDS],
        /// Time-out of an established connection's silence, in ticks.
        pub established_timeout: u32,
        /// Time-out of a connection of which one end has sent its FIN, in ticks.
        pub half_closed_timeout: u32,
        /// Time-out of a handshake, in ticks.
        pub half_open_timeout: u32,
        /// How long a closed pair lingers when the client closed first, or a RST did, in ticks.
        pub closed_timeout: u32,
        /// How long a closed pair lingers when the backend closed first and so holds `TIME_WAIT`, in ticks.
        pub time_wait_timeout: u32,
        /// After how long without a collector new flows stay in the lower tier, in ticks.
        pub uncollected_after: u32,
        /// The first SNAT port, host byte order.
        pub snat_port_first: u16,
        /// How many SNAT ports.
        pub snat_port_count: u16,
        /// A set of [`settings_flags`].
        pub flags: u32,
    }

    /// The sign of life of the agent; one element.
    pub struct Heartbeat {
        /// When the agent last beat, `CLOCK_MONOTONIC`, nanoseconds.
        pub beat_ns: u64,
        /// When the agent started, seconds since 1970.
        pub started_unix_s: u64,
        /// When the agent last collected a whole table, `CLOCK_MONOTONIC`, nanoseconds.
        pub collected_ns: u64,
        /// Process id of the agent.
        pub process: u32,
        /// Zero.
        pub zero: u32,
    }

    /// Whom a service's new connections go to; the one element of an inner map, swapped whole.
    pub struct Choice {
        /// How many of `slots` are in use: [`MAGLEV_SLOTS`], the length of the turn for `spread`, 0 for nobody.
        pub slot_count: u32,
        /// How many of `rotation` are in use.
        pub rotation_count: u32,
        /// The distinct backends, for the second try.
        pub rotation: [BackendId; ROTATION_SLOTS],
        /// `maglev`: the look-up table. `spread`: the backends in turn.
        pub slots: [BackendId; MAGLEV_SLOTS],
        /// Zero.
        pub zero: u16,
    }
}

impl FlowMeta {
    /// Packets forwarded: 48 bits in two fields.
    pub const fn packet_count(&self) -> u64 {
        (self.packets_high as u64) << 32 | self.packets as u64
    }
}

// The kernel's element header is 48 bytes: with this key, header and key fill one cache line and the value the next.
const _: () = assert!(size_of::<FlowKeyV4>() == 16 && size_of::<FlowV4>() == 64);
const _: () = assert!(size_of::<FlowKeyV6>() == 40 && size_of::<FlowV6>() == 88);
const _: () = assert!(size_of::<FlowMeta>() == 48 && core::mem::offset_of!(FlowMeta, state) % 8 == 0);
const _: () = assert!(core::mem::offset_of!(FlowMeta, mac) % 4 == 0);
const _: () = assert!(size_of::<BackendV4>() == 24 && size_of::<BackendV6>() == 48);

/// Where a packet goes on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct NextHop {
    /// The link-layer address.
    pub mac: Mac,
    /// The link.
    pub link: LinkId,
}

/// The states of a backend as the data plane knows them. Who gets *new* connections is told by the choice tables.
pub mod backend_state {
    /// The id is not in use.
    pub const NONE: u8 = 0;
    /// Flows go to it.
    pub const ACTIVE: u8 = 1;
    /// Flows go to it, but its link-layer address is not known yet.
    pub const UNRESOLVED: u8 = 2;
    /// Its flows are answered with RST.
    pub const RESET: u8 = 3;
}

/// How a service chooses.
pub mod policy {
    /// Consistent hashing of the 5-tuple.
    pub const MAGLEV: u8 = 0;
    /// The connections of one source in turn.
    pub const SPREAD: u8 = 1;
}

/// What is special about a link.
pub mod link_flags {
    /// Packets may arrive with a checksum that the sender left to its device, and leave so (generic XDP).
    pub const CHECKSUM_PARTIAL: u16 = 1;
    /// Packets may arrive so, and must be finished, because nobody will (native XDP on veth).
    pub const CHECKSUM_FINISH: u16 = 2;
}

/// Switches of the data plane.
pub mod settings_flags {
    /// At least one link has one of the checksum flags.
    pub const UNFINISHED_CHECKSUMS: u32 = 1;
}

/// 64-bit words of the address filter.
pub const ADDRESS_FILTER_WORDS: usize = 16;

/// The bit of the address filter for an IPv4 address. One bit of 1,024: an address that is not ours shares it with one
/// of ours once in a thousand, and is then found out by the tables.
#[inline(always)]
pub const fn address_bit_v4(address: u32) -> u32 {
    address.wrapping_mul(0x9e37_79b1) >> 22
}

/// The bit of the address filter for an IPv6 address, as four words in the machine's byte order.
#[inline(always)]
pub const fn address_bit_v6(words: [u32; 4]) -> u32 {
    let mixed =
        words[0].wrapping_mul(0x85eb_ca6b) ^ words[1].wrapping_mul(0xc2b2_ae35) ^ words[2].rotate_left(13);
    address_bit_v4(mixed ^ words[3])
}

/// The state of a pair in 32 bits, so that it changes in one atomic step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateWord(pub u32);

/// Flags of a [`StateWord`].
pub mod flow_flags {
    /// The entry of the backend's packets.
    pub const REVERSE: u8 = 0x01;
    /// Adopted, and not yet confirmed by the backend.
    pub const UNCONFIRMED: u8 = 0x02;
    /// The backend closed first, so it is the backend that holds `TIME_WAIT`.
    pub const BACKEND_CLOSED_FIRST: u8 = 0x04;
    /// The operator wants it reset: the next packet is answered with RST.
    pub const RESET: u8 = 0x08;
    /// The entry was never seen from its SYN on.
    pub const ADOPTED: u8 = 0x10;
    /// Forward entries: the flow table did not take the pair, which stays in the lower tier and has been counted.
    pub const STAYS_BELOW: u8 = 0x20;
}

impl StateWord {
    /// A word of its parts.
    #[inline(always)]
    pub const fn new(state: State, flags: u8, attempt: u8, service: ServiceId) -> Self {
        Self(state as u32 | (flags as u32) << 8 | (attempt as u32) << 16 | (service as u32) << 24)
    }

    /// The TCP state.
    #[inline(always)]
    pub const fn state(self) -> State {
        State::from_u8(self.0 as u8)
    }

    /// The [`flow_flags`].
    #[inline(always)]
    pub const fn flags(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Which candidate this is: how often the flow was guessed anew.
    #[inline(always)]
    pub const fn attempt(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The service.
    #[inline(always)]
    pub const fn service(self) -> ServiceId {
        (self.0 >> 24) as u8
    }

    /// Whose packets the entry is for.
    #[inline(always)]
    pub const fn direction(self) -> Direction {
        if self.flags() & flow_flags::REVERSE != 0 { Direction::Reverse } else { Direction::Forward }
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    /// The same with another TCP state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: State) -> Self {
        Self(self.0 & !0xff | state as u32)
    }

    /// The same with these flags set too.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, flag: u8) -> Self {
        Self(self.0 | (flag as u32) << 8)
    }

    /// The same with these flags cleared.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, flag: u8) -> Self {
        Self(self.0 & !((flag as u32) << 8))
    }
}

impl Settings {
    /// How long an entry in this state may be silent, in ticks.
    #[inline(always)]
    pub const fn timeout(&self, word: StateWord) -> u32 {
        match word.state() {
            _ if word.has(flow_flags::UNCONFIRMED) => self.half_open_timeout,
            State::SynSent | State::SynReceived => self.half_open_timeout,
            State::Established => self.established_timeout,
            State::ClientClosed | State::BackendClosed => self.half_closed_timeout,
            State::Closed if word.has(flow_flags::BACKEND_CLOSED_FIRST) => self.time_wait_timeout,
            // A dead entry outlives its claim by microseconds; one that is this old was left behind.
            State::Closed | State::Dead => self.closed_timeout,
        }
    }

    /// The SNAT ports.
    #[inline(always)]
    pub const fn snat_ports(&self) -> crate::ports::PortRange {
        crate::ports::PortRange { first: self.snat_port_first, count: self.snat_port_count }
    }
}

/// A request to the program `collect`: this header, then `count` keys of one family. It travels as the packet of a
/// `BPF_PROG_TEST_RUN`.
pub mod collect {
    /// Bytes before the first key; at least an Ethernet header, or the kernel refuses the run.
    pub const HEADER: usize = 16;
    /// Offset of the family: 4 or 6.
    pub const FAMILY: usize = 0;
    /// Offset of the tier: 0 flow table, 1 half-open.
    pub const TIER: usize = 1;
    /// Offset of the number of keys, one byte.
    pub const COUNT: usize = 2;
    /// Offset of what is to be done with the pairs of these keys, one byte.
    pub const OPERATION: usize = 3;
    /// The pairs that are over are deleted.
    pub const DELETE_EXPIRED: u8 = 0;
    /// The pairs that are not closed are marked, so that their next packet is answered with RST.
    pub const RESET: u8 = 1;
    /// The most keys of one request: they fit in the one page of a test run, and bound the time with interrupts held.
    pub const MAX_KEYS: usize = 64;
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    /// The layout that [`ABI_VERSION`] stands for. Whoever changes a size changes both.
    #[test]
    fn the_version_stands_for_this_layout() {
        let sizes = [
            size_of::<FlowV4>(),
            size_of::<FlowV6>(),
            size_of::<EndpointV4>(),
            size_of::<EndpointV6>(),
            size_of::<BackendV4>(),
            size_of::<BackendV6>(),
            size_of::<Service>(),
            size_of::<Link>(),
            size_of::<Settings>(),
            size_of::<Heartbeat>(),
            size_of::<Choice>(),
            core::mem::offset_of!(FlowMeta, state),
            core::mem::offset_of!(FlowMeta, backend),
            core::mem::offset_of!(Settings, established_timeout),
            crate::counters::ALL.len(),
        ];
        let of_version_1 = [64, 88, 8, 20, 24, 48, 8, 12, 176, 32, 131_596, 8, 12, 144, 35];
        assert_eq!(
            (ABI_VERSION, sizes),
            (1, of_version_1),
            "the layout has changed: change ABI_VERSION and this table"
        );
    }

    proptest! {
        #[test]
        fn a_state_word_keeps_its_parts(state in 1u8..=7, flags in any::<u8>(), attempt in any::<u8>(), service in any::<u8>()) {
            let word = StateWord::new(State::from_u8(state), flags, attempt, service);
            prop_assert_eq!(word.state() as u8, state);
            prop_assert_eq!((word.flags(), word.attempt(), word.service()), (flags, attempt, service));
            let closed = word.with_state(State::Closed);
            prop_assert_eq!((closed.state(), closed.flags(), closed.attempt(), closed.service()), (State::Closed, flags, attempt, service));
            prop_assert!(word.with(flow_flags::RESET).has(flow_flags::RESET));
            prop_assert!(!word.without(flow_flags::RESET).has(flow_flags::RESET));
        }

        #[test]
        fn address_bits_are_in_the_filter(v4 in any::<u32>(), v6 in any::<[u32; 4]>()) {
            prop_assert!((address_bit_v4(v4) as usize) < ADDRESS_FILTER_WORDS * 64);
            prop_assert!((address_bit_v6(v6) as usize) < ADDRESS_FILTER_WORDS * 64);
        }
    }

    #[test]
    fn neighbouring_addresses_do_not_share_a_bit() {
        let bits: std::collections::HashSet<u32> =
            (0..=255u8).map(|host| address_bit_v4(u32::from_ne_bytes([10, 0, 0, host]))).collect();
        assert!(bits.len() > 200, "{} of 256 addresses of a /24 have a bit of their own", bits.len());
    }

    #[test]
    fn a_twin_of_a_twin_is_oneself() {
        let key = FlowKeyV4::new(AddressV4([1, 2, 3, 4]), [0, 80], AddressV4([5, 6, 7, 8]), [1, 187]);
        assert_eq!(key.reversed().reversed(), key);
    }
}
