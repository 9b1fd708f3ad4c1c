//! The order in which targets are due: pure, it takes `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Target, TargetId};
use crate::health::probe::Asker;

/// A probe that is due or on its way: which target, and which version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: TargetId,
    version: u64,
}

struct Entry {
    target: Target,
    /// Asks, and keeps what one probe leaves for the next.
    asker: Arc<Asker>,
    version: u64,
    /// When the next probe begins. In the queue exactly while no probe is on its way.
    next: Instant,
    /// When the last one began.
    begun: Option<Instant>,
    /// It is in doubt.
    hurried: bool,
}

impl Entry {
    /// From the beginning of one probe to the beginning of the next.
    fn interval(&self) -> Duration {
        if self.hurried { self.target.fast_interval } else { self.target.interval }
    }
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
        let asker = Asker::new(target.address, target.kind.clone(), target.timeout);
        let asker = Arc::new(asker.leaving(target.source, target.foreign_ports.clone()));
        let version = self.versions;
        let entry = Entry { target, asker, version, next: now, begun: None, hurried: false };
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

    /// Who asks a target.
    pub(super) fn asker(&self, id: TargetId) -> Option<Arc<Asker>> {
        self.entries.get(&id).map(|entry| Arc::clone(&entry.asker))
    }

    /// Makes a target due now, or as soon as the probe on its way is over.
    pub(super) fn ask(&mut self, id: TargetId, now: Instant) {
        self.bring_forward(id, Duration::ZERO, now);
    }

    /// Makes a target due now, or as soon as the probe on its way is over; but a quarter of the interval after the last
    /// one at the earliest, or a burst of refused connections would spend all of `fall` within milliseconds.
    pub(super) fn wake(&mut self, id: TargetId, now: Instant) {
        let Some(entry) = self.entries.get(&id) else { return };
        self.bring_forward(id, entry.target.interval / 4, now);
    }

    /// Has a target asked at its fast interval, or no more; a probe that is planned already comes sooner.
    pub(super) fn hurry(&mut self, id: TargetId, in_doubt: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.hurried = in_doubt;
        let interval = self.jittered(id, now);
        if in_doubt {
            self.bring_forward(id, interval, now);
        }
    }

    /// Plans the next probe so long after the last one's beginning, if that is sooner than planned.
    fn bring_forward(&mut self, id: TargetId, after_the_last: Duration, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let earliest = entry.begun.map_or(now, |begun| now.max(begun + after_the_last));
        if earliest >= entry.next {
            return;
        }
        // While a probe is on its way the target is not in the queue.
        let waits = self.queue.remove(&(entry.next, id));
        entry.next = earliest;
        if waits {
            self.queue.insert((earliest, id));
        }
    }

    /// The interval of a target, moved by a tenth at most, in thousandths, either way.
    fn jittered(&self, id: TargetId, at: Instant) -> Duration {
        let Some(entry) = self.entries.get(&id) else { return Duration::ZERO };
        let thousandths = 900 + self.jitter.hash_one((at, id)) % 201;
        let nanoseconds = entry.interval().as_nanos() * u128::from(thousandths) / 1000;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Takes the target that has waited longest, if one is due, and plans its next probe.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Due, Arc<Asker>)> {
        let &(at, id) = self.queue.first().filter(|&&(at, _)| at <= now)?;
        self.queue.pop_first();
        let next = now + self.jittered(id, at);
        let entry = self.entries.get_mut(&id)?;
        entry.begun = Some(now);
        entry.next = next;
        Some((Due { id, version: entry.version }, Arc::clone(&entry.asker)))
    }

    /// Puts a target back into the queue. False when it was changed or removed meanwhile.
    pub(super) fn finish(&mut self, due: Due) -> bool {
        let entry = self.entries.get_mut(&due.id).filter(|entry| entry.version == due.version);
        let Some(entry) = entry else { return false };
        self.queue.insert((entry.next, due.id));
        true
    }
}
