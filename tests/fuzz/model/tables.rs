//! What the agent tells the data plane, and what the host is.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use lb_common::ports::PortRange;

use super::{Hop, Routes, Tuple, frame::octets};

/// Whether flows may go to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is not there.
    Absent,
    /// They may.
    Active,
    /// Nobody knows its link-layer address yet.
    Unresolved,
    /// They are to be reset.
    Reset,
}

/// A backend.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// The source towards it, unless the VIP is.
    pub snat: IpAddr,
    /// Whether the VIP itself is the source.
    pub vip_is_source: bool,
    /// Its next hop.
    pub mac: [u8; 6],
    /// The link that leads there.
    pub link: u8,
    /// Whether flows may go there.
    pub condition: Condition,
}

impl Backend {
    /// Its next hop.
    pub fn hop(&self) -> Hop {
        Hop { mac: self.mac, link: self.link }
    }
}

/// How a service chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By the hash of the 5-tuple.
    Maglev,
    /// The connections of one source in turn.
    Spread,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its number.
    pub id: u8,
    /// The port of its backends.
    pub backend_port: u16,
    /// How it chooses.
    pub policy: Policy,
}

/// Whom a service's new connections go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What the policy looks into.
    pub slots: Vec<u16>,
    /// The list of the moment.
    pub list: Vec<u16>,
}

/// What an interface does with checksums that a sender left to its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There are none.
    Never,
    /// They may come, and somebody behind us finishes them.
    StayAsTheyAre,
    /// They may come, and nobody else finishes them.
    AreFinished,
}

/// A way out.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its number.
    pub id: u8,
    /// The kernel's number of the interface.
    pub interface: u32,
    /// The interface's own address.
    pub mac: [u8; 6],
    /// What comes and goes there unfinished.
    pub unfinished: Unfinished,
}

/// Time-outs, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct TimeOuts {
    /// An established connection's silence.
    pub established: u32,
    /// After one FIN.
    pub half_closed: u32,
    /// A handshake's.
    pub half_open: u32,
    /// A closed pair's.
    pub closed: u32,
    /// One's that the backend closed first.
    pub time_wait: u32,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Tables {
    /// VIPs and SNAT addresses.
    pub ours: HashSet<IpAddr>,
    /// The services.
    pub services: HashMap<SocketAddr, Service>,
    /// Where backends serve.
    pub endpoints: HashSet<SocketAddr>,
    /// The backends, by their number; whether they are of IPv4 comes first.
    pub backends: HashMap<(bool, u16), Backend>,
    /// Whom new connections go to, by service.
    pub choices: HashMap<u8, Choice>,
    /// The links.
    pub links: Vec<Link>,
    /// The key of the flow hash.
    pub hash_key: [u64; 2],
    /// The SNAT ports.
    pub snat_ports: PortRange,
    /// Time-outs.
    pub time_outs: TimeOuts,
    /// When the agent last collected the flow table, as a tick.
    pub collected: u32,
    /// After how many ticks without it the flow table takes no more.
    pub uncollected_after: u32,
    /// Entries that the flow table of one family holds.
    pub capacity: usize,
    /// The host's own routes and neighbours.
    pub routes: Routes,
    /// Connections that the host itself holds, by the client's packets.
    pub host_connections: HashSet<Tuple>,
}

impl Tables {
    /// A backend of the same family as an end of the connection.
    pub fn backend(&self, end: SocketAddr, id: u16) -> Backend {
        self.backends.get(&(end.is_ipv4(), id)).cloned().unwrap_or(Backend {
            address: end.ip(),
            snat: end.ip(),
            vip_is_source: false,
            mac: [0; 6],
            link: 0,
            condition: Condition::Absent,
        })
    }

    /// The link of an interface.
    pub fn link_of(&self, interface: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.interface == interface)
    }

    /// A link by its number.
    pub fn link(&self, id: u8) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }
}

/// Whether an address can be nobody's (RFC 1122, section 3.2.1.3; RFC 6890; RFC 4291, section 2.7).
pub fn is_martian(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first == 0 || address.is_loopback() || first >= 224
        }
        IpAddr::V6(address) => address.is_unspecified() || address.is_loopback() || address.is_multicast(),
    }
}

/// An address as the words of the keyed hash take it in, the last filled up with zeros.
pub fn hash_words(bytes: &[u8]) -> Vec<u64> {
    let word = |part: &[u8]| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    };
    bytes.chunks(8).map(word).collect()
}

/// What is hashed of a connection: both addresses, then both ports.
pub fn hashed_bytes((from, to): Tuple) -> Vec<u8> {
    let mut bytes = octets(from.ip());
    bytes.extend(octets(to.ip()));
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes
}
