//! A flow entry: key, value, and the word that is its state.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Address, AddressV4, AddressV6, BackendId, LinkId, ServiceId,
    layout::{per_family, plain_data},
};
use crate::{
    tcp::{Direction, State},
    wire::{Mac, PROTOCOL_TCP, TCP_OPTIONS},
};

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

    /// The value of an entry in the lower tier: a flow, and the SYN that it began with.
    #[repr(C)]
    pub struct HalfOpen<A> (HalfOpenV4, HalfOpenV6) {
        /// What the flow table holds too.
        pub flow: Flow<A>,
        /// The client's SYN, to be sent again to another backend.
        pub syn: Syn,
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

plain_data! {
    /// What is kept of a client's SYN: all that a backend may look at. What is not: IPv4 options and IPv6 extension
    /// headers, and data of the SYN (the client sends it again when its acknowledgment does not cover it, RFC 9293,
    /// section 3.10.7.3).
    pub struct Syn {
        /// The keyed hash of the flow, which leads to its ports and backends.
        pub hash: u64,
        /// The TCP options, zero behind their end.
        pub options: [u8; TCP_OPTIONS],
        /// Sequence number, host byte order.
        pub sequence: u32,
        /// What the IP header says beside addresses and lengths. IPv4: type of service, the upper byte of the fragment
        /// field, identification. IPv6: the first word (version, traffic class, flow label).
        pub ip: [u8; 4],
        /// Window, big-endian.
        pub window: [u8; 2],
        /// The backend that the service's policy chose.
        pub backend: BackendId,
        /// The TCP flags.
        pub flags: u8,
        /// Bytes of `options` in use, a multiple of four.
        pub options_length: u8,
        /// The time to live with which it is sent on.
        pub hop_limit: u8,
        /// A set of [`syn_marks`].
        pub marks: u8,
    }

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
}

impl Syn {
    /// No SYN: that of a connection which was taken up in the middle.
    pub const NONE: Self = Self {
        hash: 0,
        options: [0; TCP_OPTIONS],
        sequence: 0,
        ip: [0; 4],
        window: [0; 2],
        backend: 0,
        flags: 0,
        options_length: 0,
        hop_limit: 0,
        marks: 0,
    };
}

/// What is marked of a [`Syn`].
pub mod syn_marks {
    /// The ninth TCP flag, AE: the lowest bit of the byte with the data offset (RFC 9768, section 3.1).
    pub const ACCURATE_ECN: u8 = 0x01;
    /// Of what is not kept nothing keeps a host from answering: the checksums are right, no IP options or extension
    /// headers, no data, no reserved bits.
    pub const SOUND: u8 = 0x02;
}

impl FlowMeta {
    /// Packets forwarded: 48 bits in two fields.
    pub const fn packet_count(&self) -> u64 {
        (self.packets_high as u64) << 32 | self.packets as u64
    }
}

// The kernel's element header is 48 bytes: with this key, header and key fill one cache line and the value the next.
const _: () = assert!(size_of::<FlowKeyV4>() == 16 && size_of::<FlowV4>() == 64);
const _: () = assert!(size_of::<HalfOpenV4>() == 128 && size_of::<HalfOpenV6>() == 152);
const _: () = assert!(size_of::<FlowKeyV6>() == 40 && size_of::<FlowV6>() == 88);
const _: () = assert!(size_of::<FlowMeta>() == 48 && core::mem::offset_of!(FlowMeta, state) % 8 == 0);
const _: () = assert!(core::mem::offset_of!(FlowMeta, mac) % 4 == 0);

/// Where a packet goes on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct NextHop {
    /// The link-layer address.
    pub mac: Mac,
    /// The link.
    pub link: LinkId,
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

    /// Which candidate this is. Adopted: how often the flow was guessed anew. In SYN-SENT: which of its backends, and
    /// how many of their ports were somebody else's (`redispatch`).
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
