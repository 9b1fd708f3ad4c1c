//! What the kernel's tables do not say: the names behind the ids, and the last state of everything. It is pinned beside
//! them, so that the commands can answer and the next agent can take over when this one is gone.

use std::{fs, io, os::fd::AsFd, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    control::types::Status,
    kernel::{pins::CATALOG, syscall},
    tables::ids::BackendIds,
};

/// The smallest room for it, in bytes.
const SMALLEST: usize = 64 << 10;
/// Bytes before the text: its length.
const HEADER: usize = 4;

/// The catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Who has which id.
    pub ids: BackendIds,
    /// The last state of everything.
    pub status: Status,
}

impl Catalog {
    /// Writes it into its pinned map, which is made anew where it has become too small.
    pub fn store(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let path = directory.join(CATALOG);
        let room = value_size(&path).unwrap_or(0);
        let needed = HEADER + text.len();
        let (map, room) = if needed <= room {
            (syscall::open_pinned(&path)?, room)
        } else {
            let room = (2 * needed).next_power_of_two().max(SMALLEST);
            let map = syscall::create_array(u32::try_from(room).map_err(io::Error::other)?)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => syscall::pin(map.as_fd(), &path)?,
            }
            (map, room)
        };
        let mut value = vec![0; room];
        value[..HEADER].copy_from_slice(&u32::try_from(text.len()).map_err(io::Error::other)?.to_ne_bytes());
        value[HEADER..needed].copy_from_slice(&text);
        syscall::update(map.as_fd(), &0u32.to_ne_bytes(), &value, syscall::Missing::Create)
    }

    /// Whether another catalog says the same but for figures and times, which change every second and are read from the
    /// tables when they are wanted.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let timeless = |catalog: &Self| {
            let mut catalog = catalog.clone();
            let status = &mut catalog.status;
            status.backends.iter_mut().for_each(|backend| backend.flows = 0);
            for backend in status.services.iter_mut().flat_map(|service| &mut service.backends) {
                backend.since = None;
                backend.last_probe = None;
            }
            (status.flow_table.used, status.half_open_table.used) = (0, 0);
            catalog
        };
        timeless(self) == timeless(other)
    }

    /// Reads it, where there is one.
    pub fn load(directory: &Path) -> Option<Self> {
        let path = directory.join(CATALOG);
        let mut value = vec![0; value_size(&path)?];
        let map = syscall::open_pinned(&path).ok()?;
        syscall::lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut value).ok()?;
        let (length, text) = value.split_first_chunk::<HEADER>()?;
        serde_json::from_slice(text.get(..u32::from_ne_bytes(*length) as usize)?).ok()
    }
}

fn value_size(path: &Path) -> Option<usize> {
    Some(aya::maps::MapInfo::from_pin(path).ok()?.value_size() as usize)
}
