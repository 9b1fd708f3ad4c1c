//! The configuration as it is written: every key optional, every value with its span, nothing checked but
//! the shape. Must never be used beyond this folder: [`super::Config`] is what the rest of the agent sees.

use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) interfaces: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) vips: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) mode: Option<Spanned<String>>,
    pub(crate) xdp_mode: Option<Spanned<String>>,
    pub(crate) log_drops: Option<bool>,
    pub(crate) snat_addresses: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) snat_ports: Option<Spanned<RawPorts>>,
    pub(crate) cluster_key_file: Option<Spanned<String>>,
    pub(crate) slow_start: Option<Spanned<String>>,
    pub(crate) drain_timeout: Option<Spanned<String>>,
    pub(crate) fail_open: Option<bool>,
    pub(crate) when_down: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) probe: RawProbe,
    #[serde(default)]
    pub(crate) limits: RawLimits,
    #[serde(default)]
    pub(crate) timeouts: RawTimeouts,
    #[serde(default)]
    pub(crate) backends: Vec<Spanned<RawBackend>>,
    pub(crate) services: Option<Spanned<Vec<Spanned<RawService>>>>,
}

/// `[probe]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProbe {
    pub(crate) interval: Option<Spanned<String>>,
    pub(crate) fast_interval: Option<Spanned<String>>,
    pub(crate) timeout: Option<Spanned<String>>,
    pub(crate) fall: Option<Spanned<i64>>,
    pub(crate) rise: Option<Spanned<i64>>,
    pub(crate) ca_file: Option<Spanned<String>>,
    pub(crate) client_certificate_file: Option<Spanned<String>>,
    pub(crate) client_key_file: Option<Spanned<String>>,
    pub(crate) token_file: Option<Spanned<String>>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLimits {
    pub(crate) flow_table: Option<Spanned<i64>>,
    pub(crate) half_open_table: Option<Spanned<i64>>,
}

/// `[timeouts]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTimeouts {
    pub(crate) established: Option<Spanned<String>>,
    pub(crate) half_closed: Option<Spanned<String>>,
    pub(crate) half_open: Option<Spanned<String>>,
    pub(crate) closed: Option<Spanned<String>>,
    pub(crate) time_wait: Option<Spanned<String>>,
}

/// One of `[[backends]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBackend {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) address: Option<Spanned<String>>,
    pub(crate) addresses: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) weight: Option<Spanned<i64>>,
    pub(crate) state: Option<Spanned<String>>,
}

/// One of `[[services]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawService {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) port: Option<Spanned<i64>>,
    pub(crate) backend_port: Option<Spanned<i64>>,
    pub(crate) mode: Option<Spanned<String>>,
    pub(crate) policy: Option<Spanned<String>>,
    pub(crate) slow_start: Option<Spanned<String>>,
    pub(crate) fail_open: Option<bool>,
    pub(crate) when_down: Option<Spanned<String>>,
    pub(crate) probe: Option<Spanned<String>>,
    pub(crate) follow: Option<Spanned<String>>,
    pub(crate) probe_interval: Option<Spanned<String>>,
    pub(crate) probe_fast_interval: Option<Spanned<String>>,
    pub(crate) probe_timeout: Option<Spanned<String>>,
    pub(crate) probe_fall: Option<Spanned<i64>>,
    pub(crate) probe_rise: Option<Spanned<i64>>,
    pub(crate) probe_path: Option<Spanned<String>>,
    pub(crate) probe_method: Option<Spanned<String>>,
    pub(crate) probe_expected_status: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) probe_alpn: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) probe_server_name: Option<Spanned<String>>,
    pub(crate) probe_ca_file: Option<Spanned<String>>,
    pub(crate) probe_client_certificate_file: Option<Spanned<String>>,
    pub(crate) probe_client_key_file: Option<Spanned<String>>,
    pub(crate) probe_token_file: Option<Spanned<String>>,
    pub(crate) vips: Option<Spanned<Vec<Spanned<String>>>>,
    pub(crate) backends: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A range of ports in either of its spellings.
#[derive(Debug)]
pub(crate) enum RawPorts {
    /// `"10000-29999"`.
    Text(String),
    /// `[10000, 29999]`.
    List(Vec<i64>),
}

impl<'de> Deserialize<'de> for RawPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

/// Accepts a string or a list, and says so when it is given something else.
struct PortsVisitor;

impl<'de> serde::de::Visitor<'de> for PortsVisitor {
    type Value = RawPorts;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string or a list of two ports")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawPorts, E> {
        Ok(RawPorts::Text(text.to_owned()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<RawPorts, A::Error> {
        let mut ports = Vec::new();
        while let Some(port) = list.next_element()? {
            ports.push(port);
        }
        Ok(RawPorts::List(ports))
    }
}
