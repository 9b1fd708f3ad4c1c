//! What the programs tell the agent of a backend that does not behave.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{BackendId, ServiceId, layout::plain_data};

/// Kinds of evidence.
pub const EVIDENCE_KINDS: usize = 4;

/// RSTs of established connections with so many different clients within a second are a burst.
///
/// Different ones, because one client can have its connections reset by speaking nonsense. A control plane has more nodes,
/// or a backend that dies shows itself by refusing them when they come again.
pub const RESET_CLIENTS: usize = 8;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Evidence {
    /// It answered a SYN with a RST.
    Refused = 0,
    /// Somebody said that it cannot be reached (ICMP).
    Unreachable = 1,
    /// A SYN came again that it had not answered.
    Silent = 2,
    /// It reset many established connections at once.
    Resets = 3,
}

impl Evidence {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Refused),
            1 => Some(Self::Unreachable),
            2 => Some(Self::Silent),
            3 => Some(Self::Resets),
            _ => None,
        }
    }
}

plain_data! {
    /// An element of the ring `EVIDENCE_EVENTS`.
    pub struct EvidenceEvent {
        /// Of whom.
        pub backend: BackendId,
        /// An [`Evidence`].
        pub kind: u8,
        /// On which service.
        pub service: ServiceId,
        /// When, in ticks.
        pub tick: u32,
    }

    /// The key of `EVIDENCE`: a service on a backend. Another service of the same backend, which nobody may probe, keeps
    /// nothing of this one's from being told.
    #[derive(Hash)]
    pub struct EvidenceKey {
        /// The backend.
        pub backend: BackendId,
        /// The service.
        pub service: ServiceId,
        /// Zero.
        pub zero: u8,
    }

    /// What the programs remember of a service on a backend, so as not to tell the same again and again.
    pub struct EvidenceCell {
        /// When each kind was last told, in ticks; 0 for never.
        pub told: [u32; EVIDENCE_KINDS],
        /// Since when `reset_clients` are noted, in ticks.
        pub burst_since: u32,
        /// How many of `reset_clients` are in use.
        pub resets: u32,
        /// With whom connections have been reset since: the sum of the words of each client's address.
        pub reset_clients: [u32; RESET_CLIENTS],
    }
}

impl EvidenceKey {
    /// The key of a service on a backend.
    #[inline(always)]
    pub const fn new(backend: BackendId, service: ServiceId) -> Self {
        Self { backend, service, zero: 0 }
    }
}

impl EvidenceCell {
    /// Nothing has been seen.
    pub const EMPTY: Self =
        Self { told: [0; EVIDENCE_KINDS], burst_since: 0, resets: 0, reset_clients: [0; RESET_CLIENTS] };
}
