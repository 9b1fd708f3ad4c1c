//! A configuration written out with every default filled in: what `xdplb check` prints.

use std::fmt::{Display, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::probe::{Credential, HttpsProbe, Probe};
use super::{Backend, Config, Located, ProbeTiming, Service};

/// The configuration as TOML; it parses back to an equal one.
pub fn render(config: &Config) -> String {
    let mut out = Toml(String::new());
    out.list("interfaces", config.interfaces.iter().map(|name| name.value.as_str()));
    match &config.vips {
        Some(vips) => out.list("vips", vips.iter().map(|vip| vip.value)),
        None => out.comment("vips: each interface's own primary address"),
    }
    out.string("mode", config.mode);
    out.string("xdp_mode", config.xdp_mode);
    out.bare("log_drops", config.log_drops);
    if config.snat_addresses.is_empty() {
        out.comment("snat_addresses: the VIP, or the address that leads to the backend");
    } else {
        out.list("snat_addresses", config.snat_addresses.iter().map(|address| address.value));
    }
    out.comment(&snat_capacity(config));
    out.string("snat_ports", config.snat_ports.value);
    match &config.cluster_key_file {
        Some(path) => out.string("cluster_key_file", path.display()),
        None => out.comment("cluster_key_file: none, a key of this run's own"),
    }
    out.duration("slow_start", config.slow_start);
    match config.drain_timeout {
        Some(timeout) => out.duration("drain_timeout", timeout),
        None => out.comment("drain_timeout: none, the connections of a draining backend end by themselves"),
    }
    out.bare("fail_open", config.fail_open);
    out.string("when_down", config.when_down);

    out.header("[probe]");
    out.duration("interval", config.probe.interval);
    out.duration("fast_interval", config.probe.fast_interval);
    out.duration("timeout", config.probe.timeout);
    out.bare("fall", config.probe.fall);
    out.bare("rise", config.probe.rise);

    out.header("[limits]");
    out.bare("flow_table", config.limits.flow_table);
    out.bare("half_open_table", config.limits.half_open_table);

    out.header("[timeouts]");
    out.duration("established", config.timeouts.established);
    out.duration("half_closed", config.timeouts.half_closed);
    out.duration("half_open", config.timeouts.half_open);
    out.duration("closed", config.timeouts.closed);
    out.duration("time_wait", config.timeouts.time_wait);

    for backend in &config.backends {
        out.backend(backend);
    }
    for service in &config.services {
        out.service(service);
    }
    out.0
}

/// How many connections the SNAT ports allow, at once and in a second: a port is free again when the closed
/// connection has lingered.
pub fn snat_capacity(config: &Config) -> String {
    let ports = config.snat_ports.width();
    let a_second = |linger: Duration| u64::from(ports) * 1000 / (linger.as_millis().max(1) as u64);
    format!(
        "{ports} ports: to one port of one backend {ports} connections at once, and {} new ones a second where \
         the backend closes first, {} where the client does",
        a_second(config.timeouts.time_wait),
        a_second(config.timeouts.closed),
    )
}

/// TOML as it grows.
struct Toml(String);

impl Toml {
    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("a string takes every line");
    }

    fn header(&mut self, header: &str) {
        self.line(format_args!("\n{header}"));
    }

    fn comment(&mut self, comment: &str) {
        self.line(format_args!("# {comment}"));
    }

    fn bare(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn string(&mut self, key: &str, value: impl Display) {
        self.bare(key, quoted(value));
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.string(key, humantime::format_duration(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: impl Iterator<Item = T>) {
        let values: Vec<String> = values.map(quoted).collect();
        self.bare(key, format_args!("[{}]", values.join(", ")));
    }

    fn backend(&mut self, backend: &Backend) {
        self.header("[[backends]]");
        self.string("name", &backend.name);
        match &backend.addresses[..] {
            [address] => self.string("address", address.value),
            addresses => self.list("addresses", addresses.iter().map(|address| address.value)),
        }
        self.bare("weight", backend.weight);
        self.string("state", backend.state);
    }

    fn service(&mut self, service: &Service) {
        let all = |vips: &Vec<Located<IpAddr>>| vips.iter().map(|vip| vip.value).collect::<Vec<_>>();
        self.header("[[services]]");
        self.string("name", &service.name);
        self.bare("port", service.port.value);
        self.bare("backend_port", service.backend_port);
        self.string("mode", service.mode);
        self.string("policy", service.policy);
        self.probe(&service.probe.value);
        if service.probe.asks() {
            self.timing(service.timing);
        }
        if let Some(followed) = &service.follow {
            self.string("follow", &followed.value);
        }
        self.duration("slow_start", service.slow_start);
        self.bare("fail_open", service.fail_open);
        self.string("when_down", service.when_down);
        if let Some(vips) = &service.vips {
            self.list("vips", all(vips).into_iter());
        }
        if let Some(backends) = &service.backends {
            self.list("backends", backends.iter().map(|name| name.value.as_str()));
        }
    }
}

impl Toml {
    fn timing(&mut self, timing: ProbeTiming) {
        self.duration("probe_interval", timing.interval);
        self.duration("probe_fast_interval", timing.fast_interval);
        self.duration("probe_timeout", timing.timeout);
        self.bare("probe_fall", timing.fall);
        self.bare("probe_rise", timing.rise);
    }

    fn probe(&mut self, probe: &Probe) {
        self.string("probe", probe);
        match probe {
            Probe::Tcp | Probe::Follow(_) => {}
            Probe::Tls(tls) => {
                if !tls.alpn.is_empty() {
                    self.list("probe_alpn", tls.alpn.iter());
                }
            }
            Probe::Https(https) => {
                self.string("probe_path", &https.path);
                self.string("probe_method", https.method);
                self.list("probe_expected_status", https.expected_status.iter());
            }
        }
        let Some(trust) = probe.trust() else { return };
        if let Some(name) = &trust.server_name {
            self.string("probe_server_name", name);
        }
        match &trust.ca_file {
            Some(path) => self.string("probe_ca_file", path.display()),
            None => self.comment("probe_ca_file: none, only the end of the certificate is checked"),
        }
        if let Probe::Https(HttpsProbe { credential: Some(credential), .. }) = probe {
            self.credential(credential);
        }
    }

    fn credential(&mut self, credential: &Credential) {
        match credential {
            Credential::ClientCertificate { certificate, key } => {
                self.string("probe_client_certificate_file", certificate.display());
                self.string("probe_client_key_file", key.display());
            }
            Credential::Token(token) => self.string("probe_token_file", token.display()),
        }
    }
}

/// A value as a TOML string.
fn quoted(value: impl Display) -> String {
    toml_edit::Value::from(value.to_string()).to_string()
}
