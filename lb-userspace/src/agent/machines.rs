//! Which backend is probed for which service by which family, and the machine of each.
//!
//! A backend with addresses of both families is two to its clients: one family may answer while the other does not. So
//! each has a machine of its own, and each VIP sees those of its family. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use lb_common::abi::BackendId;

use crate::{
    config::{Config, Family, Resolved, ServiceFrontend},
    health::{Health, Machine, ProbeResult, Thresholds, Transition, follow},
};

/// What a machine is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probed {
    /// The service with the probe.
    pub service: String,
    /// The backend.
    pub backend: BackendId,
    /// By which of its addresses.
    pub family: Family,
}

/// A probe that the configuration wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is of.
    pub probed: Probed,
    /// The position of its service in the configuration.
    pub service: usize,
    /// The backend's address.
    pub address: IpAddr,
}

/// What a former agent knew of the services on the backends' addresses.
pub type FormerHealth = BTreeMap<(String, IpAddr), Known>;

/// What a former agent knew of a service on a backend's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The health.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// When it was up again after it was down.
    pub returned: Option<Instant>,
    /// Whether it had ever answered.
    pub answered: bool,
}

impl From<&Machine> for Known {
    fn from(machine: &Machine) -> Self {
        Self {
            health: machine.health(),
            since: machine.since(),
            returned: machine.returned(),
            answered: machine.has_answered(),
        }
    }
}

/// What to make of a service that does not answer on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has answered before: somebody should look at it.
    Lost,
    /// It has never answered, and another service of the backend has: nothing listens there, as it seems by intention.
    Unused,
    /// It has never answered, and there are services of the backend that have not been asked yet.
    Undecided,
    /// No service of the backend has ever answered: it is not there yet.
    NotThereYet,
}

/// The services whose probes tell the health of a frontend's backends: its own, and the one that it follows.
pub fn told_by(frontend: &ServiceFrontend) -> impl Iterator<Item = &str> {
    let own = frontend.probe.asks().then_some(&*frontend.name);
    own.into_iter().chain(frontend.followed.as_deref())
}

/// What is to be probed: each backend of every service with a probe of its own, by the families of the VIPs that are
/// told by it.
pub fn wanted(config: &Config, resolved: &Resolved, id_of: &[BackendId]) -> Vec<Wanted> {
    let told: BTreeSet<(&str, Family)> = resolved
        .frontends
        .iter()
        .flat_map(|frontend| told_by(frontend).map(|service| (service, Family::of(frontend.vip))))
        .collect();
    let mut wanted = Vec::new();
    for (position, service) in config.services.iter().enumerate() {
        let families = Family::BOTH.into_iter().filter(|family| told.contains(&(&service.name, *family)));
        for family in families.filter(|_| service.probe.asks()) {
            for (backend, &id) in config.backends.iter().zip(id_of) {
                let address = backend.address(family).filter(|_| service.takes(&backend.name));
                let probed = Probed { service: service.name.clone(), backend: id, family };
                wanted.extend(address.map(|address| Wanted { probed, service: position, address }));
            }
        }
    }
    wanted
}

/// The machines.
#[derive(Debug, Default)]
pub struct Machines(BTreeMap<Probed, Machine>);

impl Machines {
    /// Makes the machines those that are wanted, with the thresholds of their services. What was there goes on, what a former
    /// agent knew is taken up, and what is new is unverified.
    pub fn settle(
        &mut self,
        wanted: Vec<Wanted>,
        thresholds: impl Fn(&Probed) -> Thresholds,
        former: &FormerHealth,
        now: Instant,
    ) {
        let mut present = std::mem::take(&mut self.0);
        for Wanted { probed, address, .. } in wanted {
            let thresholds = thresholds(&probed);
            let known = former.get(&(probed.service.clone(), address));
            let born = || match known {
                Some(known) => Machine::resume(thresholds, known.health, known.since)
                    .having_answered(known.answered)
                    .having_returned(known.returned),
                None => Machine::new(thresholds, now),
            };
            let mut machine = present.remove(&probed).unwrap_or_else(born);
            machine.set_thresholds(thresholds);
            self.0.insert(probed, machine);
        }
    }

    /// The machine that tells a frontend most of a backend: that of its own probe, unless it only follows.
    pub fn get(&self, frontend: &ServiceFrontend, backend: BackendId) -> Option<&Machine> {
        self.all(frontend, backend).next()
    }

    /// The machines that tell a frontend of a backend: of its own probe, and of the service that it follows.
    pub fn all(&self, frontend: &ServiceFrontend, backend: BackendId) -> impl Iterator<Item = &Machine> {
        let family = Family::of(frontend.vip);
        told_by(frontend).filter_map(move |service| self.of(service, backend, family))
    }

    /// Since when the health of a backend on a frontend is what it is: of several that tell of it, what takes it out does
    /// so from its beginning, and it is good when the last of them is.
    pub fn since(&self, frontend: &ServiceFrontend, backend: BackendId) -> Option<Instant> {
        let health = self.health(frontend, backend);
        let so = self.all(frontend, backend).filter(|machine| machine.health() == health).map(Machine::since);
        if health.takes_new_flows() {
            self.all(frontend, backend).map(Machine::since).max()
        } else {
            so.min()
        }
    }

    /// The machine of a service's own probe.
    pub fn of(&self, service: &str, backend: BackendId, family: Family) -> Option<&Machine> {
        self.0.get(&Probed { service: service.to_owned(), backend, family })
    }

    /// The machine of a probe.
    pub fn machine(&self, probed: &Probed) -> Option<&Machine> {
        self.0.get(probed)
    }

    /// What to make of a backend that is down on a frontend; `None` where it is not down.
    pub fn silence(&self, frontend: &ServiceFrontend, backend: BackendId) -> Option<Silence> {
        let down = self.health(frontend, backend) == Health::Down;
        let service = told_by(frontend).next().filter(|_| down)?.to_owned();
        Some(self.silence_of(&Probed { service, backend, family: Family::of(frontend.vip) }))
    }

    /// Whether a service has ever answered on any backend.
    pub fn has_answered(&self, service: &str) -> bool {
        self.0.iter().any(|(probed, machine)| probed.service == service && machine.has_answered())
    }

    /// What to make of it when the probe of a service fails.
    pub fn silence_of(&self, probed: &Probed) -> Silence {
        if self.machine(probed).is_some_and(Machine::has_answered) {
            return Silence::Lost;
        }
        let of_backend = |(of, _): &(&Probed, &Machine)| {
            of.backend == probed.backend && of.family == probed.family && of.service != probed.service
        };
        let others: Vec<&Machine> = self.0.iter().filter(of_backend).map(|(_, machine)| machine).collect();
        if others.iter().any(|machine| machine.has_answered()) {
            Silence::Unused
        } else if others.iter().any(|machine| machine.health() == Health::Unverified) {
            Silence::Undecided
        } else {
            Silence::NotThereYet
        }
    }

    /// The health of a backend on a frontend.
    pub fn health(&self, frontend: &ServiceFrontend, backend: BackendId) -> Health {
        let family = Family::of(frontend.vip);
        let of =
            |service: &str| self.of(service, backend, family).map_or(Health::Unverified, Machine::health);
        let own = frontend.probe.asks().then(|| of(&frontend.name));
        match &frontend.followed {
            Some(followed) => follow(own, of(followed)),
            None => own.unwrap_or(Health::Unverified),
        }
    }

    /// What is down.
    pub fn down(&self) -> Vec<Probed> {
        let is_down = |(_, machine): &(&Probed, &Machine)| machine.health() == Health::Down;
        self.0.iter().filter(is_down).map(|(probed, _)| probed.clone()).collect()
    }

    /// Takes in evidence that did not come from a probe.
    pub fn suspect(&mut self, probed: &Probed, now: Instant) {
        if let Some(machine) = self.0.get_mut(probed) {
            machine.suspect(now);
        }
    }

    /// The machines of the other backends, of the same service and family.
    pub fn peers(&self, probed: &Probed) -> impl Iterator<Item = &Machine> {
        let Probed { service, backend, family } = probed.clone();
        let first = Probed { service: service.clone(), backend: 0, family: Family::V4 };
        self.0
            .range(first..)
            .take_while(move |(of, _)| of.service == service)
            .filter(move |(of, _)| of.family == family && of.backend != backend)
            .map(|(_, machine)| machine)
    }

    /// When a backend came back to a frontend, if it was down before: with the last of the machines that tell of it.
    pub fn returned(&self, frontend: &ServiceFrontend, backend: BackendId) -> Option<Instant> {
        self.all(frontend, backend).filter_map(Machine::returned).max()
    }

    /// Takes in a probe's result.
    pub fn apply(&mut self, probed: &Probed, result: ProbeResult) -> Option<Transition> {
        self.0.get_mut(probed)?.apply(result)
    }
}

#[cfg(test)]
mod tests;
