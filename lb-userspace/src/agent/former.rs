//! What a former agent left, for the one that starts: read whole before anything is changed, or refused.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lb_common::wire::Mac;

use super::{
    catalog::{self, Unreadable},
    clock::Moment,
    memory::{Memory, Pinned},
    network::FormerWay,
};
use crate::{
    control::types::Status,
    kernel::{
        self, load,
        pins::IDS,
        remains::{FormerBackend, Remains},
    },
    tables::ids::BackendIds,
};

/// What a former agent left; nothing, where there was none.
#[derive(Default)]
pub struct Former {
    /// Who has which id.
    pub ids: BackendIds,
    /// The last state of everything.
    pub status: Option<Status>,
    /// What it remembered of the backends.
    pub memory: Option<Pinned>,
    /// What the tables say.
    pub remains: Remains,
}

/// Why nothing is taken over. Flows hold ids: with others under the same numbers they would go to strangers.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The tables cannot be used.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The ids are there, but say nothing.
    #[error(
        "{0}, so nobody knows whose the pinned flows are: start once with --discard-flows, which forgets them, or take \
         everything off with `xdplb detach`"
    )]
    Unreadable(Unreadable),
    /// There are backends, but nobody knows whose ids they have.
    #[error(
        "{0} is missing, so nobody knows whose the pinned flows are: start once with --discard-flows, which forgets \
         them, or take everything off with `xdplb detach`"
    )]
    Missing(PathBuf),
}

/// How long after a former agent's last sign of life its memory of the backends is taken. A restart or an upgrade takes
/// seconds, and minutes by hand; a controller that was restarted meanwhile takes as long. After that one probe knows
/// more than the old word, and one probe decides of a backend that is unverified, but not of one that is up.
const MEMORY_HOLDS: Duration = Duration::from_secs(5 * 60);

impl Former {
    /// Reads a pin directory.
    ///
    /// # Errors
    ///
    /// Where the tables are of another version, or hold backends whose names cannot be known.
    pub fn read(directory: &Path) -> Result<Self, Refusal> {
        load::check_version(directory)?;
        let remains = Remains::read(directory)?;
        let ids = match catalog::load_ids(directory).map_err(Refusal::Unreadable)? {
            Some(ids) => ids,
            None if remains.backends.is_empty() => BackendIds::default(),
            None => return Err(Refusal::Missing(directory.join(IDS))),
        };
        let status = catalog::load_status(directory).unwrap_or_else(|unreadable| {
            log::warn!("{unreadable}: how the program is attached is found out anew");
            None
        });
        let memory = catalog::load_memory(directory).unwrap_or_else(|unreadable| {
            log::warn!("{unreadable}: the health of the backends is not taken over");
            None
        });
        Ok(Self { ids, status, memory, remains })
    }

    /// The ways to the backends, as far as they were known.
    pub fn ways(&self) -> BTreeMap<IpAddr, FormerWay> {
        let interfaces: BTreeMap<_, _> =
            self.remains.links.iter().map(|(interface, link)| (*link, *interface)).collect();
        let way = |backend: &FormerBackend| {
            // An id that was given back leaves its entry where it was.
            let owner = self.ids.get(backend.id)?;
            let is_known = owner.addresses.contains(&backend.address) && backend.mac != Mac::default();
            let interface = *interfaces.get(&backend.link).filter(|_| is_known)?;
            let way = FormerWay { interface, mac: backend.mac, source: backend.snat_address };
            Some((backend.address, way))
        };
        self.remains.backends.iter().filter_map(way).collect()
    }

    /// What is to be remembered of the backends, if it was known lately.
    pub fn memory(&self, now: Moment) -> Memory {
        let silent = Duration::from_nanos(now.monotonic_ns().saturating_sub(self.remains.beat_ns));
        let is_fresh = self.remains.beat_ns > 0 && silent <= MEMORY_HOLDS;
        let memory = self.memory.as_ref().filter(|_| is_fresh);
        memory.map(|memory| Memory::restore(memory, now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former(beat_ns: u64) -> Former {
        let text = r#"{
            "probed": [{"service": "api", "address": "10.0.0.11", "health": "up", "since_ns": 5, "returned_ns": 6,
                        "answered": true}],
            "last_good": [{"vip": "192.0.2.10", "port": 6443, "backends": [1]}]
        }"#;
        let memory = serde_json::from_str(text).expect("it is one");
        Former {
            memory: Some(memory),
            remains: Remains { beat_ns, ..Remains::default() },
            ..Former::default()
        }
    }

    #[test]
    fn an_old_word_is_not_taken() {
        let beat = Moment::now();
        let after = |silence| former(beat.monotonic_ns()).memory(beat.after(silence));
        let lately = after(MEMORY_HOLDS);
        assert_eq!((lately.known.len(), lately.last_good.len()), (1, 1), "lately enough: {lately:?}");
        assert_eq!(after(MEMORY_HOLDS + Duration::from_nanos(1)), Memory::default(), "too long ago");
        assert_eq!(former(0).memory(beat), Memory::default(), "there was no agent");
    }
}
