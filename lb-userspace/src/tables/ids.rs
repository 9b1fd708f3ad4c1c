//! Which id the data plane knows a backend by.
//!
//! ```text
//!              acquire                    bury
//!    free ──────────────────► live ─────────────────► tombstone
//!     ▲                        ▲        acquire          │
//!     │                        └─────────────────────────┤
//!     └──────────────────────────────────────────────────┘
//!                      release (no flow holds it)
//! ```
//!
//! Flows hold the id of their backend. So a backend, which is its name and its addresses, keeps its id for as long as
//! it exists, and a removed one leaves a tombstone until the agent has seen that no flow holds the id: its flows end by
//! themselves and never find themselves with a stranger.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{abi::BackendId, limits::MAX_BACKENDS};
use serde::{Deserialize, Serialize};

/// Ids are above 0 and below this.
const END: BackendId = MAX_BACKENDS as BackendId;
const _: () = assert!(END as u32 == MAX_BACKENDS, "an id indexes an array of all backends");

/// An id and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The id, which nobody else has.
    pub id: BackendId,
    /// The backend's name.
    pub name: String,
    /// Its addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// It is removed, but flows may still hold the id.
    pub tombstone: bool,
    /// It is removed, and the flows that hold the id are to be reset.
    #[serde(default)]
    pub cut: bool,
}

/// All ids that are not free. Serialised as the list of its assignments, and checked when it is restored from one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Assignment>", into = "Vec<Assignment>")]
pub struct BackendIds {
    assignments: BTreeMap<BackendId, Assignment>,
    /// The id that was given last. The search goes on behind it, so that an id rests for as long as possible.
    last: BackendId,
}

/// No id is free.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot add backend {name}: all {} backend ids are taken, {tombstones} of them by removed backends whose flows \
     have not ended; wait for these or end them with `xdplb flows reset --backend NAME`", END - 1
)]
pub struct OutOfIds {
    /// Who wanted one.
    pub name: String,
    /// How many ids wait for flows to end.
    pub tombstones: usize,
}

/// A saved list that cannot have been ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// An id that no array has a place for.
    #[error("{name} has the id {id}, which is not in 1..{END}")]
    OutOfRange {
        /// The id.
        id: BackendId,
        /// Whose it is said to be.
        name: String,
    },
    /// One id, two backends.
    #[error("{first} and {second} both have the id {id}")]
    SharedId {
        /// The id.
        id: BackendId,
        /// Whose it is.
        first: String,
        /// Whose it is too.
        second: String,
    },
    /// One backend, two ids.
    #[error("{name} has the ids {first} and {second}")]
    SharedBackend {
        /// The backend.
        name: String,
        /// Its id.
        first: BackendId,
        /// Its other id.
        second: BackendId,
    },
}

impl BackendIds {
    /// The id of a backend: the one that it has or had, else a free one.
    pub fn acquire(&mut self, name: &str, addresses: &[IpAddr]) -> Result<BackendId, OutOfIds> {
        let addresses = normalised(addresses);
        if let Some(assignment) = self.find_mut(name, &addresses) {
            (assignment.tombstone, assignment.cut) = (false, false);
            return Ok(assignment.id);
        }
        let tombstones = self.tombstones().count();
        let id = self.free().ok_or_else(|| OutOfIds { name: name.to_owned(), tombstones })?;
        let assignment = Assignment { id, name: name.to_owned(), addresses, tombstone: false, cut: false };
        self.assignments.insert(id, assignment);
        self.last = id;
        Ok(id)
    }

    /// Makes a tombstone of every backend that is not among `alive`, and tells the ids for which this is new.
    pub fn bury_all_but(&mut self, alive: &[BackendId]) -> Vec<BackendId> {
        let gone = |assignment: &&mut Assignment| !assignment.tombstone && !alive.contains(&assignment.id);
        let bury = |assignment: &mut Assignment| {
            assignment.tombstone = true;
            assignment.id
        };
        self.assignments.values_mut().filter(gone).map(bury).collect()
    }

    /// Has the flows of a tombstone reset. A backend that lives has other ways to that.
    pub fn cut(&mut self, id: BackendId) {
        if let Some(assignment) = self.assignments.get_mut(&id) {
            assignment.cut = assignment.tombstone;
        }
    }

    /// Frees the id of a tombstone, when no flow holds it any more. The id of a backend that lives is not freed.
    pub fn release(&mut self, id: BackendId) -> Option<Assignment> {
        if self.get(id)?.tombstone { self.assignments.remove(&id) } else { None }
    }

    /// Whose an id is, or was while flows hold it.
    pub fn get(&self, id: BackendId) -> Option<&Assignment> {
        self.assignments.get(&id)
    }

    /// All assignments, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Assignment> {
        self.assignments.values()
    }

    /// The removed backends whose ids are not free yet, by id.
    pub fn tombstones(&self) -> impl Iterator<Item = &Assignment> {
        self.iter().filter(|assignment| assignment.tombstone)
    }

    fn free(&self) -> Option<BackendId> {
        let mut behind_then_before = (self.last + 1..END).chain(1..=self.last);
        behind_then_before.find(|id| !self.assignments.contains_key(id))
    }

    fn find_mut(&mut self, name: &str, addresses: &[IpAddr]) -> Option<&mut Assignment> {
        self.assignments
            .values_mut()
            .find(|assignment| assignment.name == name && assignment.addresses == addresses)
    }
}

impl TryFrom<Vec<Assignment>> for BackendIds {
    type Error = RestoreError;

    fn try_from(saved: Vec<Assignment>) -> Result<Self, RestoreError> {
        let mut ids = Self::default();
        for Assignment { id, name, addresses, tombstone, cut } in saved {
            let addresses = normalised(&addresses);
            if !(1..END).contains(&id) {
                return Err(RestoreError::OutOfRange { id, name });
            }
            if let Some(first) = ids.get(id) {
                return Err(RestoreError::SharedId { id, first: first.name.clone(), second: name });
            }
            if let Some(first) = ids.find_mut(&name, &addresses) {
                return Err(RestoreError::SharedBackend { name, first: first.id, second: id });
            }
            ids.last = ids.last.max(id);
            ids.assignments.insert(id, Assignment { id, name, addresses, tombstone, cut });
        }
        Ok(ids)
    }
}

impl From<BackendIds> for Vec<Assignment> {
    fn from(ids: BackendIds) -> Self {
        ids.assignments.into_values().collect()
    }
}

/// Addresses in one order: it must not matter how the file lists them.
fn normalised(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests;
