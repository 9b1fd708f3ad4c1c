//! What a former agent left, for the one that starts: read whole before anything is changed, or refused.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use lb_common::wire::Mac;

use super::{
    catalog::{self, Unreadable},
    machines::{FormerHealth, Known},
    network::FormerWay,
};
use crate::{
    config::Family,
    control::{self, types::Status},
    health::Health,
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

/// How long after a former agent's last sign of life its word on the backends is taken. A restart or an upgrade takes
/// seconds, and minutes by hand; a controller that was restarted meanwhile takes as long. After that one probe knows
/// more than the old word, and one probe decides of a backend that is unverified, but not of one that is up.
const HEALTH_HOLDS: Duration = Duration::from_secs(5 * 60);

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

    /// The health of the services on the backends' addresses, if it was known lately; `now_ns` is on
    /// `CLOCK_MONOTONIC`.
    pub fn health(&self, now_ns: u64) -> FormerHealth {
        let silent = Duration::from_nanos(now_ns.saturating_sub(self.remains.beat_ns));
        let status = self.status.iter().filter(|_| self.remains.beat_ns > 0 && silent <= HEALTH_HOLDS);
        let (now, wall_clock) = (Instant::now(), SystemTime::now());
        let mut known = FormerHealth::new();
        for (status, service) in status.flat_map(|status| status.services.iter().map(move |it| (status, it)))
        {
            for told in &service.backends {
                let backend = status.backends.iter().find(|backend| backend.name == told.name);
                let addresses = backend.into_iter().flat_map(|backend| &backend.addresses);
                let own_family = |address: &&IpAddr| Family::of(**address) == Family::of(service.vip);
                let Some(address) = addresses.copied().find(|address| own_family(&address)) else { continue };
                let age = told.since.map_or(Duration::ZERO, |since| since.age(wall_clock));
                let since = now.checked_sub(age).unwrap_or(now);
                let health = health_of(told.health);
                let told = Known { health, since, answered: told.answered };
                known.insert((service.name.clone(), address), told);
            }
        }
        known
    }
}

fn health_of(told: control::types::Health) -> Health {
    use control::types::Health as Told;
    match told {
        Told::Unverified => Health::Unverified,
        Told::Up => Health::Up,
        Told::Opaque => Health::Opaque,
        Told::NotReady => Health::NotReady,
        Told::Down => Health::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    const BEAT_NS: u64 = 1_000_000_000;

    fn former() -> Former {
        let remains = Remains { beat_ns: BEAT_NS, ..Remains::default() };
        Former { status: Some(samples::status()), remains, ..Former::default() }
    }

    fn after(silence: Duration) -> u64 {
        BEAT_NS + u64::try_from(silence.as_nanos()).expect("minutes")
    }

    #[test]
    fn each_backend_is_what_it_was() {
        let known = former().health(after(Duration::from_secs(2)));
        let of = |address: [u8; 4]| {
            known.get(&("kubernetes-api".into(), address.into())).map(|known| known.health)
        };
        assert_eq!(of([10, 0, 0, 11]), Some(Health::Up), "{known:?}");
        assert_eq!(of([10, 0, 0, 12]), Some(Health::Down), "{known:?}");
        assert_eq!(of([10, 0, 0, 13]), None, "nobody told of this one: {known:?}");
    }

    #[test]
    fn an_old_word_is_not_taken() {
        assert!(!former().health(after(HEALTH_HOLDS)).is_empty(), "lately enough");
        assert!(former().health(after(HEALTH_HOLDS + Duration::from_nanos(1))).is_empty(), "too long ago");
        let silent = Former { remains: Remains::default(), ..former() };
        assert!(silent.health(1).is_empty(), "there was no agent");
    }

    #[test]
    fn another_family_is_another_address() {
        let mut former = former();
        for service in former.status.iter_mut().flat_map(|status| &mut status.services) {
            service.vip = "fd00::10".parse().expect("an address");
        }
        assert!(
            former.health(after(Duration::ZERO)).is_empty(),
            "the backends have none of the VIP's family"
        );
    }
}
