//! Who takes new connections, who is on the way back, and who leaves; and what the next agent is to remember of it.

use std::{collections::BTreeMap, time::Instant};

use lb_common::abi::BackendId;

use super::State;
use crate::{
    agent::{
        endings::Ending,
        machines::{self, Silence},
        members::{self, Candidate, Standing},
        memory::Memory,
    },
    config::{AdminState, Family, ServiceFrontend},
    health::Health,
    tables::{
        Member,
        desired::Socket,
        ramp::{self, Returning},
    },
};

impl State {
    /// Who takes new connections, with the weights of this moment.
    pub(super) fn members(
        &mut self,
        frontend: &ServiceFrontend,
        socket: Socket,
        now: Instant,
    ) -> Vec<Member> {
        let candidates = self.candidates(frontend, now);
        let last_good = self.last_good.entry(socket).or_default();
        let (returning, standing) = members::choose(&candidates, last_good, frontend.fail_open);
        if standing != Standing::Good && self.alarms(frontend, &candidates) {
            let known = self.standings.entry(frontend.name.clone()).or_default();
            *known = standing.max(*known);
        }
        ramp::members(&returning, frontend.slow_start, now)
    }

    /// The backends as a frontend sees them.
    fn candidates(&self, frontend: &ServiceFrontend, now: Instant) -> Vec<Candidate> {
        let family = Family::of(frontend.vip);
        let candidate = |&backend: &usize| {
            let (id, config) = (self.id_of(backend), &self.config.backends[backend]);
            let member = Member { id, address: config.address(family)?, weight: config.weight.into() };
            Some(Candidate {
                returning: Returning { member, since: self.machines.returned(frontend, id) },
                admin: config.state,
                health: self.health(frontend, id),
                went_down_lately: self.went_down_lately(frontend, id, now),
            })
        };
        frontend.backends.iter().filter_map(candidate).collect()
    }

    /// The members of a frontend that have just come back, and the percentage of their full share that they have.
    pub fn ramping(&self, frontend: &ServiceFrontend, now: Instant) -> BTreeMap<BackendId, u32> {
        let good: Vec<Returning> = self
            .candidates(frontend, now)
            .iter()
            .filter(|it| it.admin == AdminState::Enabled && it.health.takes_new_flows())
            .map(|it| it.returning)
            .collect();
        let steps = ramp::steps(&good, frontend.slow_start, now);
        let ramping = good.iter().zip(steps).filter(|(_, step)| *step < ramp::STEPS);
        let percent = |step: u16| u32::from(step) * 100 / u32::from(ramp::STEPS);
        ramping.map(|(returning, step)| (returning.member.id, percent(step))).collect()
    }

    /// The backends that are not in use, and when their connections are to be ended.
    pub fn leaving(&self) -> impl Iterator<Item = (BackendId, Ending)> {
        let live = self.config.backends.iter().zip(&self.id_of).filter_map(|(backend, &id)| {
            let ending = match backend.state {
                AdminState::Enabled => return None,
                AdminState::Draining => Ending::Drained,
                AdminState::Disabled => Ending::AtOnce,
            };
            Some((id, ending))
        });
        let ending_of = |cut: bool| if cut { Ending::AtOnce } else { Ending::Drained };
        live.chain(self.ids.tombstones().map(move |gone| (gone.id, ending_of(gone.cut))))
    }

    /// What the next agent is to remember.
    pub fn memory(&self) -> Memory {
        let known = self.probes().into_iter().filter_map(|wanted| {
            let known = self.machine_of(&wanted.probed)?.into();
            Some(((wanted.probed.service, wanted.address), known))
        });
        Memory { known: known.collect(), last_good: self.last_good.clone() }
    }

    /// Whether it is worth a word that none of these is healthy. Nothing listens anywhere, as it seems by intention, where
    /// some that live have never answered, and no other has.
    fn alarms(&self, frontend: &ServiceFrontend, candidates: &[Candidate]) -> bool {
        let enabled = || candidates.iter().filter(|candidate| candidate.admin == AdminState::Enabled);
        let silences = || enabled().map(|candidate| self.silence(frontend, candidate.returning.member.id));
        silences().any(|silence| matches!(silence, None | Some(Silence::Lost)))
            || (enabled().next().is_some() && silences().all(|silence| silence == Some(Silence::NotThereYet)))
    }

    /// Whether a backend went down so lately that the others of its service may be about to follow it.
    fn went_down_lately(&self, frontend: &ServiceFrontend, id: BackendId, now: Instant) -> bool {
        machines::told_by(frontend).any(|service| {
            let timing = self.config.timing_of(service);
            let window = (timing.interval + timing.timeout) * u32::from(timing.fall) * 2;
            let machine = self.machines.of(service, id, Family::of(frontend.vip));
            let down = machine.filter(|machine| machine.health() == Health::Down);
            down.is_some_and(|machine| now.saturating_duration_since(machine.since()) < window)
        })
    }
}
