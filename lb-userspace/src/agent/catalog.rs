//! What the kernel's tables do not say: the names behind the ids, the last state of everything, and what is to be
//! remembered of the backends. They are pinned beside them, so that the commands can answer and the next agent can take over
//! when this one is gone.
//!
//! They are three texts, because they are worth differently much. Without the status the next agent knows a little less,
//! and without the memory it has to ask every backend anew. Without the ids it would give flows to strangers. So a text that
//! another version cannot read must not cost the ids.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{
    clock::Moment,
    memory::{Memory, Pinned},
};
use crate::{
    control::types::Status,
    kernel::{
        document,
        pins::{IDS, MEMORY, STATUS},
    },
    tables::ids::BackendIds,
};

/// A text that is there, but says nothing.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read ({reason})")]
pub struct Unreadable {
    /// Where it is pinned.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Who has which id, as the last agent pinned it; `None` where none did.
pub fn load_ids(directory: &Path) -> Result<Option<BackendIds>, Unreadable> {
    load(directory.join(IDS))
}

/// The last state of everything, as the last agent pinned it; `None` where none did.
pub fn load_status(directory: &Path) -> Result<Option<Status>, Unreadable> {
    load(directory.join(STATUS))
}

/// What the last agent remembered of the backends, as it pinned it; `None` where none did.
pub fn load_memory(directory: &Path) -> Result<Option<Pinned>, Unreadable> {
    load(directory.join(MEMORY))
}

fn load<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, Unreadable> {
    let text = document::load(&path).map_err(|error| error.to_string());
    let read = text.and_then(|text| {
        text.map(|text| serde_json::from_slice(&text)).transpose().map_err(|error| error.to_string())
    });
    read.map_err(|reason| Unreadable { path, reason })
}

/// What this agent has pinned by now.
#[derive(Default)]
pub struct Catalog {
    ids: Option<BackendIds>,
    status: Option<Status>,
    memory: Option<Memory>,
}

impl Catalog {
    /// Pins the ids, where others are pinned.
    pub fn keep_ids(&mut self, directory: &Path, ids: &BackendIds) -> io::Result<()> {
        if self.ids.as_ref() != Some(ids) {
            document::store(&directory.join(IDS), &serde_json::to_vec(ids)?)?;
            self.ids = Some(ids.clone());
        }
        Ok(())
    }

    /// Pins what is to be remembered of the backends, where something else is pinned.
    pub fn keep_memory(&mut self, directory: &Path, memory: Memory) -> io::Result<()> {
        if self.memory.as_ref() != Some(&memory) {
            document::store(&directory.join(MEMORY), &serde_json::to_vec(&memory.pinned(Moment::now()))?)?;
            self.memory = Some(memory);
        }
        Ok(())
    }

    /// Pins the status, where one is pinned that says something else.
    pub fn keep_status(&mut self, directory: &Path, status: Status) -> io::Result<()> {
        if !self.status.as_ref().is_some_and(|kept| timeless(kept) == timeless(&status)) {
            document::store(&directory.join(STATUS), &serde_json::to_vec(&status)?)?;
            self.status = Some(status);
        }
        Ok(())
    }
}

/// A status without figures and times, which change every second and are read from the tables when they are wanted.
fn timeless(status: &Status) -> Status {
    let mut status = status.clone();
    status.backends.iter_mut().for_each(|backend| backend.flows = 0);
    for backend in status.services.iter_mut().flat_map(|service| &mut service.backends) {
        backend.since = None;
        backend.slow_start_percent = None;
        backend.last_probe = None;
    }
    (status.flow_table.used, status.half_open_table.used) = (0, 0);
    status
}
