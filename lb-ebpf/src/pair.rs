//! The two entries of a connection as one thing: found, changed and deleted together.
//!
//! A twin is never trusted: it is read and its own twin compared, or a stranger's entry would be changed. The state word
//! of the *forward* entry is the lock of a pair: whoever turns it to `Dead` deletes both.

use lb_common::{
    abi::{Flow, FlowKey, StateWord, flow_flags},
    counters::Counter,
    tcp::{Direction, State},
    tick::Tick,
};

use crate::{
    entry::{Entry, same_key},
    family::Family,
    maps,
};

/// The two tiers of flow entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The flow table, which never evicts.
    Flows,
    /// The LRU table, whose entries overwrite each other.
    HalfOpen,
}

impl Tier {
    /// The entry with this key.
    #[inline(always)]
    pub fn get<F: Family>(self, key: &FlowKey<F::Address>) -> Option<Entry<F::Address>> {
        let pointer = match self {
            Self::Flows => F::flows().get_ptr_mut(key),
            Self::HalfOpen => F::half_open().get_ptr_mut(key),
        };
        pointer.map(Entry::new)
    }

    /// Inserts an entry unless there is one with this key.
    #[inline(always)]
    pub fn insert_new<F: Family>(self, key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> bool {
        const NOEXIST: u64 = aya_ebpf::bindings::BPF_NOEXIST as u64;
        let result = match self {
            Self::Flows => F::flows().insert(key, flow, NOEXIST),
            Self::HalfOpen => F::half_open().insert(key, flow, NOEXIST),
        };
        result.is_ok()
    }

    /// Deletes the entry with this key.
    #[inline(always)]
    pub fn remove<F: Family>(self, key: &FlowKey<F::Address>) {
        let _gone_already = match self {
            Self::Flows => F::flows().remove(key),
            Self::HalfOpen => F::half_open().remove(key),
        };
    }

    /// The other entry of the pair, if it is there and really ours.
    #[inline(always)]
    pub fn twin_of<F: Family>(
        self,
        key: &FlowKey<F::Address>,
        twin_key: &FlowKey<F::Address>,
    ) -> Option<Entry<F::Address>> {
        let twin = self.get::<F>(twin_key)?;
        same_key(&twin.twin(), key).then_some(twin)
    }
}

/// Gives both entries of a pair another state. Does nothing where the entry has changed meanwhile, and leaves alone what
/// somebody has claimed to delete it.
#[inline(never)]
pub fn set_state<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    new: StateWord,
) -> bool {
    let old = entry.word();
    if old.state() == State::Dead || !entry.exchange(old, new) {
        return false;
    }
    let twin_key = entry.twin_in_place();
    if let Some(twin) = tier.twin_of::<F>(key, twin_key) {
        let old = twin.word();
        if old.state() != State::Dead {
            let side = old.flags() & flow_flags::REVERSE;
            let flags = new.flags() & !flow_flags::REVERSE | side;
            twin.exchange(old, StateWord::new(new.state(), flags, new.attempt(), new.service()));
        }
    }
    if new.state() == State::Closed {
        maps::count(Counter::FlowClosed);
        maps::tell_closed(key);
    }
    true
}

/// Claims a pair by its lock and deletes it. `false` where another CPU was first; it deletes the pair.
#[inline(never)]
pub fn delete<F: Family>(tier: Tier, key: &FlowKey<F::Address>, entry: Entry<F::Address>) -> bool {
    let word = entry.word();
    let twin_key = entry.twin_in_place();
    let twin = tier.twin_of::<F>(key, twin_key);
    let lock = match (word.direction(), twin) {
        (Direction::Reverse, Some(forward)) => forward,
        _ => entry,
    };
    let old = lock.word();
    if old.state() == State::Dead || !lock.exchange(old, old.with_state(State::Dead)) {
        return false;
    }
    if twin.is_some() {
        tier.remove::<F>(twin_key);
    }
    tier.remove::<F>(key);
    true
}

/// Whether nobody has used a pair for longer than its state allows.
#[inline(always)]
pub fn is_expired<F: Family>(
    tier: Tier,
    settings: &lb_common::abi::Settings,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    now: Tick,
) -> bool {
    let timeout = settings.timeout(entry.word());
    if now.since(entry.last_seen()) <= timeout {
        return false;
    }
    let twin_key = entry.twin_in_place();
    tier.twin_of::<F>(key, twin_key).is_none_or(|twin| now.since(twin.last_seen()) > timeout)
}
