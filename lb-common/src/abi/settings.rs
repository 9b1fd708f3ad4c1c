//! What the whole data plane needs to know, and the agent's sign of life.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ADDRESS_FILTER_WORDS, StateWord, flow_flags, layout::plain_data};
use crate::tcp::State;

plain_data! {
    /// What the whole data plane needs to know; one element.
    pub struct Settings {
        /// The key of the flow hash.
        pub hash_key: [u64; 2],
        /// A filter of all our addresses (VIPs and SNAT addresses), see [`super::address_bit_v4`] and
        /// [`super::address_bit_v6`].
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
}

/// Switches of the data plane.
pub mod settings_flags {
    /// At least one link has one of the checksum flags.
    pub const UNFINISHED_CHECKSUMS: u32 = 1;
}

impl Settings {
    /// How long an entry in this state may be silent, in ticks.
    #[inline(always)]
    pub const fn timeout(&self, word: StateWord) -> u32 {
        match word.state() {
            // What has been ended by us answers its packets with RST for a while, whatever state it was in.
            state if word.has(flow_flags::RESET) && !matches!(state, State::Dead) => self.time_wait_timeout,
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
