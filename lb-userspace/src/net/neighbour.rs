//! One neighbour entry as the kernel tells it.

use std::fmt;
use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::RouteProtocol;

use super::facts::ethernet;

/// An address to resolve on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The interface's index.
    pub interface: u32,
    /// The neighbour's address.
    pub address: IpAddr,
}

/// A neighbour entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Which one.
    pub next_hop: NextHop,
    /// Its state (RFC 4861, section 7.3.2, and the kernel's own).
    pub state: State,
    /// Its Ethernet address, while the kernel holds one to be valid.
    pub mac: Option<[u8; 6]>,
    /// The kernel keeps it resolved (`NTF_EXT_MANAGED`).
    pub managed: bool,
    /// It bears the protocol number of this program: it was taken under management by an xdplb.
    pub ours: bool,
    /// Another control plane put it there (`NTF_EXT_LEARNED` without our mark) and answers for it.
    pub foreign: bool,
}

/// The state of a neighbour entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Created and not asked for yet.
    None,
    /// Being resolved; no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// Answered once; not verified since.
    Stale,
    /// To be verified in a moment.
    Delay,
    /// Being verified.
    Probe,
    /// Nobody answers.
    Failed,
    /// Set by an administrator, or needs no resolution.
    Fixed,
}

impl State {
    /// Whether an entry in this state says where to send.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::Fixed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Fixed => "fixed",
        })
    }
}

impl From<NeighbourState> for State {
    fn from(state: NeighbourState) -> Self {
        match state {
            NeighbourState::Incomplete => Self::Incomplete,
            NeighbourState::Reachable => Self::Reachable,
            NeighbourState::Stale => Self::Stale,
            NeighbourState::Delay => Self::Delay,
            NeighbourState::Probe => Self::Probe,
            NeighbourState::Failed => Self::Failed,
            NeighbourState::Noarp | NeighbourState::Permanent => Self::Fixed,
            _ => Self::None,
        }
    }
}

/// The "protocol" that marks our entries: a number that iproute2's `rt_protos` gives to nobody. It is what lets an
/// agent recognise the entries of one that crashed.
pub(super) const PROTOCOL: u8 = 120;

impl Neighbour {
    /// `None` for proxy entries and for what is not IP (a bridge's forwarding entries come over the same group).
    pub(super) fn from_message(message: &NeighbourMessage) -> Option<Self> {
        let header = &message.header;
        let is_ip = matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6);
        if !is_ip || header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let (mut address, mut mac, mut managed, mut ours) = (None, None, false, false);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                    address = Some(IpAddr::from(*ip));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                    address = Some(IpAddr::from(*ip));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = ethernet(bytes),
                NeighbourAttribute::ExtFlags(flags) => managed = flags.contains(NeighbourExtFlags::Managed),
                NeighbourAttribute::Protocol(protocol) => ours = *protocol == RouteProtocol::Other(PROTOCOL),
                _ => {}
            }
        }
        let next_hop = NextHop { interface: header.ifindex, address: address? };
        let state = State::from(header.state);
        let foreign = header.flags.contains(NeighbourFlags::ExtLearned) && !ours;
        Some(Self { next_hop, state, mac: mac.filter(|_| state.is_usable()), managed, ours, foreign })
    }
}
