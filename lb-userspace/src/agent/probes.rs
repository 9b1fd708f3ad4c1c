//! Which probes run, and what their results change.

use std::{collections::BTreeMap, net::SocketAddr};

use super::Agent;
use crate::health::{Health, Machine, ProbeResult, Target, TargetId};

impl Agent {
    /// Makes the probes those of the configuration: one for each service that has one of its own, on each
    /// backend, by each family that it has VIPs of.
    pub(super) fn schedule_probes(&mut self) {
        let wanted = self.state.probes();
        self.targets.replace(wanted.iter().map(|wanted| wanted.probed.clone()));
        let config = self.state.config();
        let snat = config.snat_ports.value;
        let mut targets = BTreeMap::new();
        for wanted in wanted {
            let service = &config.services[wanted.service];
            let (Some(kind), Some(number)) =
                (self.kinds.of(&service.probe), self.targets.number_of(&wanted.probed))
            else {
                continue;
            };
            let target = Target {
                address: SocketAddr::new(wanted.address, service.backend_port),
                source: None,
                foreign_ports: Some(snat.first()..=snat.last()),
                kind,
                interval: service.timing.interval,
                fast_interval: service.timing.fast_interval,
                timeout: service.timing.timeout,
            };
            targets.insert(number, target);
        }
        self.kinds.keep(config);
        self.prober.replace(targets);
        self.tidings.keep(|probed| self.targets.number_of(probed).is_some());
        self.verdicts.keep(|probed| self.targets.number_of(probed).is_some());
    }

    /// Takes in a result; a change of health is said, and written to the tables soon.
    pub(super) fn probed(&mut self, target: TargetId, result: ProbeResult) {
        let Some(probed) = self.targets.get(target).cloned() else { return };
        self.tell_tidings(&probed, &result);
        let transition = self.state.probed(&probed, result);
        self.prober.hurry(target, self.state.machine_of(&probed).is_some_and(Machine::in_doubt));
        if let Some(transition) = &transition {
            let fall = self.state.config().timing_of(&probed.service).fall.into();
            self.verdicts.changed(&probed, transition, fall);
            self.tell_health(&probed, transition, &result);
            self.is_stale = true;
        }
        self.judge(&probed, &result, transition.is_some_and(|transition| transition.to == Health::Down));
    }
}
