//! Which probes run, and what their results change.

use std::{collections::BTreeMap, net::SocketAddr};

use super::Agent;
use crate::{
    config::Probe,
    health::{ProbeKind, ProbeResult, Target, TargetId},
};

impl Agent {
    /// Makes the probes those of the configuration: one for each service that has one of its own, on each backend.
    pub(super) fn schedule_probes(&mut self) {
        let config = self.state.config();
        let timing = config.probe;
        let mut targets = BTreeMap::new();
        self.targets.clear();
        for (number, service) in config.services.iter().enumerate() {
            if matches!(service.probe.value, Probe::Follow(_)) {
                continue;
            }
            for (index, backend) in config.backends.iter().enumerate().filter(|(_, b)| service.takes(&b.name))
            {
                let Some(address) = backend.addresses.first() else { continue };
                let id = self.state.id_of(index);
                let target = TargetId((number as u64) << 16 | u64::from(id));
                self.targets.insert(target, (service.name.clone(), id));
                targets.insert(
                    target,
                    Target {
                        address: SocketAddr::new(address.value, service.backend_port),
                        source: None,
                        kind: ProbeKind::Tcp,
                        interval: timing.interval,
                        timeout: timing.timeout,
                    },
                );
            }
        }
        self.prober.replace(targets);
    }

    /// Takes in a result; a change of health is said and written to the tables.
    pub(super) fn probed(&mut self, target: TargetId, result: ProbeResult) {
        let Some((service, id)) = self.targets.get(&target).cloned() else { return };
        let Some(transition) = self.state.probed(&service, id, result) else { return };
        let name =
            self.state.ids().get(id).map_or_else(|| id.to_string(), |assignment| assignment.name.clone());
        let words =
            format!("{service} on {name}: {}, was {} ({})", transition.to, transition.from, transition.why);
        if transition.to.takes_new_flows() {
            log::info!("{words}");
        } else {
            log::warn!("{words}");
        }
        self.apply();
    }
}
