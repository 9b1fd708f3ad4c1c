//! What xdplb does, once more: slow and obvious, written from ARCHITECTURE.md, `docs/` and the RFCs.
//!
//! Tables are those of the standard library, frames are vectors of bytes, checksums are summed over the whole. One concept a
//! file. What the two halves of xdplb share by contract and what is tested by itself there is taken from `lb-common`: the
//! keyed hash, the sequence of ports, the diagram of TCP states, the names of the counters.
//!
//! There is one CPU here, and no time passes while a packet is judged.

mod admission;
mod adoption;
mod answer;
mod checksum;
mod choice;
mod collection;
mod evidence;
pub mod flow;
pub mod frame;
mod half_open;
mod made;
mod next_hop;
mod ports;
mod redispatch;
mod rewrite;
mod syn;
pub mod tables;
mod transition;

use std::{collections::HashMap, net::SocketAddr};

use lb_common::{abi::Evidence, counters::Counter};

pub use self::{
    evidence::Memory,
    flow::{Entry, Tier, Tuple},
    next_hop::{Hop, Route, Routes, Way},
    tables::{Backend, Choice, Condition, Link, Policy, Service, Tables, TimeOuts},
};
use self::{
    frame::{Meaning, Segment},
    transition::Turn,
};

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to the host as it came.
    Passed(Counter),
    /// It is gone.
    Dropped(Counter),
    /// It leaves by this link, so changed.
    Sent {
        /// The link's number.
        link: u8,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Its answer goes back to where it came from.
    Answered {
        /// Why.
        reason: Counter,
        /// The frame.
        frame: Vec<u8>,
    },
}

/// A frame that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// All of it.
    pub frame: &'a [u8],
    /// The kernel's number of the interface it comes by.
    pub interface: u32,
}

/// A whole segment to one of our addresses, and the frame that it is in.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    arrival: Arrival<'a>,
    segment: &'a Segment,
}

impl Packet<'_> {
    fn key(&self) -> Tuple {
        self.segment.key()
    }
}

/// What happens beside the frame itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The counters that moved, each as often as it did.
    pub counted: Vec<Counter>,
    /// The keys that the agent is told of as closed.
    pub closed: Vec<Tuple>,
    /// What it is told of backends.
    pub told: Vec<(u16, Evidence)>,
    /// Entries that were looked at closely, and may have changed.
    pub touched: Vec<(Tier, Tuple)>,
}

/// All that xdplb knows.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the agent says.
    pub tables: Tables,
    /// The flow table.
    pub flows: HashMap<Tuple, Entry>,
    /// The lower tier.
    pub half_open: HashMap<Tuple, Entry>,
    /// Whose turn it is, by source and service.
    pub turns: HashMap<(std::net::IpAddr, u8), u64>,
    /// What is remembered of each service on a backend.
    pub memories: HashMap<(u16, u8), Memory>,
    /// The tick that it is.
    now: u32,
    effects: Effects,
}

impl Model {
    /// One that knows nobody's connections.
    pub fn new(tables: Tables) -> Self {
        Self {
            tables,
            flows: HashMap::new(),
            half_open: HashMap::new(),
            turns: HashMap::new(),
            memories: HashMap::new(),
            now: 0,
            effects: Effects::default(),
        }
    }

    /// A frame comes in at this tick.
    pub fn arrives(&mut self, arrival: Arrival<'_>, now: u32) -> (Outcome, Effects) {
        self.now = now;
        self.effects = Effects::default();
        let outcome = self.judge(arrival);
        self.count(match &outcome {
            Outcome::Passed(reason) | Outcome::Dropped(reason) | Outcome::Answered { reason, .. } => *reason,
            Outcome::Sent { .. } => Counter::Forwarded,
        });
        (outcome, std::mem::take(&mut self.effects))
    }

    fn count(&mut self, counter: Counter) {
        self.effects.counted.push(counter);
    }

    /// What is not to one of our addresses is not ours, whatever it is.
    fn judge(&mut self, arrival: Arrival<'_>) -> Outcome {
        const NOT_OURS: Outcome = Outcome::Passed(Counter::PassedNotOurs);
        let Some((destination, meaning)) = frame::read(arrival.frame) else {
            return NOT_OURS;
        };
        if !self.tables.ours.contains(&destination) {
            return NOT_OURS;
        }
        match meaning {
            Meaning::Segment(segment) => self.segment(Packet { arrival, segment: &segment }),
            Meaning::Defective { key, reason } if self.is_for_us(key) => Outcome::Dropped(reason),
            Meaning::Unreachable { answer, sequence } => {
                self.unreachable(arrival, answer, sequence).unwrap_or(NOT_OURS)
            }
            Meaning::Defective { .. } | Meaning::Other => NOT_OURS,
        }
    }

    /// The flow table, the lower tier, and what is in neither.
    fn segment(&mut self, packet: Packet<'_>) -> Outcome {
        let key = packet.key();
        if self.flows.contains_key(&key) {
            match self.of_flow(packet) {
                Ok(outcome) | Err(Turn::Over(outcome)) => return outcome,
                Err(Turn::Anew(_)) => {}
            }
        }
        let mut guess = 0;
        if self.half_open.contains_key(&key) {
            match self.of_handshake(packet) {
                Ok(outcome) | Err(Turn::Over(outcome)) => return outcome,
                Err(Turn::Anew(number)) => guess = number,
            }
        }
        self.of_nobody(packet, guess)
    }

    /// A packet of an established flow: its state, its figures, and on.
    fn of_flow(&mut self, packet: Packet<'_>) -> Result<Outcome, Turn> {
        let key = packet.key();
        self.transition(Tier::Flows, packet)?;
        self.touch(Tier::Flows, packet);
        let entry = self.flows[&key].clone();
        Ok(self.send_on(packet, &entry))
    }

    /// A packet of no flow: a connection that begins, one that is taken up in the middle, an orphan, or nobody's business.
    fn of_nobody(&mut self, packet: Packet<'_>, guess: u8) -> Outcome {
        if let Some(service) = self.tables.services.get(&packet.segment.to).cloned() {
            let begun = if packet.segment.is_syn() {
                self.admit(packet, &service)
            } else {
                self.adopt(packet, &service, guess)
            };
            return match begun {
                Ok(forward) => {
                    let entry = self.half_open[&forward].clone();
                    self.send_on(packet, &entry)
                }
                Err(outcome) => outcome,
            };
        }
        if self.is_reply_to_us(packet.key()) {
            return Outcome::Dropped(Counter::DropOrphanReply);
        }
        Outcome::Passed(Counter::PassedNotOurs)
    }

    /// Whether ports and addresses say that a packet is a client's to a service or a backend's to us.
    fn is_for_us(&self, key: Tuple) -> bool {
        self.tables.services.contains_key(&key.1) || self.is_reply_to_us(key)
    }

    /// From where a backend serves, to one of our addresses and SNAT ports.
    fn is_reply_to_us(&self, (from, to): Tuple) -> bool {
        self.tables.endpoints.contains(&from)
            && self.tables.ours.contains(&to.ip())
            && self.tables.snat_ports.contains(to.port())
    }

    /// Sends a packet of an entry to the other end.
    fn send_on(&mut self, packet: Packet<'_>, entry: &Entry) -> Outcome {
        let hop = if entry.reverse {
            entry.hop
        } else {
            let backend = self.tables.backend(packet.segment.from, entry.backend);
            Hop { mac: backend.mac, link: backend.link }
        };
        // The packet leaves as one that the other end would answer to the twin's source.
        let (other_end, own_end) = entry.twin;
        self.rewrite(packet, (own_end, other_end), hop)
    }
}

/// The address with which an endpoint of the other kind cannot be mistaken: both of one family.
pub fn same_family(a: SocketAddr, b: SocketAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
