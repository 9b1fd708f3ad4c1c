//! A SNAT port for a connection, and its two entries. The reverse entry's key is the one that others compete for.

use std::net::SocketAddr;

use lb_common::{
    counters::Counter,
    limits::PORT_CANDIDATES,
    tcp::{State, flags::ACK},
};

use super::{Hop, Model, Packet, Service, Tier, Tuple, flow::Entry, syn::KeptSyn};

/// A half-open pair this old, in ticks (a second), may be taken over at once.
const STALE: u32 = 60;

/// How the search for a port ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Port {
    /// Both entries are there.
    Entered,
    /// No candidate could be had.
    NoneFree,
}

/// How a candidate is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// By nobody, or by what is over.
    Free,
    /// By something that is worth less than a new connection, under pressure.
    ByHandshake,
    /// By a connection.
    Firmly,
}

/// What a connection begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The forward entry, of which twin and backend are not known yet.
    pub forward: Entry,
    /// Its key: the client's packets.
    pub key: Tuple,
    /// The service.
    pub service: Service,
}

impl Beginning {
    /// Of a client's packet.
    pub fn of(packet: Packet<'_>, state: State, service: Service, hop: Hop, syn: KeptSyn) -> Self {
        let segment = packet.segment;
        let forward = Entry {
            twin: packet.key(),
            state,
            reverse: false,
            unconfirmed: false,
            adopted: false,
            backend_closed_first: false,
            reset: false,
            stays_below: false,
            attempt: 0,
            service: service.id,
            backend: 0,
            packets: 1,
            bytes: segment.ip_length(),
            last_seen: 0,
            created: 0,
            next_sequence: segment.next_sequence(),
            last_acknowledgment: if segment.has(ACK) { segment.acknowledgment } else { 0 },
            hop,
            syn,
        };
        Self { forward, key: packet.key(), service }
    }
}

impl Model {
    /// Enters a pair with the first port of its sequence that is free; where none is, with the first that a mere handshake
    /// holds, because a flood must not refuse a connection.
    pub(super) fn allocate(&mut self, beginning: &Beginning, backend: u16, hash: u64) -> Port {
        let ports = self.tables.snat_ports;
        let mut given_up = None;
        for number in 0..PORT_CANDIDATES {
            let port = ports.candidate(hash, number);
            let reverse = self.reverse_key(beginning, backend, port);
            match self.enter(beginning, backend, reverse) {
                Held::Free => return Port::Entered,
                Held::ByHandshake => given_up = given_up.or(Some(reverse)),
                Held::Firmly => {}
            }
            self.count(Counter::PortCollision);
        }
        let Some(reverse) = given_up else {
            return Port::NoneFree;
        };
        self.give_up(reverse);
        if self.enter(beginning, backend, reverse) == Held::Free {
            return Port::Entered;
        }
        self.count(Counter::PortCollision);
        Port::NoneFree
    }

    /// Enters a pair with this one port; whether it could.
    pub(super) fn enter_with(&mut self, beginning: &Beginning, backend: u16, port: u16) -> bool {
        let reverse = self.reverse_key(beginning, backend, port);
        self.enter(beginning, backend, reverse) == Held::Free
    }

    /// The key of the backend's packets.
    fn reverse_key(&self, beginning: &Beginning, backend: u16, port: u16) -> Tuple {
        let (client, service) = beginning.key;
        let backend = self.tables.backend(client, backend);
        let source = if backend.vip_is_source { service.ip() } else { backend.snat };
        (SocketAddr::new(backend.address, beginning.service.backend_port), SocketAddr::new(source, port))
    }

    fn enter(&mut self, beginning: &Beginning, backend: u16, reverse: Tuple) -> Held {
        let held = self.held(reverse);
        if held != Held::Free {
            return held;
        }
        let over = Entry {
            twin: beginning.key,
            reverse: true,
            backend,
            packets: 0,
            bytes: 0,
            last_seen: self.now,
            next_sequence: 0,
            last_acknowledgment: 0,
            ..beginning.forward.clone()
        };
        let back = Entry { twin: reverse, backend, last_seen: self.now, ..beginning.forward.clone() };
        for (key, mut entry) in [(reverse, over), (beginning.key, back)] {
            if beginning.forward.created == 0 {
                entry.created = self.now;
            }
            self.effects.touched.push((Tier::HalfOpen, key));
            self.half_open.insert(key, entry);
        }
        Held::Free
    }

    /// Who holds a port. What is over is removed.
    fn held(&mut self, reverse: Tuple) -> Held {
        if let Some(entry) = self.flows.get(&reverse) {
            let over = entry.state == State::Closed && self.is_expired(Tier::Flows, reverse);
            if !over || !self.remove_pair(Tier::Flows, reverse, State::Closed) {
                return Held::Firmly;
            }
        }
        let Some(entry) = self.half_open.get(&reverse) else {
            return Held::Free;
        };
        let is_over = match entry.state {
            State::SynSent => self.idle(Tier::HalfOpen, reverse) > STALE,
            State::Closed => self.is_expired(Tier::HalfOpen, reverse),
            _ => return Held::Firmly,
        };
        // What is closed and never was a connection is worth no more than a handshake: taken back, refused, or reset by its
        // client. One that was, and that the flow table had no room for, shows it; and so does one that was ended by us.
        let forward = self.twin_of(Tier::HalfOpen, reverse).map(|key| &self.half_open[&key]);
        let was_connection = forward.is_some_and(|entry| entry.stays_below || entry.adopted || entry.reset);
        let is_handshake = entry.state == State::SynSent || !was_connection;
        match (is_over, is_handshake) {
            (true, _) if self.give_up(reverse) => Held::Free,
            (true, _) | (false, false) => Held::Firmly,
            (false, true) => Held::ByHandshake,
        }
    }

    /// Gives up what holds a port without being a connection; whether it did.
    fn give_up(&mut self, reverse: Tuple) -> bool {
        let state = self.half_open[&reverse].state;
        let given_up = matches!(state, State::SynSent | State::Closed)
            && self.remove_pair(Tier::HalfOpen, reverse, state);
        if given_up {
            self.count(Counter::HalfOpenTakenOver);
        }
        given_up
    }
}
