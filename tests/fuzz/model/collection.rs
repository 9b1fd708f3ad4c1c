//! What user space has done to pairs that it names by their keys: deleted, if they are over, or marked to be reset.

use lb_common::tcp::State;

use super::{Effects, Entry, Model, Tier, Tuple};

impl Model {
    /// The collector looks at these keys at this tick; how many pairs it deletes.
    pub fn collect(&mut self, tier: Tier, keys: &[Tuple], now: u32) -> (u32, Effects) {
        self.now = now;
        self.effects = Effects::default();
        let deleted = keys.iter().filter(|key| self.delete_expired(tier, **key)).count();
        (deleted as u32, std::mem::take(&mut self.effects))
    }

    /// An operator resets the pairs of these keys at this tick; how many are marked.
    pub fn reset(&mut self, tier: Tier, keys: &[Tuple], now: u32) -> (u32, Effects) {
        self.now = now;
        self.effects = Effects::default();
        let marked = keys.iter().filter(|key| self.mark(tier, **key)).count();
        (marked as u32, std::mem::take(&mut self.effects))
    }

    fn delete_expired(&mut self, tier: Tier, key: Tuple) -> bool {
        let Some(state) = self.tier(tier).get(&key).map(|entry| entry.state) else {
            return false;
        };
        if !self.is_expired(tier, key) {
            return false;
        }
        if state == State::Dead {
            // Left behind by whoever claimed it.
            return self.remove(tier, key).is_some();
        }
        self.remove_pair(tier, key, state)
    }

    /// A marked pair keeps its state until a packet comes, and answers for as long as its time-out from now on.
    fn mark(&mut self, tier: Tier, key: Tuple) -> bool {
        let now = self.now;
        let is_over = |entry: &Entry| matches!(entry.state, State::Closed | State::Dead);
        let twin = self.twin_of(tier, key);
        let Some(entry) = self.entry_mut(tier, key) else {
            return false;
        };
        if is_over(entry) {
            return false;
        }
        entry.reset = true;
        let Some(twin) = twin else {
            return true;
        };
        entry.last_seen = now;
        let entry = self.entry_mut(tier, twin).expect("it was found");
        entry.reset |= !is_over(entry);
        entry.last_seen = now;
        true
    }
}
