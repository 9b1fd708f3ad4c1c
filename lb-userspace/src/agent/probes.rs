//! Which probes run, and what their results change.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::Agent;
use crate::{
    config::{Config, ConfigError, Probe, error::Problem},
    health::{
        Machine, ProbeKind, ProbeResult, Target, TargetId,
        probe::{https::Https, tls::Tls},
    },
};

impl Agent {
    /// Makes the probes those of the configuration: one for each service that has one of its own, on each backend.
    pub(super) fn schedule_probes(&mut self) {
        let config = self.state.config();
        let (timing, snat) = (config.probe, config.snat_ports.value);
        let mut targets = BTreeMap::new();
        self.targets.clear();
        for (number, service) in config.services.iter().enumerate() {
            let Some(kind) = kind(&service.probe) else { continue };
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
                        foreign_ports: Some(snat.first()..=snat.last()),
                        kind: kind.clone(),
                        interval: timing.interval,
                        fast_interval: timing.fast_interval,
                        timeout: timing.timeout,
                    },
                );
            }
        }
        self.prober.replace(targets);
        self.tidings.keep(|id| self.targets.contains_key(id));
    }

    /// Takes in a result; a change of health is said and written to the tables.
    pub(super) fn probed(&mut self, target: TargetId, result: ProbeResult) {
        let Some((service, id)) = self.targets.get(&target).cloned() else { return };
        let name =
            self.state.ids().get(id).map_or_else(|| id.to_string(), |assignment| assignment.name.clone());
        self.tidings.take(target, &format!("{service} on {name}"), &result.seen);
        let transition = self.state.probed(&service, id, result);
        let in_doubt = self.state.machine(&service, id).is_some_and(Machine::in_doubt);
        self.prober.hurry(target, in_doubt);
        let Some(transition) = transition else { return };
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
