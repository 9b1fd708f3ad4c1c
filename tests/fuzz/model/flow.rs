//! The entries of a connection: one for the packets of each end, each found by the packet's own 5-tuple, each with the other's
//! as its twin.

use std::{collections::HashMap, net::SocketAddr};

use lb_common::tcp::{
    State,
    flags::{ACK, RST, SYN},
};

use super::{Hop, Model, Packet, frame::Segment, syn::KeptSyn, tables::TimeOuts};

/// Source and destination of a packet.
pub type Tuple = (SocketAddr, SocketAddr);

/// The two tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The flow table, which never evicts.
    Flows,
    /// The lower tier.
    HalfOpen,
}

/// What is known of one direction of a connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key of the other direction's entry.
    pub twin: Tuple,
    /// The state.
    pub state: State,
    /// Whether it is for the backend's packets.
    pub reverse: bool,
    /// Adopted, and the backend has not confirmed it yet.
    pub unconfirmed: bool,
    /// Adopted once.
    pub adopted: bool,
    /// The backend closed first.
    pub backend_closed_first: bool,
    /// Its next packet is to be answered with RST.
    pub reset: bool,
    /// The flow table did not take it, which has been counted.
    pub stays_below: bool,
    /// Which guess it is, or where in the sequence of backends.
    pub attempt: u8,
    /// The service.
    pub service: u8,
    /// The backend.
    pub backend: u16,
    /// Packets of this direction.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
    /// When the last one came.
    pub last_seen: u32,
    /// When the connection was entered.
    pub created: u32,
    /// The highest sequence number seen, plus what its segment took.
    pub next_sequence: u32,
    /// The last acknowledgment number seen.
    pub last_acknowledgment: u32,
    /// Where the client is (reverse entries).
    pub hop: Hop,
    /// The SYN that it began with (lower tier).
    pub syn: KeptSyn,
}

impl Entry {
    /// Takes note of a packet of this direction.
    pub fn note(&mut self, segment: &Segment, now: u32) {
        self.packets += 1;
        self.bytes += segment.ip_length();
        self.last_seen = now;
        if segment.has(RST) {
            return;
        }
        let begins = self.packets == 1 || (segment.has(SYN) && self.state.is_half_open());
        if begins || is_after(segment.next_sequence(), self.next_sequence) {
            self.next_sequence = segment.next_sequence();
        }
        if segment.has(ACK) {
            self.last_acknowledgment = segment.acknowledgment;
        }
    }

    /// How long it may be silent. Time-outs follow the state, not the tier.
    pub fn time_out(&self, times: &TimeOuts) -> u32 {
        match self.state {
            // What we have ended ourselves answers its packets with RST for a while.
            state if self.reset && state != State::Dead => times.time_wait,
            _ if self.unconfirmed => times.half_open,
            State::SynSent | State::SynReceived => times.half_open,
            State::Established => times.established,
            State::ClientClosed | State::BackendClosed => times.half_closed,
            State::Closed if self.backend_closed_first => times.time_wait,
            State::Closed | State::Dead => times.closed,
        }
    }
}

/// Whether a sequence number comes after another (RFC 9293, section 3.4).
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000_0000
}

/// Ticks between two moments; 0 where the earlier one is the later.
pub fn ticks_since(now: u32, then: u32) -> u32 {
    let ticks = now.wrapping_sub(then);
    if ticks > u32::MAX / 2 { 0 } else { ticks }
}

impl Model {
    /// A tier's entries.
    pub fn tier(&self, tier: Tier) -> &HashMap<Tuple, Entry> {
        match tier {
            Tier::Flows => &self.flows,
            Tier::HalfOpen => &self.half_open,
        }
    }

    /// An entry to be changed.
    pub fn entry_mut(&mut self, tier: Tier, key: Tuple) -> Option<&mut Entry> {
        self.effects.touched.push((tier, key));
        match tier {
            Tier::Flows => self.flows.get_mut(&key),
            Tier::HalfOpen => self.half_open.get_mut(&key),
        }
    }

    /// The key of an entry's twin, where that is there and names this one: a twin is never trusted.
    pub fn twin_of(&self, tier: Tier, key: Tuple) -> Option<Tuple> {
        let twin = self.tier(tier).get(&key)?.twin;
        (self.tier(tier).get(&twin)?.twin == key).then_some(twin)
    }

    /// Both keys of an entry's pair, or its own where it is half of one.
    fn both(&self, tier: Tier, key: Tuple) -> Vec<Tuple> {
        std::iter::once(key).chain(self.twin_of(tier, key)).collect()
    }

    /// Changes both entries of a pair, but none that somebody has claimed to delete it.
    pub fn change_pair(&mut self, tier: Tier, key: Tuple, change: impl Fn(&mut Entry)) {
        for key in self.both(tier, key) {
            let entry = self.entry_mut(tier, key).expect("it was found just now");
            if entry.state != State::Dead {
                change(entry);
            }
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, tier: Tier, key: Tuple) -> Option<Entry> {
        self.effects.touched.push((tier, key));
        match tier {
            Tier::Flows => self.flows.remove(&key),
            Tier::HalfOpen => self.half_open.remove(&key),
        }
    }

    /// Removes a pair, where it is in this state by its lock, which is the forward entry.
    pub fn remove_pair(&mut self, tier: Tier, key: Tuple, state: State) -> bool {
        let both = self.both(tier, key);
        let lock = both.iter().find(|key| !self.tier(tier)[*key].reverse).unwrap_or(&key);
        if self.tier(tier)[lock].state != state {
            return false;
        }
        for key in both {
            self.remove(tier, key);
        }
        true
    }

    /// Whether neither end has used a pair for longer than its state permits.
    pub fn is_expired(&self, tier: Tier, key: Tuple) -> bool {
        self.idle(tier, key) > self.tier(tier)[&key].time_out(&self.tables.time_outs)
    }

    /// Ticks for which neither end has sent anything.
    pub fn idle(&self, tier: Tier, key: Tuple) -> u32 {
        let since = |key: &Tuple| ticks_since(self.now, self.tier(tier)[key].last_seen);
        self.both(tier, key).iter().map(since).min().expect("an entry is at least half a pair")
    }

    /// Notes a packet in its entry.
    pub(super) fn touch(&mut self, tier: Tier, packet: Packet<'_>) {
        let now = self.now;
        let entry = self.entry_mut(tier, packet.key()).expect("the packet's entry was found");
        entry.note(packet.segment, now);
    }
}
