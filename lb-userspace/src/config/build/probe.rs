//! The probes: `[probe]`, and what a service says of its own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::http::uri::PathAndQuery;
use rustls::pki_types::DnsName;
use toml::Spanned;

use super::Reader;
use super::credential::{GLOBAL, OWN};
use crate::config::error::{ConfigError, Problem};
use crate::config::limits::MAX_PROBE_PATH;
use crate::config::place::{Located, Place};
use crate::config::probe::{Credential, HttpsProbe, Probe, TlsProbe, Trust};
use crate::config::raw::{RawProbe, RawService};
use crate::config::words::{ProbeMethod, StatusClass, UnknownWord};
use crate::config::{ProbeTiming, Service};

/// The files of `[probe]`.
pub(super) struct ProbeFiles {
    /// The authorities of every tls and https probe that names none.
    ca_file: Option<Located<PathBuf>>,
    /// What the default service of the Kubernetes API is shown.
    credential: Option<Located<Credential>>,
}

impl ProbeFiles {
    /// The default services, with these files.
    pub(super) fn given_to(self, mut services: Vec<Service>) -> Vec<Service> {
        for service in &mut services {
            match &mut service.probe.value {
                Probe::Tls(probe) => probe.trust.ca_file.clone_from(&self.ca_file),
                Probe::Https(probe) => {
                    probe.trust.ca_file.clone_from(&self.ca_file);
                    if service.name == Service::KUBERNETES_API {
                        probe.credential =
                            self.credential.as_ref().map(|credential| credential.value.clone());
                    }
                }
                Probe::Tcp | Probe::Follow(_) => {}
            }
        }
        services
    }

    /// Refuses a credential that no service of the file would show.
    pub(super) fn refuse_unused_credential(&self) -> Result<(), ConfigError> {
        match &self.credential {
            Some(credential) => Err(Problem::CredentialUnused.of(credential)),
            None => Ok(()),
        }
    }
}

/// The kinds of probe, before it is known whether they have what they need.
enum Kind {
    Tcp,
    Tls,
    Https,
    Follow(String),
}

impl FromStr for Kind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.split_once(':') {
            None if word == "tcp" => Ok(Self::Tcp),
            None if word == "tls" => Ok(Self::Tls),
            None if word == "https" => Ok(Self::Https),
            Some(("follow", service)) if !service.is_empty() => Ok(Self::Follow(service.to_owned())),
            _ => Err(UnknownWord {
                word: word.to_owned(),
                what: "probe",
                possible: Probe::POSSIBLE.to_owned(),
            }),
        }
    }
}

impl Reader<'_> {
    /// `[probe]`: how often is asked, and with which files.
    pub(super) fn probes(&self, raw: RawProbe) -> Result<(ProbeTiming, ProbeFiles), ConfigError> {
        let ca_file = self.located_path(GLOBAL.ca, raw.ca_file.clone())?;
        let credential = self.credential(
            &GLOBAL,
            raw.client_certificate_file.clone(),
            raw.client_key_file.clone(),
            raw.token_file.clone(),
            ca_file.is_some(),
        )?;
        Ok((self.global_timing(raw)?, ProbeFiles { ca_file, credential }))
    }

    /// What a service says of its probe.
    pub(super) fn service_probe(
        &self,
        raw: &mut RawService,
        files: &ProbeFiles,
    ) -> Result<Located<Probe>, ConfigError> {
        let place = raw.probe.as_ref().map_or(Place::Nowhere, |probe| self.place(probe));
        let kind = self.word("probe", raw.probe.take())?.unwrap_or(Kind::Tcp);
        self.refuse_useless_keys(raw, &kind)?;
        let probe = match kind {
            Kind::Tcp => Probe::Tcp,
            Kind::Follow(service) => Probe::Follow(service),
            Kind::Tls => Probe::Tls(TlsProbe {
                trust: self.trust(raw, files)?,
                alpn: self.alpn(raw.probe_alpn.take())?,
            }),
            Kind::Https => Probe::Https(self.https_probe(raw, files)?),
        };
        Ok(Located::new(probe, place))
    }

    fn https_probe(&self, raw: &mut RawService, files: &ProbeFiles) -> Result<HttpsProbe, ConfigError> {
        let default = HttpsProbe::default();
        let trust = self.trust(raw, files)?;
        let credential = self.credential(
            &OWN,
            raw.probe_client_certificate_file.take(),
            raw.probe_client_key_file.take(),
            raw.probe_token_file.take(),
            trust.ca_file.is_some(),
        )?;
        Ok(HttpsProbe {
            trust,
            path: self.probe_path(raw.probe_path.take())?.unwrap_or(default.path),
            method: self.word("probe_method", raw.probe_method.take())?.unwrap_or(ProbeMethod::Get),
            expected_status: self
                .expected_status(raw.probe_expected_status.take())?
                .unwrap_or(default.expected_status),
            credential: credential.map(|credential| credential.value),
        })
    }

    /// Refuses the keys that this kind of probe does not look at: whoever wrote them meant another.
    fn refuse_useless_keys(&self, raw: &RawService, kind: &Kind) -> Result<(), ConfigError> {
        let place = |given: &Option<Spanned<String>>| given.as_ref().map(|given| self.place(given));
        let number = |given: &Option<Spanned<i64>>| given.as_ref().map(|given| self.place(given));
        let list = |given: &Option<Spanned<Vec<_>>>| given.as_ref().map(|given| self.place(given));
        let (tls, https) = (matches!(kind, Kind::Tls), matches!(kind, Kind::Https));
        let asks = !matches!(kind, Kind::Follow(_));
        let keys = [
            ("probe_interval", place(&raw.probe_interval), asks, "tcp"),
            ("probe_fast_interval", place(&raw.probe_fast_interval), asks, "tcp"),
            ("probe_timeout", place(&raw.probe_timeout), asks, "tcp"),
            ("probe_fall", number(&raw.probe_fall), asks, "tcp"),
            ("probe_rise", number(&raw.probe_rise), asks, "tcp"),
            ("probe_path", place(&raw.probe_path), https, "https"),
            ("probe_method", place(&raw.probe_method), https, "https"),
            ("probe_expected_status", list(&raw.probe_expected_status), https, "https"),
            ("probe_alpn", list(&raw.probe_alpn), tls, "tls"),
            ("probe_server_name", place(&raw.probe_server_name), tls || https, "https"),
            (OWN.ca, place(&raw.probe_ca_file), tls || https, "https"),
            (OWN.certificate, place(&raw.probe_client_certificate_file), https, "https"),
            (OWN.key, place(&raw.probe_client_key_file), https, "https"),
            (OWN.token, place(&raw.probe_token_file), https, "https"),
        ];
        for (key, place, looked_at, wanted) in keys {
            if let Some(place) = place.filter(|_| !looked_at) {
                return Err(Problem::ProbeKeyUnused { key, wanted }.at(&place));
            }
        }
        Ok(())
    }

    fn trust(&self, raw: &mut RawService, files: &ProbeFiles) -> Result<Trust, ConfigError> {
        let server_name = match raw.probe_server_name.take().map(|name| self.located(name)) {
            Some(name) if !is_server_name(&name) => {
                return Err(Problem::Value {
                    key: "probe_server_name",
                    given: format!("{:?}", name.value),
                    takes: "a DNS name or an IP address".to_owned(),
                }
                .of(&name));
            }
            name => name.map(|name| name.value),
        };
        let own = self.located_path(OWN.ca, raw.probe_ca_file.take())?;
        Ok(Trust { server_name, ca_file: own.or_else(|| files.ca_file.clone()) })
    }

    fn alpn(&self, given: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Vec<String>, ConfigError> {
        let names = given.map(Spanned::into_inner).unwrap_or_default();
        let one = |name: Spanned<String>| {
            let name = self.located(name);
            // RFC 7301: 1 to 255 bytes each; those that are registered are graphic ASCII.
            if name.is_empty() || name.len() > 255 || !name.chars().all(|c| c.is_ascii_graphic()) {
                return Err(Problem::Value {
                    key: "probe_alpn",
                    given: format!("{:?}", name.value),
                    takes: "names of protocols, such as [\"h2\"]".to_owned(),
                }
                .of(&name));
            }
            Ok(name.value)
        };
        names.into_iter().map(one).collect()
    }

    fn probe_path(&self, given: Option<Spanned<String>>) -> Result<Option<String>, ConfigError> {
        let Some(given) = given.map(|given| self.located(given)) else { return Ok(None) };
        let good = given.starts_with('/')
            && given.len() <= MAX_PROBE_PATH
            && !given.contains('#')
            && PathAndQuery::from_str(&given).is_ok();
        if good {
            return Ok(Some(given.value));
        }
        Err(Problem::Value {
            key: "probe_path",
            given: format!("{:?}", given.value),
            takes: "a path from /, such as \"/readyz\"".to_owned(),
        }
        .of(&given))
    }

    fn expected_status(
        &self,
        given: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Option<Vec<StatusClass>>, ConfigError> {
        let Some(given) = given else { return Ok(None) };
        let place = self.place(&given);
        let mut classes = Vec::new();
        for class in given.into_inner() {
            classes.extend(self.word::<StatusClass>("probe_expected_status", Some(class))?);
        }
        if classes.is_empty() {
            return Err(Problem::Empty("probe_expected_status").at(&place));
        }
        classes.sort_unstable();
        classes.dedup();
        Ok(Some(classes))
    }
}

fn is_server_name(name: &str) -> bool {
    DnsName::try_from(name).is_ok() || name.parse::<IpAddr>().is_ok()
}
