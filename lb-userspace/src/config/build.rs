//! From the raw configuration and the flags to typed values: each value is right in itself afterwards, and
//! what only several together can tell is left to [`super::rules`].

mod conduct;
mod credential;
mod probe;
mod reader;
mod timing;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::limits::{
    DEFAULT_WEIGHT, FLOW_TABLE, HALF_OPEN_TABLE, MAX_INTERFACE_NAME, MAX_NAME, TIMEOUT, WEIGHTS,
};
use super::overrides::{BackendSpec, Overrides};
use super::place::{Located, Place, Source};
use super::raw::{RawBackend, RawConfig, RawLimits, RawService, RawTimeouts};
use super::service::{ServiceDefaults, default_slow_start};
use super::words::{AdminState, Mode, Policy};
use super::{Backend, Config, PortRange, Service, TableSizes, Timeouts};
use probe::ProbeFiles;
use reader::{Reader, available};

/// The highest port, for the ranges below.
const PORTS: RangeInclusive<u16> = 1..=u16::MAX;

/// Makes typed values of the raw configuration, the flags over it.
pub(crate) fn build(
    raw: RawConfig,
    source: Option<&Source<'_>>,
    flags: &Overrides,
) -> Result<Config, ConfigError> {
    let reader = Reader { source };
    let mode = match flags.mode {
        Some(mode) => available(&Located::new(mode, Place::Flag("--mode")))?,
        None => reader.mode(raw.mode, Mode::Nat)?,
    };
    let xdp_mode = match flags.xdp_mode {
        Some(xdp_mode) => xdp_mode,
        None => reader.word("xdp_mode", raw.xdp_mode)?.unwrap_or(super::XdpMode::Auto),
    };
    let snat_ports = match raw.snat_ports {
        Some(ports) => reader.ports(ports)?,
        None => Located::new(PortRange::default(), Place::Nowhere),
    };
    let (probe, files) = reader.probes(raw.probe)?;
    let defaults = reader.service_defaults(mode, probe, (raw.slow_start, raw.fail_open, raw.when_down))?;
    let services = match raw.services {
        Some(services) => {
            files.refuse_unused_credential()?;
            let place = reader.place(&services);
            let services: Vec<_> = services
                .into_inner()
                .into_iter()
                .map(|service| reader.service(service, defaults, &files))
                .collect::<Result<_, _>>()?;
            if services.is_empty() {
                return Err(Problem::Empty("services").at(&place));
            }
            services
        }
        None => files
            .given_to(Service::defaults_for_k0s())
            .into_iter()
            .map(|service| Located::new(service.with_defaults(defaults), Place::Nowhere))
            .collect(),
    };
    Ok(Config {
        interfaces: reader.interfaces(raw.interfaces, flags)?,
        vips: reader.vips(raw.vips, flags)?,
        mode,
        xdp_mode,
        log_drops: flags.log_drops || raw.log_drops.unwrap_or(false),
        snat_addresses: reader.addresses("snat_addresses", raw.snat_addresses)?.unwrap_or_default(),
        snat_ports,
        cluster_key_file: reader.absolute_path("cluster_key_file", raw.cluster_key_file)?,
        slow_start: defaults.slow_start,
        drain_timeout: reader.drain_timeout(raw.drain_timeout)?,
        fail_open: defaults.fail_open,
        when_down: defaults.when_down,
        probe,
        limits: reader.table_sizes(raw.limits)?,
        timeouts: reader.timeouts(raw.timeouts)?,
        backends: reader.backends(raw.backends, flags)?,
        services,
    })
}

/// Backends from flags: those of one name are one backend with several addresses.
fn backends_of_flags(specs: &[BackendSpec]) -> Result<Vec<Located<Backend>>, ConfigError> {
    let place = Place::Flag("--backend");
    let mut backends: Vec<Located<Backend>> = Vec::new();
    for spec in specs {
        let address = Located::new(spec.address, place.clone());
        if let Some(known) = backends.iter_mut().find(|backend| backend.name == spec.name) {
            known.value.addresses.push(address);
        } else {
            let backend = Backend {
                name: name(&spec.name, &place)?,
                addresses: vec![address],
                weight: DEFAULT_WEIGHT,
                state: AdminState::Enabled,
            };
            backends.push(Located::new(backend, place.clone()));
        }
    }
    Ok(backends)
}

/// A name that can be typed, printed and put into a label.
pub(crate) fn name(text: &str, place: &Place) -> Result<String, ConfigError> {
    let good = |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(good) {
        return Err(Problem::Name(text.to_owned()).at(place));
    }
    Ok(text.to_owned())
}

/// What the kernel accepts as the name of an interface (`dev_valid_name`).
fn interface_name(given: Located<String>) -> Result<Located<String>, ConfigError> {
    let bad = |character: char| character == '/' || character == ':' || character.is_whitespace();
    let name = &given.value;
    if name.is_empty()
        || name.len() > MAX_INTERFACE_NAME
        || name.contains(bad)
        || name.contains(char::is_control)
        || name == "."
        || name == ".."
    {
        return Err(Problem::InterfaceName(given.value.clone()).of(&given));
    }
    Ok(given)
}

impl Reader<'_> {
    fn interfaces(
        &self,
        given: Option<Spanned<Vec<Spanned<String>>>>,
        flags: &Overrides,
    ) -> Result<Vec<Located<String>>, ConfigError> {
        let names: Vec<Located<String>> = if flags.interfaces.is_empty() {
            given
                .map(Spanned::into_inner)
                .unwrap_or_default()
                .into_iter()
                .map(|name| self.located(name))
                .collect()
        } else {
            let place = Place::Flag("--interface");
            flags.interfaces.iter().map(|name| Located::new(name.clone(), place.clone())).collect()
        };
        if names.is_empty() {
            return Err(match self.source {
                Some(source) => {
                    Problem::NoInterface("interfaces = [\"eth0\"] at the top").at(&source.whole())
                }
                None => Problem::NoInterface("--interface IF or --config FILE").at(&Place::Nowhere),
            });
        }
        names.into_iter().map(interface_name).collect()
    }

    fn vips(
        &self,
        given: Option<Spanned<Vec<Spanned<String>>>>,
        flags: &Overrides,
    ) -> Result<Option<Vec<Located<IpAddr>>>, ConfigError> {
        if flags.vips.is_empty() {
            return self.some_addresses("vips", given);
        }
        let place = Place::Flag("--vip");
        Ok(Some(flags.vips.iter().map(|vip| Located::new(*vip, place.clone())).collect()))
    }

    fn table_sizes(&self, raw: RawLimits) -> Result<TableSizes, ConfigError> {
        let default = TableSizes::default();
        let flow_table = self.number("flow_table", raw.flow_table, &FLOW_TABLE)?;
        let half_open_table = self.number("half_open_table", raw.half_open_table, &HALF_OPEN_TABLE)?;
        Ok(TableSizes {
            flow_table: flow_table.map_or(default.flow_table, |size| size.value),
            half_open_table: half_open_table.map_or(default.half_open_table, |size| size.value),
        })
    }

    fn timeouts(&self, raw: RawTimeouts) -> Result<Timeouts, ConfigError> {
        let default = Timeouts::default();
        Ok(Timeouts {
            established: self.duration("established", raw.established, &TIMEOUT, default.established)?,
            half_closed: self.duration("half_closed", raw.half_closed, &TIMEOUT, default.half_closed)?,
            half_open: self.duration("half_open", raw.half_open, &TIMEOUT, default.half_open)?,
            closed: self.duration("closed", raw.closed, &TIMEOUT, default.closed)?,
            time_wait: self.duration("time_wait", raw.time_wait, &TIMEOUT, default.time_wait)?,
        })
    }

    fn backends(
        &self,
        given: Vec<Spanned<RawBackend>>,
        flags: &Overrides,
    ) -> Result<Vec<Located<Backend>>, ConfigError> {
        let backends = if flags.backends.is_empty() {
            given.into_iter().map(|backend| self.backend(backend)).collect::<Result<Vec<_>, _>>()?
        } else {
            backends_of_flags(&flags.backends)?
        };
        if backends.is_empty() {
            return Err(match self.source {
                Some(source) => {
                    Problem::NoBackend("add a [[backends]] table with an address").at(&source.whole())
                }
                None => Problem::NoBackend("add --backend IP or --config FILE").at(&Place::Nowhere),
            });
        }
        Ok(backends)
    }

    fn backend(&self, raw: Spanned<RawBackend>) -> Result<Located<Backend>, ConfigError> {
        let header = self.place(&raw);
        let raw = raw.into_inner();
        let place = raw.name.as_ref().map_or_else(|| header.clone(), |name| self.place(name));
        let written = raw.name.map(|name| self.located(name));
        let addresses = match (raw.address, raw.addresses) {
            (Some(_), Some(list)) => {
                let name = written.map_or_else(String::new, |name| name.value);
                return Err(Problem::AddressTwice(name).at(&self.place(&list)));
            }
            (Some(address), None) => vec![self.address("address", address)?],
            (None, list) => self.some_addresses("addresses", list)?.unwrap_or_default(),
        };
        let Some(first) = addresses.first() else { return Err(Problem::NoAddress.at(&place)) };
        let name = match &written {
            Some(written) => name(written, &written.place)?,
            None => first.to_string(),
        };
        let weight = self.number("weight", raw.weight, &WEIGHTS)?;
        let state = self.word("state", raw.state)?.unwrap_or(AdminState::Enabled);
        let weight = weight.map_or(DEFAULT_WEIGHT, |weight| weight.value);
        Ok(Located::new(Backend { name, addresses, weight, state }, place))
    }

    fn service(
        &self,
        raw: Spanned<RawService>,
        defaults: ServiceDefaults,
        files: &ProbeFiles,
    ) -> Result<Located<Service>, ConfigError> {
        let header = self.place(&raw);
        let mut raw = raw.into_inner();
        let timing = self.service_timing(&raw, defaults.timing)?;
        let probe = self.service_probe(&mut raw, files)?;
        let written = raw.name.ok_or_else(|| Problem::ServiceLacks("name").at(&header))?;
        let written = self.located(written);
        let port = self.number("port", raw.port, &PORTS)?;
        let port = port.ok_or_else(|| Problem::ServiceLacks("port").of(&written))?;
        let backend_port = self.number("backend_port", raw.backend_port, &PORTS)?;
        let backends = match raw.backends {
            Some(names) if names.get_ref().is_empty() => {
                return Err(Problem::ServiceWithoutBackend(written.value.clone()).at(&self.place(&names)));
            }
            Some(names) => {
                Some(names.into_inner().into_iter().map(|name| self.located(name)).collect::<Vec<_>>())
            }
            None => None,
        };
        let policy = self.word("policy", raw.policy)?.unwrap_or(Policy::Maglev);
        let slow_start = default_slow_start(policy, defaults.slow_start);
        let service = Service {
            name: name(&written, &written.place)?,
            backend_port: backend_port.map_or(port.value, |port| port.value),
            port,
            mode: self.mode(raw.mode, defaults.mode)?,
            policy,
            probe,
            timing,
            follow: raw.follow.map(|followed| self.located(followed)),
            slow_start: self.slow_start(raw.slow_start, slow_start)?,
            fail_open: raw.fail_open.unwrap_or(defaults.fail_open),
            when_down: self.word("when_down", raw.when_down)?.unwrap_or(defaults.when_down),
            vips: self.some_addresses("vips", raw.vips)?,
            backends,
        };
        Ok(Located::new(service, written.place))
    }
}
