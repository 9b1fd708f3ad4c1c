//! What a packet does to the state of its flow: handshake, FIN, RST; and what stands in its way: a backend that is gone, an
//! operator who wants it reset.

use lb_common::{
    counters::Counter,
    tcp::{
        Direction, State,
        flags::{ACK, RST, SYN},
    },
};

use super::{Condition, Model, Outcome, Packet, Tier, flow::Entry};

/// How far from what was expected a RST is believed: 4 MiB, more than any window in use.
const RESET_WINDOW: u32 = 1 << 22;

/// Where a packet's way does not simply go on.
#[derive(Debug)]
pub enum Turn {
    /// It ends.
    Over(Outcome),
    /// Its flow is no more, and it begins another, if it is adopted as this guess.
    Anew(u8),
}

impl From<Outcome> for Turn {
    fn from(outcome: Outcome) -> Self {
        Self::Over(outcome)
    }
}

/// A packet is dropped.
pub fn dropped<T>(reason: Counter) -> Result<T, Turn> {
    Err(Turn::Over(Outcome::Dropped(reason)))
}

impl Model {
    /// Judges a packet of an entry, and changes the state of the pair.
    pub(super) fn transition(&mut self, tier: Tier, packet: Packet<'_>) -> Result<(), Turn> {
        let (key, segment) = (packet.key(), packet.segment);
        let entry = self.tier(tier)[&key].clone();
        let condition = self.tables.backend(segment.from, entry.backend).condition;
        let changes_nothing = entry.state == State::Established && !entry.reset && !entry.unconfirmed;
        if changes_nothing && is_quiet(packet) && condition == Condition::Active {
            return Ok(());
        }
        // A dead pair answers nothing, not even a SYN.
        if entry.state == State::Dead {
            return dropped(Counter::DropBeingCollected);
        }
        let comes_again = segment.has(SYN) && !segment.has(ACK | RST);
        let is_gone = matches!(condition, Condition::Absent | Condition::Reset);
        // The client knows that it is over, whoever has ended it.
        let is_over = entry.state == State::Closed || entry.reset || is_gone;
        if is_over && !entry.reverse && comes_again {
            if !self.remove_pair(tier, key, entry.state) {
                return dropped(Counter::DropBeingCollected);
            }
            self.count(Counter::FlowReopened);
            return Err(Turn::Anew(0));
        }
        match condition {
            Condition::Absent | Condition::Reset => self.cut(tier, packet, Counter::ResetBackendGone),
            _ if entry.reset => self.cut(tier, packet, Counter::ResetByOperator),
            Condition::Unresolved if !entry.reverse => dropped(Counter::DropNoNextHop),
            Condition::Unresolved | Condition::Active => {
                self.advance(tier, packet, &entry);
                Ok(())
            }
        }
    }

    /// Answers with a RST and closes the pair, whose other end is told when it speaks.
    fn cut(&mut self, tier: Tier, packet: Packet<'_>, reason: Counter) -> Result<(), Turn> {
        let key = packet.key();
        if self.tier(tier)[&key].state != State::Closed {
            self.change_pair(tier, key, |entry| {
                entry.state = State::Closed;
                entry.reset = true;
            });
            self.count(Counter::FlowClosed);
            self.effects.closed.push(key);
        }
        Err(self.answer(packet, reason).into())
    }

    /// The state after this packet, if it is to be believed.
    fn advance(&mut self, tier: Tier, packet: Packet<'_>, entry: &Entry) {
        let (key, segment) = (packet.key(), packet.segment);
        let direction = if entry.reverse { Direction::Reverse } else { Direction::Forward };
        let next = entry.state.after(direction, segment.flags);
        if next == entry.state {
            if entry.state == State::SynReceived && !entry.reverse && segment.is_syn() {
                self.count(Counter::SynRetransmitted);
            }
            return;
        }
        let Some(twin) = self.twin_of(tier, key).map(|twin| self.tier(tier)[&twin].clone()) else {
            return;
        };
        if segment.has(RST) {
            if !is_plausible(packet, entry, &twin) {
                self.count(Counter::ResetOutOfWindow);
                return;
            }
            if entry.reverse && entry.state == State::Established {
                self.backend_resets(entry);
            }
        }
        let completes = entry.state == State::SynReceived && !entry.reverse && next != State::Closed;
        if completes && segment.acknowledgment != twin.next_sequence {
            // Somebody who has not seen the SYN-ACK.
            return;
        }
        self.change_pair(tier, key, |entry| {
            entry.state = entry.state.after(direction, segment.flags);
            entry.backend_closed_first |= entry.state == State::BackendClosed;
        });
        if next == State::Closed {
            self.count(Counter::FlowClosed);
            self.effects.closed.push(key);
        } else if entry.state.is_half_open() && next != State::SynReceived {
            self.count(Counter::FlowEstablished);
        }
    }
}

/// Whether a packet is of the kind that changes nothing in an established connection.
fn is_quiet(packet: Packet<'_>) -> bool {
    !packet.segment.has(SYN | RST | lb_common::tcp::flags::FIN)
}

/// Whether a RST belongs to the connection (RFC 9293, section 3.5.2): in SYN-SENT one of the backend's by what it acknowledges,
/// else by its sequence number, which lies near what this end has sent last or the other has acknowledged last. A number of 0
/// stands for one that has not been seen.
fn is_plausible(packet: Packet<'_>, entry: &Entry, twin: &Entry) -> bool {
    let segment = packet.segment;
    if entry.state == State::SynSent && entry.reverse {
        return segment.has(ACK) && twin.syn.is_acknowledged(twin.next_sequence, segment.acknowledgment);
    }
    let seen: Vec<u32> =
        [twin.last_acknowledgment, entry.next_sequence].into_iter().filter(|number| *number != 0).collect();
    seen.is_empty() || seen.iter().any(|number| distance(*number, segment.sequence) <= RESET_WINDOW)
}

/// How far two sequence numbers are from each other, the shorter way around.
pub fn distance(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b).min(b.wrapping_sub(a))
}
