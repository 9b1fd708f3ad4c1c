//! The order in which targets are due: pure, it takes `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use tokio::time::Instant;

use super::{Target, TargetId};

/// A probe that is due or on its way: which target, and which version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: TargetId,
    version: u64,
}

struct Entry {
    target: Target,
    version: u64,
    /// When the next probe begins. In the queue exactly while no probe is on its way.
    next: Instant,
    /// When the last one began.
    begun: Option<Instant>,
    in_flight: bool,
}

/// All targets, and a queue ordered by time.
pub(super) struct Schedule {
    entries: BTreeMap<TargetId, Entry>,
    queue: BTreeSet<(Instant, TargetId)>,
    versions: u64,
    jitter: RandomState,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), queue: BTreeSet::new(), versions: 0, jitter: RandomState::new() }
    }

    /// When the next probe is due, if any waits.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Adds or changes a target; the same again changes nothing.
    pub(super) fn set(&mut self, id: TargetId, target: Target, now: Instant) {
        if self.entries.get(&id).is_some_and(|entry| entry.target == target) {
            return;
        }
        self.remove(id);
        self.versions += 1;
        let entry = Entry { target, version: self.versions, next: now, begun: None, in_flight: false };
        self.entries.insert(id, entry);
        self.queue.insert((now, id));
    }

    /// Forgets a target; a probe on its way will belong to nobody.
    pub(super) fn remove(&mut self, id: TargetId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.queue.remove(&(entry.next, id));
        }
    }

    /// Makes the targets exactly these.
    pub(super) fn replace(&mut self, targets: BTreeMap<TargetId, Target>, now: Instant) {
        let gone: Vec<_> = self.entries.keys().filter(|id| !targets.contains_key(id)).copied().collect();
        for id in gone {
            self.remove(id);
        }
        for (id, target) in targets {
            self.set(id, target, now);
        }
    }

    /// Makes a target due now, unless a probe of it is on its way; but a quarter of the interval after the last one at
    /// the earliest, or a burst of refused connections would spend all of `fall` within milliseconds.
    pub(super) fn wake(&mut self, id: TargetId, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.in_flight) else { return };
        let earliest = entry.begun.map_or(now, |begun| now.max(begun + entry.target.interval / 4));
        if earliest < entry.next {
            self.queue.remove(&(entry.next, id));
            entry.next = earliest;
            self.queue.insert((earliest, id));
        }
    }

    /// Takes the target that has waited longest, if one is due, and plans its next probe.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Due, &Target)> {
        let &(at, id) = self.queue.first().filter(|&&(at, _)| at <= now)?;
        self.queue.pop_first();
        let entry = self.entries.get_mut(&id)?;
        entry.in_flight = true;
        entry.begun = Some(now);
        // A tenth of the interval at most, in thousandths, either way.
        let thousandths = 900 + self.jitter.hash_one((at, id)) % 201;
        let nanoseconds = entry.target.interval.as_nanos() * u128::from(thousandths) / 1000;
        let interval = std::time::Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        entry.next = now + interval;
        Some((Due { id, version: entry.version }, &entry.target))
    }

    /// Puts a target back into the queue. False when it was changed or removed meanwhile.
    pub(super) fn finish(&mut self, due: Due) -> bool {
        let entry = self.entries.get_mut(&due.id).filter(|entry| entry.version == due.version);
        let Some(entry) = entry else { return false };
        entry.in_flight = false;
        self.queue.insert((entry.next, due.id));
        true
    }
}
