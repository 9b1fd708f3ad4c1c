//! The lower tier: handshakes, and what stays there. Its entries overwrite each other, so that an entry may be without its twin.

use lb_common::{
    counters::Counter,
    tcp::{
        State,
        flags::{ACK, SYN},
    },
};

use super::{
    Model, Outcome, Packet, Tier, Tuple,
    flow::Entry,
    same_family,
    transition::{Turn, dropped},
};

/// A span of about a second, in ticks: once in it a pair that stays below asks for room again.
pub const SPAN: u32 = 64;

impl Model {
    /// A packet of an entry of the lower tier.
    pub(super) fn of_handshake(&mut self, packet: Packet<'_>) -> Result<Outcome, Turn> {
        let key = packet.key();
        let before = self.half_open[&key].clone();
        let Some(twin) = self.twin_of(Tier::HalfOpen, key) else {
            return self.torn(packet, &before);
        };
        // One that is to be reset is answered, whatever its reply says of the guess.
        if before.unconfirmed && before.reverse && !before.reset {
            self.judge_reply(packet, twin)?;
        }
        if before.state == State::SynSent && !before.reset && !self.half_open[&twin].reset {
            self.redispatch(packet)?;
        }
        self.transition(Tier::HalfOpen, packet)?;
        self.touch(Tier::HalfOpen, packet);
        let entry = self.half_open[&key].clone();
        let is_claimed = self.half_open[&twin].state == State::Dead;
        if entry.state == State::Closed && packet.segment.has(SYN) && is_claimed {
            // The answer to a SYN that is being taken back.
            return dropped(Counter::DropBeingCollected);
        }
        let another_second = before.last_seen / SPAN != self.now / SPAN;
        if is_complete(&entry) && (!is_complete(&before) || another_second) {
            self.promote(key);
        }
        Ok(self.send_on(packet, &entry))
    }

    /// Half a pair.
    fn torn(&mut self, packet: Packet<'_>, entry: &Entry) -> Result<Outcome, Turn> {
        if entry.state == State::Dead {
            return dropped(Counter::DropBeingCollected);
        }
        if entry.state == State::Closed && entry.reverse {
            // The connection has gone to another backend, and this one may let go of it, if it is this one that it speaks of.
            let is_of_it = packet.segment.has(ACK) && entry.syn.is_answered(packet.segment.acknowledgment);
            return if is_of_it {
                Ok(self.answer(packet, Counter::ResetUndone))
            } else {
                dropped(Counter::DropOrphanReply)
            };
        }
        self.count(Counter::HalfOpenTorn);
        self.remove(Tier::HalfOpen, packet.key());
        match entry {
            Entry { reverse: true, .. } => dropped(Counter::DropOrphanReply),
            // A guess that was refused: the client's next packet is the next one.
            Entry { unconfirmed: true, attempt, .. } => Err(Turn::Anew(*attempt)),
            _ => Err(Turn::Anew(0)),
        }
    }

    /// Moves a pair whose handshake is complete to the flow table, if there is room and somebody who collects it.
    fn promote(&mut self, key: Tuple) {
        let twin = self.half_open[&key].twin;
        if [key, twin].iter().any(|key| self.half_open[key].state == State::Dead) {
            // It is being deleted.
            return;
        }
        let uncollected = self.now.wrapping_sub(self.tables.collected).cast_signed();
        if uncollected > self.tables.uncollected_after.cast_signed() {
            return self.stay_below(key, Counter::FlowTableUncollected);
        }
        let used = self.flows.keys().filter(|other| same_family(other.0, key.0)).count();
        if used + 2 > self.tables.capacity {
            return self.stay_below(key, Counter::FlowTableFull);
        }
        for key in [key, twin] {
            let entry = self.remove(Tier::HalfOpen, key).expect("both were found");
            self.effects.touched.push((Tier::Flows, key));
            self.flows.insert(key, entry);
        }
    }

    /// A pair that stays below works all the same, and is counted once in its life.
    fn stay_below(&mut self, key: Tuple, reason: Counter) {
        let twin = self.half_open[&key].twin;
        let forward = if self.half_open[&key].reverse { twin } else { key };
        let entry = self.entry_mut(Tier::HalfOpen, forward).expect("both were found");
        if !std::mem::replace(&mut entry.stays_below, true) {
            self.count(reason);
        }
    }
}

/// Whether a pair belongs into the flow table. One that is closed does not, or a flood of SYN and RST would fill the table that
/// never evicts.
fn is_complete(entry: &Entry) -> bool {
    let connected = matches!(entry.state, State::Established | State::ClientClosed | State::BackendClosed);
    connected && !entry.unconfirmed
}
