//! Ends connections at both ends at once: the pairs are marked in the kernel, so that any later packet of theirs is
//! answered with RST, and each end is sent one with the sequence number that it waits for.
//!
//! A connection of which the balancer knows the numbers only roughly (data is on its way) may not believe the first RST.
//! It answers with an ACK, as RFC 5961 says, and that is answered with the exact number by the program.

pub mod segment;

use std::{collections::BTreeMap, io, net::SocketAddr};

use lb_common::{
    abi::{Address, AddressV4, AddressV6, BackendId, Flow, FlowKey, FlowMeta, LinkId, StateWord, flow_flags},
    tcp::{Direction, State},
    wire::Mac,
};

use self::segment::Reset;
use super::census::Standard;
use crate::{
    kernel::{
        self, Tables,
        batch::{FlowTables, Walk},
        collect::{Collector, Tier},
        tables::FamilyTables,
    },
    net::FrameSocket,
};

/// What ends connections.
#[derive(Debug)]
pub struct Resets {
    collector: Collector,
    /// `None` where the kernel refuses one: each end then hears of it when it speaks.
    socket: Option<FrameSocket>,
    ways: Ways,
}

/// The next hops of backends.
type WaysTo = BTreeMap<BackendId, (Mac, LinkId)>;

/// Where the packets of connections leave, as the programs have it.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Interface and own link-layer address of each link.
    links: BTreeMap<LinkId, (u32, Mac)>,
    /// The next hop of each backend: by IPv4, and by IPv6.
    backends: [WaysTo; 2],
}

impl Ways {
    /// Reads them from the tables.
    ///
    /// # Errors
    ///
    /// [`kernel::Error::Map`] where one cannot be read.
    pub fn of(tables: &Tables) -> Result<Self, kernel::Error> {
        let mut ways = Self::default();
        for (id, link) in (0..).zip(tables.links.iter()) {
            let link = link.map_err(|error| kernel::Error::map("LINKS", &error))?;
            if link.interface != 0 {
                ways.links.insert(id, (link.interface, link.mac));
            }
        }
        ways.backends = [ways_to("BACKENDS_V4", &tables.v4)?, ways_to("BACKENDS_V6", &tables.v6)?];
        Ok(ways)
    }

    fn backend<A: Standard>(&self, id: BackendId) -> Option<(Mac, LinkId)> {
        self.backends[usize::from(size_of::<A>() != 4)].get(&id).copied()
    }
}

/// A connection that is about to be judged: the key of its client's packets, and its forward entry.
pub struct Candidate<'a> {
    /// The client.
    pub client: SocketAddr,
    /// What the client speaks to.
    pub vip: SocketAddr,
    /// The address and port that the backend sees.
    pub snat: SocketAddr,
    /// The figures and state of the client's direction.
    pub meta: &'a FlowMeta,
}

impl Resets {
    /// Opens the socket that it sends by. Where it may not, it says so and does the half that it can: it marks.
    pub fn new(collector: Collector, ways: Ways) -> Self {
        let socket = FrameSocket::open().inspect_err(|error| {
            log::warn!(
                "no RST can be sent by oneself ({error}): connections end with their next packet; give the agent \
                 CAP_NET_RAW"
            );
        });
        Self { collector, socket: socket.ok(), ways }
    }

    /// Ends the connections that are chosen; how many.
    ///
    /// # Errors
    ///
    /// A table that cannot be read, or the program that cannot be run. A frame that cannot be sent is none: the next
    /// packet of that end is answered.
    pub fn end(&mut self, tables: &FlowTables, chosen: impl Fn(&Candidate<'_>) -> bool) -> io::Result<u64> {
        let mut ended = 0;
        // A pair that is promoted meanwhile is in the upper tier before it has gone from the lower.
        for tier in [Tier::HalfOpen, Tier::Flows] {
            ended += self.end_of::<AddressV4>(tables, tier, &chosen)?;
            ended += self.end_of::<AddressV6>(tables, tier, &chosen)?;
        }
        Ok(ended)
    }

    fn end_of<A: Standard>(
        &mut self,
        tables: &FlowTables,
        tier: Tier,
        chosen: &impl Fn(&Candidate<'_>) -> bool,
    ) -> io::Result<u64> {
        let mut walk = Walk::<A>::new(tables, tier);
        let mut ended = 0;
        while let Some(slice) = walk.next_slice()? {
            let keys: Vec<FlowKey<A>> = slice
                .filter(|(key, flow)| {
                    is_open(flow)
                        && chosen(&Candidate {
                            client: socket(key.source, key.source_port),
                            vip: socket(key.destination, key.destination_port),
                            snat: socket(flow.twin.destination, flow.twin.destination_port),
                            meta: &flow.meta,
                        })
                })
                .map(|(key, _)| key)
                .collect();
            ended += u64::from(self.collector.reset(tier, &keys)?);
            for key in &keys {
                self.tell(tables, tier, key);
            }
        }
        Ok(ended)
    }

    /// Sends both ends of a connection the RSTs that they may believe.
    fn tell<A: Standard>(&self, tables: &FlowTables, tier: Tier, key: &FlowKey<A>) {
        let Some(forward) = tables.get(tier, key) else { return };
        let Some(reverse) = tables.get(tier, &forward.twin) else { return };
        let word = StateWord(forward.meta.state);
        // By now it may be another connection of the same client's.
        if reverse.twin != *key || word.state().is_half_open() || !word.has(flow_flags::RESET) {
            return;
        }
        let vip = socket(key.destination, key.destination_port);
        let client = socket(key.source, key.source_port);
        self.send((reverse.meta.mac, reverse.meta.link), (vip, client), &forward.meta, &reverse.meta);
        if let Some(way) = self.ways.backend::<A>(forward.meta.backend) {
            let backend = socket(forward.twin.source, forward.twin.source_port);
            let snat = socket(forward.twin.destination, forward.twin.destination_port);
            self.send(way, (snat, backend), &reverse.meta, &forward.meta);
        }
    }

    /// Sends one end what it may wait for: what it has acknowledged last, and what has been sent to it, where that is
    /// more.
    fn send(
        &self,
        (mac, link): (Mac, LinkId),
        (from, to): (SocketAddr, SocketAddr),
        of_the_end: &FlowMeta,
        of_the_other: &FlowMeta,
    ) {
        let Some(socket) = &self.socket else { return };
        let Some(&(interface, own)) = self.ways.links.get(&link) else { return };
        let mut last = None;
        for sequence in [of_the_end.last_acknowledgment, of_the_other.next_sequence] {
            if last == Some(sequence) {
                continue;
            }
            last = Some(sequence);
            let reset =
                Reset { macs: (mac, own), from, to, sequence, acknowledgment: of_the_end.next_sequence };
            if let Err(error) = socket.send(interface, mac, &reset.frame()) {
                log::debug!("the RST to {to} was not sent: {error}");
            }
        }
    }
}

/// The next hops of one family's backends, of those that have one.
fn ways_to<A: Address>(name: &'static str, tables: &FamilyTables<A>) -> Result<WaysTo, kernel::Error> {
    let mut ways = WaysTo::new();
    for (id, backend) in (0..).zip(tables.backends.iter()) {
        let backend = backend.map_err(|error| kernel::Error::map(name, &error))?;
        if backend.link != 0 {
            ways.insert(id, (backend.mac, backend.link));
        }
    }
    Ok(ways)
}

fn socket<A: Standard>(address: A, port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(address.ip(), u16::from_be_bytes(port))
}

/// Whether an entry is the forward one of a connection that can still be ended, and has not been.
fn is_open<A: Standard>(flow: &Flow<A>) -> bool {
    let word = StateWord(flow.meta.state);
    let is_over = word.has(flow_flags::RESET) || matches!(word.state(), State::Closed | State::Dead);
    word.direction() == Direction::Forward && !is_over
}
