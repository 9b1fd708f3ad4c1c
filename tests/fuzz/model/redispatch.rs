//! A handshake that its backend does not take is offered to the next one, before the client hears of it. See "Redispatch" in
//! ARCHITECTURE.md.

use lb_common::{
    abi::Evidence,
    counters::Counter,
    limits::{REDISPATCH_BACKENDS, REDISPATCH_CROWDED, REDISPATCH_PORTS},
    tcp::{
        State,
        flags::{ACK, RST, SYN},
    },
};

use super::{
    Arrival, Model, Outcome, Packet, Service, Tier, Tuple,
    flow::{Entry, ticks_since},
    ports::{Beginning, Port},
    syn::KeptSyn,
    transition::Turn,
};

/// A SYN that comes again says something of the backend when the first is this old, in ticks (0.75 s).
const SILENCE: u32 = 45;

/// Why a connection is offered elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Refused,
    Unreachable,
    Foreign,
    Silence,
}

/// How far a connection is in its sequence: an attempt is 16 times how far it is in the list of backends (0 for the policy's
/// choice), plus 8 where the client is being sent through them again, plus the ports at this backend that were another's.
#[derive(Clone, Copy)]
struct Attempt {
    place: usize,
    again: bool,
    ports: u8,
}

impl Attempt {
    fn of(number: u8) -> Self {
        Self { place: usize::from(number / 16), again: number & 8 != 0, ports: number & 7 }
    }

    fn number(self) -> u8 {
        self.place as u8 * 16 + u8::from(self.again) * 8 + self.ports
    }
}

impl Model {
    /// Judges a packet of a pair in SYN-SENT. The way goes on where it is the answer that was waited for, or where there is
    /// nobody else to offer the connection to.
    pub(super) fn redispatch(&mut self, packet: Packet<'_>) -> Result<(), Turn> {
        let key = packet.key();
        let entry = self.half_open[&key].clone();
        let (forward, reverse) = if entry.reverse { (entry.twin, key) } else { (key, entry.twin) };
        let client = self.half_open[&forward].clone();
        let Some(cause) = cause(packet, entry.reverse, &client) else {
            return Ok(());
        };
        match cause {
            Cause::Refused => self.tell(&client, Evidence::Refused),
            Cause::Silence => {
                self.count(Counter::SynRetransmitted);
                // The backend's entry is as old as the last SYN that the backend was sent.
                if ticks_since(self.now, self.half_open[&reverse].last_seen) >= SILENCE {
                    self.tell(&client, Evidence::Silent);
                }
            }
            Cause::Unreachable | Cause::Foreign => {}
        }
        if let Some(place) = self.elsewhere(forward, cause) {
            let syn = (cause == Cause::Silence).then_some(packet);
            return Err(Turn::Over(self.carry_out(packet.arrival, Some(packet), syn, forward, place)));
        }
        match cause {
            Cause::Refused | Cause::Foreign => self.count(Counter::RefusalPassed),
            // What is answered from now on is this SYN, which may be another one.
            Cause::Silence => {
                let now = self.now;
                self.entry_mut(Tier::HalfOpen, reverse).expect("it was found").last_seen = now;
                self.keep_again(forward, packet)?;
            }
            Cause::Unreachable => {}
        }
        Ok(())
    }

    /// An ICMP error; `None` where it is the host's own business, because it is not about a SYN of ours, or there is nobody else
    /// to send that to.
    pub(super) fn unreachable(
        &mut self,
        arrival: Arrival<'_>,
        answer: Tuple,
        sequence: u32,
    ) -> Option<Outcome> {
        let reverse = self.half_open.get(&answer).filter(|entry| entry.reverse)?.clone();
        let key = self.twin_of(Tier::HalfOpen, answer)?;
        let forward = &self.half_open[&key];
        let waits = reverse.state == State::SynSent && !reverse.reset && !forward.reset;
        if !waits || sequence != forward.syn.sequence {
            return None;
        }
        let forward = forward.clone();
        self.tell(&forward, Evidence::Unreachable);
        let place = self.elsewhere(key, Cause::Unreachable)?;
        Some(self.carry_out(arrival, None, None, key, place))
    }

    /// A SYN seen again replaces what is kept.
    fn keep_again(&mut self, forward: Tuple, packet: Packet<'_>) -> Result<(), Turn> {
        let Some(syn) = self.keep(packet) else {
            return super::transition::dropped(Counter::DropTtlExpired);
        };
        let entry = self.entry_mut(Tier::HalfOpen, forward).expect("it was found");
        entry.syn = KeptSyn { hash: entry.syn.hash, backend: entry.syn.backend, ..syn };
        Ok(())
    }

    /// Where a connection is offered next: to whom, and the attempt that it is.
    fn elsewhere(&self, forward: Tuple, cause: Cause) -> Option<(u16, u8)> {
        let entry = &self.half_open[&forward];
        let attempt = Attempt::of(entry.attempt);
        if cause == Cause::Foreign
            && attempt.ports + 1 < REDISPATCH_PORTS
            && self.is_usable(forward.0, entry.backend)
        {
            return Some((entry.backend, Attempt { ports: attempt.ports + 1, ..attempt }.number()));
        }
        self.next_backend(forward, entry, (entry.backend, entry.attempt), cause == Cause::Silence)
    }

    /// The next backend of a connection's sequence that can be reached, behind a place in it.
    fn next_backend(
        &self,
        client: Tuple,
        entry: &Entry,
        (backend, attempt): (u16, u8),
        by_client: bool,
    ) -> Option<(u16, u8)> {
        let attempt = Attempt::of(attempt);
        let list = self.list_from(entry.service, entry.syn.hash);
        // The policy's choice and seven more, where there are more than eight.
        let most = REDISPATCH_BACKENDS as usize;
        let asked = &list[..if list.len() > most { most - 1 } else { list.len() }];
        for number in attempt.place..attempt.place + most {
            let all_were_asked = number >= asked.len();
            if asked.is_empty() || (all_were_asked && !by_client) {
                return None;
            }
            // A client that goes on asking is sent through the list again.
            let (place, again) = (number % asked.len(), attempt.again || all_were_asked);
            let id = asked[place];
            let was_asked = id == backend || (!again && id == entry.syn.backend);
            if !was_asked && self.is_usable(client.0, id) {
                return Some((id, Attempt { place: place + 1, again, ports: 0 }.number()));
            }
        }
        None
    }

    /// Takes the old mapping back and enters the new one; the packet becomes the client's SYN, if it is not that itself (`syn`).
    fn carry_out(
        &mut self,
        arrival: Arrival<'_>,
        packet: Option<Packet<'_>>,
        syn: Option<Packet<'_>>,
        key: Tuple,
        place: (u16, u8),
    ) -> Outcome {
        const FAILED: Outcome = Outcome::Dropped(Counter::DropRedispatchFailed);
        let Some(service) = self.tables.services.get(&key.1).cloned() else {
            return FAILED;
        };
        if let Some(packet) = syn {
            self.touch(Tier::HalfOpen, packet);
            if packet.segment.hops <= 1 {
                return Outcome::Dropped(Counter::DropTtlExpired);
            }
            self.keep_again(key, packet).expect("its time is not over");
        }
        if self.half_open[&key].state != State::SynSent {
            // Somebody has claimed it.
            return FAILED;
        }
        let old = self.remove(Tier::HalfOpen, key).expect("it was found");
        let hop = self.half_open[&old.twin].hop;
        let now = self.now;
        let undone = self.entry_mut(Tier::HalfOpen, old.twin).expect("it was found");
        (undone.state, undone.last_seen) = (State::Closed, now);
        let former = old.backend;
        let mut forward =
            Entry { state: State::SynSent, hop, service: service.id, stays_below: false, ..old };
        // What we make has a right checksum, and nothing but what is kept.
        forward.syn.sound |= syn.is_none();
        let Some(backend) = self.find_room(key, forward, service, place, syn.is_some()) else {
            return syn.map_or(FAILED, |packet| self.answer(packet, Counter::ResetNoPort));
        };
        self.count(if backend == former { Counter::RedispatchedPort } else { Counter::Redispatched });
        let entry = self.half_open[&key].clone();
        match syn {
            Some(packet) => self.send_on(packet, &entry),
            None => self.send_made(arrival, packet, key, &entry).unwrap_or(FAILED),
        }
    }
}

impl Model {
    /// Enters a connection at the first backend from this place of its sequence on that has a port for it; that backend. Not
    /// everybody is asked: the ports of one backend are enough work for a packet.
    fn find_room(
        &mut self,
        key: Tuple,
        forward: Entry,
        service: Service,
        mut place: (u16, u8),
        by_client: bool,
    ) -> Option<u16> {
        let hash = forward.syn.hash;
        let mut beginning = Beginning { forward, key, service };
        for number in 0..REDISPATCH_CROWDED {
            if number > 0 {
                place = self.next_backend(key, &beginning.forward, place, by_client)?;
            }
            beginning.forward.attempt = place.1;
            if self.allocate(&beginning, place.0, hash) == Port::Entered {
                return Some(place.0);
            }
        }
        None
    }
}

/// What a packet in SYN-SENT shows, if it is not the answer that was waited for.
fn cause(packet: Packet<'_>, from_backend: bool, forward: &Entry) -> Option<Cause> {
    let segment = packet.segment;
    if !from_backend {
        return segment.is_syn().then_some(Cause::Silence);
    }
    let is_ours = forward.syn.is_acknowledged(forward.next_sequence, segment.acknowledgment);
    match (segment.has(ACK), segment.has(RST), segment.has(SYN)) {
        (false, _, _) => None,
        (true, true, _) => is_ours.then_some(Cause::Refused),
        (true, false, true) if is_ours => None,
        (true, false, _) => Some(Cause::Foreign),
    }
}
