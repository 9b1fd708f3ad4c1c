//! How the backends of services are asked, made once of each way that the configuration has. All who ask in one way share
//! its files, and what was read of them.

use std::sync::Arc;

use crate::{
    config::{Config, ConfigError, Probe, error::Problem},
    health::{
        ProbeKind,
        probe::{https::Https, tls::Tls},
    },
};

/// The ways to ask that there are.
#[derive(Debug, Default)]
pub struct Kinds(Vec<(Probe, ProbeKind)>);

impl Kinds {
    /// Those of a configuration, their files read; what is wrong is said where the file was named.
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let mut kinds = Self::default();
        kinds.check(config)?;
        Ok(kinds)
    }

    /// Reads the files that the probes of another configuration need. A refused one changes nothing.
    pub fn check(&mut self, config: &Config) -> Result<(), ConfigError> {
        for service in &config.services {
            let checked = match self.of(&service.probe) {
                Some(ProbeKind::Tls(tls)) => tls.materials().check(),
                Some(ProbeKind::Https(https)) => https.materials().check(),
                Some(ProbeKind::Tcp) | None => Ok(()),
            };
            if let Err(error) = checked {
                let place = service.probe.place_of(error.path()).unwrap_or(&service.place);
                return Err(Problem::ProbeFile(error.to_string()).at(place));
            }
        }
        Ok(())
    }

    /// How a service's backends are asked; `None` where it only follows.
    pub fn of(&mut self, probe: &Probe) -> Option<ProbeKind> {
        if let Some((_, kind)) = self.0.iter().find(|(known, _)| known == probe) {
            return Some(kind.clone());
        }
        let kind = match probe {
            Probe::Tcp => ProbeKind::Tcp,
            Probe::Tls(probe) => ProbeKind::Tls(Arc::new(Tls::new(probe))),
            Probe::Https(probe) => ProbeKind::Https(Arc::new(Https::new(probe))),
            Probe::Follow(_) => return None,
        };
        self.0.push((probe.clone(), kind.clone()));
        Some(kind)
    }

    /// Forgets what a configuration does not have.
    pub fn keep(&mut self, config: &Config) {
        self.0.retain(|(known, _)| config.services.iter().any(|service| service.probe.value == *known));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    fn config(rest: &str) -> Config {
        let text = format!("interfaces = [\"eth0\"]\n[[backends]]\naddress = \"10.0.0.11\"\n{rest}\n");
        let config = Config::parse(Path::new("xdplb.toml"), &text, &Overrides::default());
        config.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_where_it_was_named() {
        let check = |probe: &str| {
            let read = Kinds::read(&config(&format!("[probe]\n{probe}")));
            read.map(drop).map_err(|error| error.to_string())
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

    #[test]
    fn who_asks_alike_shares_the_files_and_a_reload_keeps_them() {
        let service = |name: &str, port: u16, path: &str| {
            format!(
                "[[services]]\nname = \"{name}\"\nport = {port}\nprobe = \"https\"\nprobe_path = \"{path}\"\n"
            )
        };
        let one = |kinds: &mut Kinds, config: &Config, service: usize| {
            let Some(ProbeKind::Https(https)) = kinds.of(&config.services[service].probe) else {
                panic!("it asks by https")
            };
            https
        };
        let before = config(&(service("a", 6443, "/readyz") + &service("b", 9443, "/readyz")));
        let mut kinds = Kinds::read(&before).expect("there are no files");
        let (a, b) = (one(&mut kinds, &before, 0), one(&mut kinds, &before, 1));
        assert!(Arc::ptr_eq(&a, &b), "two services that ask alike");

        let after = config(&(service("c", 6444, "/livez") + &service("b", 9443, "/readyz")));
        kinds.check(&after).expect("there are no files");
        kinds.keep(&after);
        assert!(Arc::ptr_eq(&b, &one(&mut kinds, &after, 1)), "what stays is not read again");
        kinds.keep(&config(&service("c", 6444, "/livez")));
        assert!(!Arc::ptr_eq(&b, &one(&mut kinds, &after, 1)), "what has gone is forgotten");
    }
}
