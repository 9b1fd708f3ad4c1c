//! What the agent tells the programs: services, backends, links, and whom new connections go to.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    Address, AddressV4, AddressV6, BackendId, LinkId, ServiceId,
    layout::{per_family, plain_data},
};
use crate::{
    limits::{MAGLEV_SLOTS, ROTATION_SLOTS},
    wire::{Mac, PROTOCOL_TCP},
};

per_family! {
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

const _: () = assert!(size_of::<BackendV4>() == 24 && size_of::<BackendV6>() == 48);

impl<A: Address> Endpoint<A> {
    /// An endpoint of TCP; the port is big-endian.
    #[inline(always)]
    pub const fn new(address: A, port: [u8; 2]) -> Self {
        Self { address, port, protocol: PROTOCOL_TCP as u16 }
    }
}

plain_data! {
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
