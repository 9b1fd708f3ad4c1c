//! What happens in a story, one step after the other.

use std::net::SocketAddr;

use crate::model::{Condition, Tier, Tuple, tables::Unfinished};

/// A step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A frame comes in.
    Frame {
        /// By which of the interfaces: eth0, eth1, and one that is no link of ours.
        interface: usize,
        /// All of it.
        bytes: Vec<u8>,
        /// What somebody meant by it.
        meant: String,
    },
    /// The tables, or what is known of connections, change.
    Change(Change),
}

/// A change from outside.
#[derive(Clone, Debug)]
pub enum Change {
    /// A backend of one family gets another state.
    Backend {
        /// Whether of IPv4.
        ipv4: bool,
        /// Its number.
        id: u16,
        /// The state.
        condition: Condition,
    },
    /// A service's new connections go to others.
    Choice {
        /// The service's number.
        service: u8,
        /// What the policy looks into.
        slots: Vec<u16>,
        /// The list of the moment.
        list: Vec<u16>,
    },
    /// A service is there, or no more.
    Service {
        /// Where it is.
        at: SocketAddr,
        /// Whether it is there from now on.
        is_there: bool,
    },
    /// What comes and goes unfinished at the links.
    Links([Unfinished; 2]),
    /// How many SNAT ports there are.
    Ports(u16),
    /// The agent collected last so many ticks ago.
    Collected(u32),
    /// A connection's last packets were so much earlier.
    Older {
        /// Its tier.
        tier: Tier,
        /// One of its keys.
        key: Tuple,
        /// Whether those of both ends, or only those of this key.
        both: bool,
        /// Ticks.
        ticks: u32,
    },
    /// The lower tier overwrites an entry.
    Overwritten(Tuple),
    /// Somebody claims a pair, in order to delete it.
    Claimed {
        /// Its tier.
        tier: Tier,
        /// The key of its forward entry.
        key: Tuple,
    },
    /// What was told of backends was told so many ticks earlier.
    Forgets(u32),
    /// The collector looks at these keys.
    Collect {
        /// The tier.
        tier: Tier,
        /// The keys, all of one family.
        keys: Vec<Tuple>,
    },
    /// An operator resets the connections of these keys.
    Reset {
        /// The tier.
        tier: Tier,
        /// The keys, all of one family.
        keys: Vec<Tuple>,
    },
}
