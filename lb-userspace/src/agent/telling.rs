//! What is said of what the agent sees: changes of health, credentials and certificates, failing open.

use std::time::SystemTime;

use super::{
    Agent,
    machines::{Probed, Silence},
    members::{self, Standing, Standings},
    news::{self, News},
};
use crate::{
    config::{Config, Family},
    control::types::EventKind,
    health::{Health, ProbeResult, Transition},
};

impl Agent {
    /// Says that a probe changed the health of a service on a backend. Of what has never answered nothing is said, but
    /// that a backend is not there yet.
    pub(super) fn tell_health(&self, probed: &Probed, transition: &Transition, result: &ProbeResult) {
        let Transition { from, to, .. } = transition;
        let (backend, whose) = self.backend_words(probed);
        let service = &probed.service;
        let news = match (to, self.state.silence_of(probed)) {
            (Health::Down, Silence::Unused | Silence::Undecided) => return,
            (Health::Down, Silence::NotThereYet) => {
                News::info(EventKind::Health, format!("{whose}: none of its services has answered yet"))
            }
            _ => {
                let words = format!("{service} on {whose}: {to}, was {from}");
                let news = if to.takes_new_flows() { News::info } else { News::warning };
                news(EventKind::Health, words).service(service)
            }
        };
        let news = news.backend(&backend).family(probed.family);
        self.events.tell(news.change(Some(from.as_str()), Some(to.as_str())).why(result.to_string()));
    }

    /// Says what a probe saw besides, where that has changed.
    pub(super) fn tell_tidings(&mut self, probed: &Probed, result: &ProbeResult) {
        let (backend, whose) = self.backend_words(probed);
        let name = format!("{} on {whose}", probed.service);
        for news in self.tidings.take(probed, &name, result, SystemTime::now()) {
            self.events.tell(news.service(&probed.service).backend(&backend).family(probed.family));
        }
    }

    /// What is probed, as the operator knows it.
    pub(super) fn probed_words(&self, probed: &Probed) -> String {
        format!("{} on {}", probed.service, self.backend_words(probed).1)
    }

    /// The backend of a probe, as the configuration calls it, and with the family where it has both.
    fn backend_words(&self, probed: &Probed) -> (String, String) {
        let Probed { backend, family, .. } = probed;
        let Some(owner) = self.state.ids().get(*backend) else {
            return (backend.to_string(), backend.to_string());
        };
        let both = owner.addresses.iter().any(|address| Family::of(*address) != *family);
        let whose = if both { format!("{} by {family}", owner.name) } else { owner.name.clone() };
        (owner.name.clone(), whose)
    }

    /// Says how services stand by now that had no healthy backend, or have none. One that only follows another is not
    /// said: that other is.
    pub(super) fn tell_standings(&self, before: &Standings) {
        let now = self.state.standings();
        for (service, standing) in members::changes(before, now).filter(|(service, _)| self.asks(service)) {
            let answered = self.state.has_answered(service);
            let words = format!("{service}: {}", standing.words());
            let news = match standing {
                Standing::Good => News::info(EventKind::FailOpen, words).change(Some("fail-open"), None),
                Standing::LastGood if !answered => {
                    News::info(EventKind::FailOpen, format!("{service}: no backend has answered yet"))
                        .change(None, Some("fail-open"))
                        .why("all of them get the new connections")
                }
                Standing::Refusing => {
                    News::warning(EventKind::FailOpen, words).change(None, Some("refusing"))
                }
                Standing::NotReady | Standing::LastGood => {
                    News::warning(EventKind::FailOpen, words).change(None, Some("fail-open"))
                }
            };
            self.events.tell(news.service(service));
        }
    }

    /// Whether a service of this name is there and has a probe of its own.
    fn asks(&self, service: &str) -> bool {
        self.state.config().services.iter().any(|it| it.name == service && it.probe.asks())
    }

    /// Says what has become of the backends since the configuration was this one.
    pub(super) fn tell_backends(&self, before: &Config, why: &str) {
        for news in news::of_backends(before, self.state.config(), why) {
            self.events.tell(news);
        }
    }
}
