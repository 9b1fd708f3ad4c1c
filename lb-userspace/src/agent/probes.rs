//! Which probes run, and what their results change.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Agent, machines::Probed};
use crate::{
    config::Family,
    health::{ProbeKind, ProbeResult, Target, TargetId, Transition},
};

impl Agent {
    /// Makes the probes those of the configuration: one for each service that has one of its own, on each
    /// backend, by each family that it has VIPs of.
    pub(super) fn schedule_probes(&mut self) {
        let config = self.state.config();
        let timing = config.probe;
        let mut targets = BTreeMap::new();
        self.targets.clear();
        for wanted in self.state.probes() {
            let target = Target {
                address: SocketAddr::new(wanted.address, config.services[wanted.service].backend_port),
                source: None,
                kind: ProbeKind::Tcp,
                interval: timing.interval,
                timeout: timing.timeout,
            };
            targets.insert(wanted.target(), target);
            self.targets.insert(wanted.target(), wanted.probed);
        }
        self.prober.replace(targets);
    }

    /// Takes in a result; a change of health is said and written to the tables.
    pub(super) fn probed(&mut self, target: TargetId, result: ProbeResult) {
        let Some(probed) = self.targets.get(&target) else { return };
        let Some(transition) = self.state.probed(probed, result) else { return };
        let Transition { from, to, why, .. } = transition;
        let words = format!("{}: {to}, was {from} ({why})", self.probed_words(probed));
        if to.takes_new_flows() {
            log::info!("{words}");
        } else {
            log::warn!("{words}");
        }
        self.apply();
    }

    /// What is probed, as the operator knows it.
    fn probed_words(&self, probed: &Probed) -> String {
        let Probed { service, backend, family } = probed;
        let Some(owner) = self.state.ids().get(*backend) else { return format!("{service} on {backend}") };
        let both = owner.addresses.iter().any(|address| Family::of(*address) != *family);
        if both {
            format!("{service} on {} by {family}", owner.name)
        } else {
            format!("{service} on {}", owner.name)
        }
    }
}
