//! Which probes run, and what their results change.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::Agent;
use crate::{
    config::{Config, ConfigError, Probe, error::Problem},
    health::{
        Health, Machine, ProbeKind, ProbeResult, Target, TargetId,
        probe::{https::Https, tls::Tls},
    },
};

impl Agent {
    /// Makes the probes those of the configuration: one for each service that has one of its own, on each
    /// backend, by each family that it has VIPs of.
    pub(super) fn schedule_probes(&mut self) {
        let config = self.state.config();
        let (timing, snat) = (config.probe, config.snat_ports.value);
        let mut targets = BTreeMap::new();
        self.targets.clear();
        let kinds: Vec<Option<ProbeKind>> =
            config.services.iter().map(|service| kind(&service.probe)).collect();
        for wanted in self.state.probes() {
            let Some(kind) = kinds[wanted.service].clone() else { continue };
            let target = Target {
                address: SocketAddr::new(wanted.address, config.services[wanted.service].backend_port),
                source: None,
                foreign_ports: Some(snat.first()..=snat.last()),
                kind,
                interval: timing.interval,
                fast_interval: timing.fast_interval,
                timeout: timing.timeout,
            };
            targets.insert(wanted.target(), target);
            self.targets.insert(wanted.target(), wanted.probed);
        }
        self.prober.replace(targets);
        self.tidings.keep(|id| self.targets.contains_key(id));
    }

    /// Takes in a result; a change of health is said and written to the tables.
    pub(super) fn probed(&mut self, target: TargetId, result: ProbeResult) {
        let Some(probed) = self.targets.get(&target).cloned() else { return };
        self.tell_tidings(target, &probed, &result.seen);
        let transition = self.state.probed(&probed, result);
        self.prober.hurry(target, self.state.machine_of(&probed).is_some_and(Machine::in_doubt));
        if let Some(transition) = &transition {
            let fall = self.state.config().probe.fall.into();
            self.verdicts.changed(&probed, transition, fall);
            self.tell_health(&probed, transition, &result);
            self.apply();
        }
        self.judge(&probed, &result, transition.is_some_and(|transition| transition.to == Health::Down));
    }
}

/// How a service's backends are asked; `None` where it only follows.
fn kind(probe: &Probe) -> Option<ProbeKind> {
    match probe {
        Probe::Tcp => Some(ProbeKind::Tcp),
        Probe::Tls(probe) => Some(ProbeKind::Tls(Arc::new(Tls::new(probe)))),
        Probe::Https(probe) => Some(ProbeKind::Https(Arc::new(Https::new(probe)))),
        Probe::Follow(_) => None,
    }
}

/// Reads the files that the probes of a configuration need; what is wrong is said where the file was named.
pub fn check_files(config: &Config) -> Result<(), ConfigError> {
    for service in &config.services {
        let checked = match kind(&service.probe) {
            Some(ProbeKind::Tls(tls)) => tls.materials().check(),
            Some(ProbeKind::Https(https)) => https.materials().check(),
            Some(_) | None => Ok(()),
        };
        if let Err(error) = checked {
            let place = service.probe.place_of(error.path()).unwrap_or(&service.place);
            return Err(Problem::ProbeFile(error.to_string()).at(place));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    #[test]
    fn a_file_that_cannot_be_used_is_told_where_it_was_named() {
        let short = "interfaces = [\"eth0\"]\n[[backends]]\naddress = \"10.0.0.11\"\n";
        let check = |probe: &str| {
            let text = format!("{short}[probe]\n{probe}\n");
            let config = Config::parse(Path::new("xdplb.toml"), &text, &Overrides::default());
            check_files(&config.expect("this should be right")).map_err(|error| error.to_string())
        };
        assert_eq!(check("interval = \"2s\""), Ok(()), "a probe without files needs none");
        assert_eq!(
            check("ca_file = \"/nowhere/ca.crt\""),
            Err("xdplb.toml:5:11: cannot read the CA file /nowhere/ca.crt (No such file or directory (os error 2)); \
                 create it or let the agent read it"
                .to_owned())
        );
        assert_eq!(
            check("client_certificate_file = \"/dev/null\"\nclient_key_file = \"/nowhere/probe.key\""),
            Err("xdplb.toml:5:27: the client certificate /dev/null is not a regular file of at most 1 MiB; name a file"
                .to_owned())
        );
    }
}
