//! Whose connections are to be ended, and when: pure.
//!
//! ```text
//!   in use ──drain, remove──► draining ──`drain_timeout`──► ended, once
//!      │                         │ disable, remove --now
//!      └──disable, remove --now──┴──────────────────────► ended, at once
//!   ended, draining ──enable──► in use
//! ```
//!
//! Since when a backend drains is not remembered beyond the agent: the next one begins anew to count, and so never ends a
//! connection too early.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lb_common::abi::BackendId;

/// When the connections of a backend are to be ended that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At once: it is disabled, or removed with `--now`.
    AtOnce,
    /// When it has drained for too long.
    Drained,
}

/// The backends that are not in use.
#[derive(Debug, Default)]
pub struct Endings(BTreeMap<BackendId, Entry>);

#[derive(Debug)]
struct Entry {
    ending: Ending,
    since: Instant,
    ended: bool,
}

impl Endings {
    /// Takes in which backends are not in use now; gives those whose connections are to be ended now, each once.
    pub fn due(
        &mut self,
        leaving: impl Iterator<Item = (BackendId, Ending)>,
        drain_timeout: Option<Duration>,
        now: Instant,
    ) -> BTreeSet<BackendId> {
        let mut former = std::mem::take(&mut self.0);
        let mut due = BTreeSet::new();
        for (id, ending) in leaving {
            let known = former.remove(&id).filter(|entry| entry.ending == ending);
            let mut entry = known.unwrap_or(Entry { ending, since: now, ended: false });
            let is_over = match ending {
                Ending::AtOnce => true,
                Ending::Drained => {
                    drain_timeout.is_some_and(|timeout| now.saturating_duration_since(entry.since) >= timeout)
                }
            };
            if is_over && !std::mem::replace(&mut entry.ended, is_over) {
                due.insert(id);
            }
            self.0.insert(id, entry);
        }
        due
    }

    /// Has those ended again with the next look: it could not be begun.
    pub fn again(&mut self, backends: &BTreeSet<BackendId>) {
        self.0.iter_mut().filter(|(id, _)| backends.contains(id)).for_each(|(_, entry)| entry.ended = false);
    }
}

#[cfg(test)]
mod tests;
