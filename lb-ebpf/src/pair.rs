//! The two entries of a connection as one thing: found, changed and deleted together.
//!
//! A twin is never trusted: it is read and its own twin compared, or a stranger's entry would be changed. The state word
//! of the *forward* entry is the lock of a pair: whoever turns it to `Dead` deletes both.

use lb_common::{
    abi::{Address, Flow, FlowKey, HalfOpen, StateWord, flow_flags},
    counters::Counter,
    tcp::{Direction, State},
    tick::Tick,
};

use crate::{
    entry::{Entry, same_key},
    family::Family,
    forward::Packet,
    global::global,
    maps,
};

/// How often an entry is marked anew that changes meanwhile: a connection changes its state seldom, and not thrice in
/// the time of an instruction.
const MARK_TRIES: u32 = 3;

/// The two tiers of flow entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The flow table, which never evicts.
    Flows,
    /// The LRU table, whose entries overwrite each other.
    HalfOpen,
}

impl Tier {
    /// The tier as a number, for a global function.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The tier with this number.
    #[inline(always)]
    pub const fn numbered(number: u32) -> Self {
        if number == Self::Flows as u32 { Self::Flows } else { Self::HalfOpen }
    }

    /// The entry with this key.
    #[inline(always)]
    pub fn get<F: Family>(self, key: &FlowKey<F::Address>) -> Option<Entry<F::Address>> {
        let pointer = match self {
            Self::Flows => F::flows().get_ptr_mut(key),
            // The flow is the first field of a half-open entry.
            Self::HalfOpen => F::half_open().get_ptr_mut(key).map(<*mut _>::cast),
        };
        pointer.map(Entry::new)
    }

    /// Inserts an entry unless there is one with this key.
    #[inline(always)]
    pub fn insert_new<F: Family>(self, key: &FlowKey<F::Address>, value: &HalfOpen<F::Address>) -> bool {
        const NOEXIST: u64 = aya_ebpf::bindings::BPF_NOEXIST as u64;
        let result = match self {
            Self::Flows => F::flows().insert(key, &value.flow, NOEXIST),
            Self::HalfOpen => F::half_open().insert(key, value, NOEXIST),
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

global! {
    /// What a packet does to both entries of a pair. Each entry advances from its own state, so that two ends which close at
    /// the same moment on two CPUs both arrive at `Closed`. Does nothing where the entry is not as it was judged.
    pub fn advance(tier: u32, judged: u32) [entry: Flow] -> bool = by_packet as advance_v4, advance_v6;
}

#[inline(always)]
fn by_packet<F: Family>(
    packet: &Packet<'_, F>,
    tier: u32,
    judged: u32,
    entry: *mut Flow<F::Address>,
) -> bool {
    let Ok(entry) = Entry::named(entry) else {
        return false;
    };
    let judged = StateWord(judged);
    let direction = judged.direction();
    change::<F>(Tier::numbered(tier), &packet.segment.key, entry, judged, |word| {
        let next = word.state().after(direction, packet.segment.flags);
        let closed_first = if next == State::BackendClosed { flow_flags::BACKEND_CLOSED_FIRST } else { 0 };
        word.with_state(next).with(closed_first)
    })
}

/// Closes a pair whose packets are to be answered with RST from now on.
#[inline(never)]
pub fn cut<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    judged: StateWord,
) -> bool {
    change::<F>(tier, key, entry, judged, |word| word.with_state(State::Closed).with(flow_flags::RESET))
}

/// Marks both entries of a pair: the next packet of either end is answered with RST and closes it. `false` where it is
/// over already.
#[inline(always)]
pub fn mark_reset<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    now: Tick,
) -> bool {
    let twin = tier.twin_of::<F>(key, entry.twin_in_place());
    let marked = mark::<F>(entry);
    if let (true, Some(twin)) = (marked, twin) {
        mark::<F>(twin);
        // It answers for as long as its time-out from now on.
        twin.set_last_seen(now);
        entry.set_last_seen(now);
    }
    marked
}

/// Marks one entry, whatever packets change in it at the same moment.
#[inline(always)]
fn mark<F: Family>(entry: Entry<F::Address>) -> bool {
    for _ in 0..MARK_TRIES {
        let word = entry.word();
        if matches!(word.state(), State::Closed | State::Dead) {
            return false;
        }
        if entry.exchange(word, word.with(flow_flags::RESET)) {
            return true;
        }
    }
    false
}

/// Changes both entries of a pair, the first only if it still is as it was judged. What somebody has claimed to delete
/// it is left alone.
#[inline(always)]
fn change<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    judged: StateWord,
    next: impl Fn(StateWord) -> StateWord,
) -> bool {
    let new = next(judged);
    if judged.state() == State::Dead || !entry.exchange(judged, new) {
        return false;
    }
    if let Some(twin) = tier.twin_of::<F>(key, &entry.twin()) {
        let old = twin.word();
        let mut advanced = next(old);
        // One that missed a step of the handshake (two CPUs) catches up.
        if advanced.state().is_half_open() && new.state() as u8 > advanced.state() as u8 {
            advanced = advanced.with_state(new.state());
        }
        if old.state() != State::Dead {
            twin.exchange(old, advanced);
        }
    }
    if new.state() == State::Closed && judged.state() != State::Closed {
        maps::count(Counter::FlowClosed);
        maps::tell_closed(key);
    }
    true
}

/// Claims an entry of the lower tier, which was in this state. `false` where it no longer is, or where the slot has gone to
/// another entry since it was looked up.
#[inline(never)]
pub fn claim<F: Family>(key: &FlowKey<F::Address>, entry: Entry<F::Address>, judged: StateWord) -> bool {
    if judged.state() == State::Dead || !entry.exchange(judged, judged.with_state(State::Dead)) {
        return false;
    }
    if Tier::HalfOpen.get::<F>(key) == Some(entry) {
        return true;
    }
    give_back(entry, judged);
    false
}

/// Takes back a claim.
#[inline(always)]
pub fn give_back<A: Address>(entry: Entry<A>, word: StateWord) {
    entry.exchange(word.with_state(State::Dead), word);
}

/// Claims a pair by its lock and deletes it. `false` where it is no longer in the state in which it was judged, or
/// another CPU was first, which then deletes the pair.
#[inline(never)]
pub fn delete<F: Family>(
    tier: Tier,
    key: &FlowKey<F::Address>,
    entry: Entry<F::Address>,
    judged: State,
) -> bool {
    let word = entry.word();
    let twin_key = &entry.twin();
    let twin = tier.twin_of::<F>(key, twin_key);
    let lock = match (word.direction(), twin) {
        (Direction::Reverse, Some(forward)) => forward,
        _ => entry,
    };
    let old = lock.word();
    if old.state() != judged || !lock.exchange(old, old.with_state(State::Dead)) {
        return false;
    }
    if twin.is_some() {
        tier.remove::<F>(twin_key);
    }
    tier.remove::<F>(key);
    true
}

/// Ticks for which neither end of a pair has sent anything.
#[inline(always)]
pub fn idle<F: Family>(tier: Tier, key: &FlowKey<F::Address>, entry: Entry<F::Address>, now: Tick) -> u32 {
    let own = now.since(entry.last_seen());
    let other = tier.twin_of::<F>(key, entry.twin_in_place()).map_or(own, |twin| now.since(twin.last_seen()));
    if other < own { other } else { own }
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
    idle::<F>(tier, key, entry, now) > settings.timeout(entry.word())
}
