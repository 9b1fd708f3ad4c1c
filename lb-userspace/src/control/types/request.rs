//! What a client may ask for. A field that is not known is refused, never ignored.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Admin, Flow};

/// `backend add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendAdd {
    /// Its name; without one the address is the name.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it listens.
    pub address: IpAddr,
    /// Its share of new connections; without one the configuration's default.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Leave the configuration file alone.
    #[serde(default)]
    pub runtime: bool,
}

/// `backend remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRemove {
    /// Which one.
    pub name: String,
    /// Reset its flows instead of letting them end by themselves.
    #[serde(default)]
    pub now: bool,
    /// Leave the configuration file alone.
    #[serde(default)]
    pub runtime: bool,
}

/// `backend enable`, `drain` and `disable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendState {
    /// Which one.
    pub name: String,
    /// What it shall be.
    pub state: Admin,
    /// Leave the configuration file alone.
    #[serde(default)]
    pub runtime: bool,
}

/// `backend weight`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendWeight {
    /// Which one.
    pub name: String,
    /// Its share of new connections, relative to the others.
    pub weight: u32,
    /// Leave the configuration file alone.
    #[serde(default)]
    pub runtime: bool,
}

/// One backend by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendName {
    /// Which one.
    pub name: String,
}

/// Which flows: all that match every field given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowFilter {
    /// Those of this backend.
    #[serde(default)]
    pub backend: Option<String>,
    /// Those of this client, whatever its port.
    #[serde(default)]
    pub client: Option<IpAddr>,
    /// The one a backend sees under this address and port.
    #[serde(default)]
    pub snat: Option<SocketAddr>,
}

impl FlowFilter {
    /// Whether the flow is one of those asked for.
    pub fn matches(&self, flow: &Flow) -> bool {
        self.selects(Some(&flow.backend), flow.client.ip(), flow.snat)
    }

    /// The same of a flow of which no more is known.
    pub fn selects(&self, backend: Option<&str>, client: IpAddr, snat: Option<SocketAddr>) -> bool {
        self.backend.as_deref().is_none_or(|name| backend == Some(name))
            && self.client.is_none_or(|address| address == client)
            && self.snat.is_none_or(|wanted| snat == Some(wanted))
    }
}

/// `detach`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The pinned state that is meant: an agent with another refuses. Without it, whatever the agent has.
    #[serde(default)]
    pub pin_dir: Option<PathBuf>,
}

/// `events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Go on with what happens from now, until the client hangs up.
    #[serde(default)]
    pub follow: bool,
}

/// The answer to everything that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What is true now, in one sentence.
    pub message: String,
    /// False when it was true already: asking twice is not an error.
    pub changed: bool,
    /// What the person should know besides, one sentence each: that no file was changed, which changes a
    /// reload dropped.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Done {
    /// Done, and something changed.
    pub fn changed(message: impl Into<String>) -> Self {
        Self { message: message.into(), changed: true, notes: Vec::new() }
    }

    /// It was so already.
    pub fn unchanged(message: impl Into<String>) -> Self {
        Self { message: message.into(), changed: false, notes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    #[test]
    fn a_filter_is_the_conjunction_of_its_fields() {
        let flow = samples::flow();
        assert!(FlowFilter::default().matches(&flow), "an empty filter takes every flow");
        let mine = FlowFilter { client: Some(flow.client.ip()), snat: flow.snat, ..Default::default() };
        assert!(mine.matches(&flow), "both fields fit");
        let other = FlowFilter { backend: Some("controller-9".into()), ..mine };
        assert!(!other.matches(&flow), "one field that does not fit is enough to leave it out");
    }

    #[test]
    fn a_misspelt_filter_is_refused() {
        let error = serde_json::from_str::<FlowFilter>(r#"{"bakend":"controller-1"}"#).expect_err("refused");
        assert!(error.to_string().contains("bakend"), "the error names the field: {error}");
    }
}
