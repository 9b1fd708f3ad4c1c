//! What the operator should look at: said in the log when it begins, and in the status for as long as it lasts.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    Agent,
    census::{Census, PortPool},
    news::News,
    setup::sizes,
};
use crate::{control::types::EventKind, net};

/// From here on, in per cent of the SNAT ports, new connections will soon be refused.
const CROWDED: u64 = 80;
/// Below this a crowded pool is one no more: a figure at the edge shall not fill the log.
const RELAXED: u64 = 70;

/// That the configuration wants other tables than there are.
const OTHER_SIZES: &str = "the tables keep the sizes that they were made with; restart the agent for other limits, or \
                           for VIPs of a family that had none";

impl Agent {
    /// Says whether the tables are those that the configuration wants.
    pub(super) fn compare_sizes(&mut self) {
        self.notes.retain(|note| note != OTHER_SIZES);
        if sizes(&self.state) != self.sizes {
            self.notes.push(OTHER_SIZES.into());
        }
    }

    /// Everything that lasts, one sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let lasting = self.notes.iter().chain(&self.listeners).cloned();
        let crowded = self.crowded.iter().map(|(pool, used)| self.crowded_words(*pool, *used));
        let host = self.state.resolved().warnings.iter().map(ToString::to_string);
        let tidings = self.tidings.warnings(SystemTime::now());
        lasting.chain(host).chain(crowded).chain(tidings).chain(self.verdict_warnings()).collect()
    }

    /// Looks for programs of this host in the way, and says in the log all that there is to say.
    pub(super) fn warn(&mut self) {
        self.listeners = self.find_listeners();
        for warning in self.warnings() {
            self.events.tell(News::warning(EventKind::Host, "something needs a look").why(warning));
        }
    }

    pub(super) fn find_listeners(&self) -> Vec<String> {
        let resolved = self.state.resolved();
        let ports: Vec<u16> = resolved.frontends.iter().map(|frontend| frontend.port).collect();
        let mut listeners = net::listeners(&ports).unwrap_or_default();
        listeners.retain(|listener| resolved.vips.iter().any(|vip| listener.serves(*vip)));
        let words = |listener: net::Listener| {
            format!(
                "a program of this host listens on {}: it can no longer be reached from outside on the VIP; stop it \
                 or give it another address",
                listener.address
            )
        };
        listeners.into_iter().map(words).collect()
    }

    /// Follows how many SNAT ports are in use; whoever crosses the line is said once.
    pub(super) fn watch_ports(&mut self, census: &Census) {
        let width = u64::from(self.state.config().snat_ports.value.width());
        let former = std::mem::take(&mut self.crowded);
        let line = |pool: &PortPool| if former.contains_key(pool) { RELAXED } else { CROWDED };
        let crowded: BTreeMap<PortPool, u64> = census
            .ports
            .iter()
            .filter(|(pool, used)| **used * 100 > width * line(pool))
            .map(|(pool, used)| (*pool, *used))
            .collect();
        for (pool, used) in crowded.iter().filter(|(pool, _)| !former.contains_key(pool)) {
            let news = News::warning(
                EventKind::SnatPorts,
                format!("{}: SNAT ports run short", self.pool_name(*pool)),
            );
            self.events.tell(self.about_pool(news, *pool).count(*used).why(self.crowded_why(*used)));
        }
        for pool in former.keys().filter(|pool| !crowded.contains_key(pool)) {
            let words = format!("{}: there are SNAT ports enough again", self.pool_name(*pool));
            self.events.tell(self.about_pool(News::info(EventKind::SnatPorts, words), *pool));
        }
        self.crowded = crowded;
    }

    fn crowded_words(&self, pool: PortPool, used: u64) -> String {
        format!("{}: {}", self.pool_name(pool), self.crowded_why(used))
    }

    fn crowded_why(&self, used: u64) -> String {
        let width = u64::from(self.state.config().snat_ports.value.width()).max(1);
        format!(
            "{used} of {width} SNAT ports are in use ({} %), above {CROWDED} % new connections begin to be refused; \
             widen snat_ports, or add a backend or a VIP",
            used * 100 / width
        )
    }

    /// News of a pool, with the backend that it is of.
    fn about_pool(&self, news: News, pool: PortPool) -> News {
        let backend = self.state.ids().get(pool.backend);
        backend.into_iter().fold(news, |news, backend| news.backend(&backend.name))
    }

    /// A pool as the operator knows it.
    fn pool_name(&self, pool: PortPool) -> String {
        let assignment = self.state.ids().get(pool.backend);
        let name = assignment.map_or_else(|| pool.backend.to_string(), |assignment| assignment.name.clone());
        format!("port {} of {name} from {}", pool.port, pool.snat)
    }
}
