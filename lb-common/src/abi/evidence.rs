//! What the programs tell the agent of a backend that does not behave.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{BackendId, ServiceId, layout::plain_data};

/// Kinds of evidence.
pub const EVIDENCE_KINDS: usize = 4;

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

    /// What the programs remember of one backend, so as not to tell the same again and again; an element of `EVIDENCE`.
    pub struct EvidenceCell {
        /// When each kind was last told, in ticks; 0 for never.
        pub told: [u32; EVIDENCE_KINDS],
        /// Since when `resets` counts, in ticks.
        pub burst_since: u32,
        /// RSTs on established connections since.
        pub resets: u32,
    }
}
