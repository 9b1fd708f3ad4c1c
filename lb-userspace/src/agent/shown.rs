//! A service as the status shows it, and the words of the API for what the agent knows.

use std::time::{Instant, SystemTime};

use super::{Agent, machines::Silence};
use crate::{
    config,
    control::types::{Admin, Health, LastProbe, Mode, Policy, Service, ServiceBackend, Timestamp},
    health::{self, ProbeResult, Seen},
};

impl Agent {
    /// A service on one VIP, with what its probes say of each backend.
    pub(super) fn service(&self, frontend: &config::ServiceFrontend) -> Service {
        let ramping = self.state.ramping(frontend, Self::now());
        let backend = |&index: &usize| {
            let id = self.state.id_of(index);
            let machine = self.state.machine(frontend, id);
            ServiceBackend {
                name: self.state.config().backends[index].name.clone(),
                health: health_word(self.state.health(frontend, id)),
                slow_start_percent: ramping.get(&id).copied(),
                unused: self.state.silence(frontend, id) == Some(Silence::Unused),
                answered: machine.is_some_and(health::Machine::has_answered),
                since: self.state.since(frontend, id).map(wall_clock),
                last_probe: machine.and_then(health::Machine::last).map(last_probe),
            }
        };
        Service {
            name: frontend.name.clone(),
            vip: frontend.vip,
            port: frontend.port,
            mode: mode_word(frontend.mode),
            policy: policy_word(frontend.policy),
            backends: frontend.backends.iter().map(backend).collect(),
        }
    }

    /// The worst health of a backend on the services that it has. What nothing listens on by intention does not count.
    pub(super) fn worst_health(&self, backend: usize) -> Option<Health> {
        let id = self.state.id_of(backend);
        let of_backend = self.state.resolved().frontends.iter().filter(|it| it.backends.contains(&backend));
        let used = of_backend.filter(|frontend| self.state.silence(frontend, id) != Some(Silence::Unused));
        let severity = |health: &Health| Health::ALL.iter().position(|other| other == health);
        used.map(|frontend| health_word(self.state.health(frontend, id))).max_by_key(severity)
    }
}

fn last_probe(result: ProbeResult) -> LastProbe {
    let at = wall_clock(result.at);
    let took = result.at.duration_since(result.begun);
    let ends = result.seen.certificate_ends;
    LastProbe {
        at,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        outcome: result.to_string(),
        certificate_ends: ends.map(Timestamp::new),
        certificate_days: ends.map(|ends| Seen::days_until(ends, at.time())),
        credential: result.seen.credential.word().map(Into::into),
    }
}

/// A moment of the monotonic clock on the wall clock.
fn wall_clock(moment: Instant) -> Timestamp {
    let now = SystemTime::now();
    Timestamp::new(now.checked_sub(moment.elapsed()).unwrap_or(now))
}

pub(super) fn health_word(health: health::Health) -> Health {
    match health {
        health::Health::Unverified => Health::Unverified,
        health::Health::Up => Health::Up,
        health::Health::Opaque => Health::Opaque,
        health::Health::NotReady => Health::NotReady,
        health::Health::Down => Health::Down,
    }
}

pub(super) fn admin_word(state: config::AdminState) -> Admin {
    match state {
        config::AdminState::Enabled => Admin::Enabled,
        config::AdminState::Draining => Admin::Draining,
        config::AdminState::Disabled => Admin::Disabled,
    }
}

fn mode_word(mode: config::Mode) -> Mode {
    match mode {
        config::Mode::Nat => Mode::Nat,
        config::Mode::DsrL2 => Mode::DsrL2,
        config::Mode::DsrIpip => Mode::DsrIpip,
        config::Mode::DsrGue => Mode::DsrGue,
    }
}

fn policy_word(policy: config::Policy) -> Policy {
    match policy {
        config::Policy::Maglev => Policy::Maglev,
        config::Policy::Spread => Policy::Spread,
    }
}
