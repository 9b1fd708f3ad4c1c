//! What a former agent left, for the one that starts: read whole before anything is changed, or refused.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use lb_common::wire::Mac;

use super::{
    catalog::{self, Unreadable},
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
            log::warn!("{unreadable}: the health of the backends is not taken over");
            None
        });
        Ok(Self { ids, status, remains })
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
}
