//! A connection that is taken up in the middle: guessed as its SYN was hashed, and confirmed or refused by the first reply.

use lb_common::{
    counters::Counter,
    limits::ADOPTION_CANDIDATES,
    tcp::{
        State,
        flags::{ACK, FIN, RST},
    },
};

use super::{
    Condition, Model, Outcome, Packet, Service, Tier, Tuple,
    ports::Beginning,
    syn::KeptSyn,
    transition::{Turn, distance, dropped},
};

/// How far a reply may lie from the client's packet to confirm a guess: 4 MiB.
const REPLY_WINDOW: u32 = 1 << 22;

impl Model {
    /// Takes up the connection of a packet, from this guess on; its forward key.
    pub(super) fn adopt(
        &mut self,
        packet: Packet<'_>,
        service: &Service,
        first: u8,
    ) -> Result<Tuple, Outcome> {
        let (key, segment) = (packet.key(), packet.segment);
        if first == 0 && self.tables.host_connections.contains(&key) {
            return Err(Outcome::Passed(Counter::PassedLocalSocket));
        }
        if segment.has(RST) {
            return Err(Outcome::Dropped(Counter::DropUnknownReset));
        }
        self.refuse_martians(packet)?;
        let backends = self.tables.choices[&service.id].list.len();
        if backends == 0 {
            return Err(self.answer(packet, Counter::ResetNoBackend));
        }
        let hop = self.next_hop_of_client(packet)?;
        let state = if segment.has(FIN) { State::ClientClosed } else { State::Established };
        let mut beginning = Beginning::of(packet, state, service.clone(), hop, KeptSyn::default());
        let entry = &mut beginning.forward;
        (entry.unconfirmed, entry.adopted) = (true, true);
        let hash = self.hash(key);
        // Every backend at the connection's first port, then every backend at its second.
        let guesses = (backends * 2).min(ADOPTION_CANDIDATES as usize);
        for guess in first.into()..guesses {
            let backend = self.guess(service, hash, guess % backends).unwrap_or(0);
            match self.tables.backend(segment.from, backend).condition {
                Condition::Active => {}
                // It may be the right one.
                Condition::Unresolved => return Err(Outcome::Dropped(Counter::DropNoNextHop)),
                Condition::Absent | Condition::Reset => continue,
            }
            beginning.forward.attempt = guess as u8;
            let port = self.tables.snat_ports.candidate(hash, (guess / backends) as u32);
            if self.enter_with(&beginning, backend, port) {
                self.count(Counter::FlowAdopted);
                return Ok(key);
            }
        }
        Err(self.answer(packet, Counter::ResetNotAdopted))
    }

    /// Judges a backend's reply to a guess: confirms it where it lies in the client's window, else takes it back.
    pub(super) fn judge_reply(&mut self, packet: Packet<'_>, forward: Tuple) -> Result<(), Turn> {
        let segment = packet.segment;
        let client = self.half_open[&forward].clone();
        let acknowledges = client.next_sequence.wrapping_sub(segment.acknowledgment) <= REPLY_WINDOW;
        let continues = distance(client.last_acknowledgment, segment.sequence) <= REPLY_WINDOW;
        if segment.has(ACK) && !segment.has(RST) && acknowledges && continues {
            for key in [packet.key(), forward] {
                self.entry_mut(Tier::HalfOpen, key).expect("both were found").unconfirmed = false;
            }
            self.count(Counter::FlowAdoptionConfirmed);
            return Ok(());
        }
        let entry = self.entry_mut(Tier::HalfOpen, forward).expect("it is the twin");
        entry.attempt = entry.attempt.wrapping_add(1);
        self.remove(Tier::HalfOpen, packet.key());
        dropped(Counter::DropAdoptionRefused)
    }
}
