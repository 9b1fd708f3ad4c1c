//! What flags of the command line say: it goes over the file.

use std::net::IpAddr;
use std::str::FromStr;

use super::words::{Mode, XdpMode};

/// The flags that go over the file. A list that is not empty replaces the file's whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--interface`, once for each.
    pub interfaces: Vec<String>,
    /// `--vip`, once for each.
    pub vips: Vec<IpAddr>,
    /// `--backend`, once for each; two of one name are the two addresses of one backend.
    pub backends: Vec<BackendSpec>,
    /// `--mode`.
    pub mode: Option<Mode>,
    /// `--xdp-mode`.
    pub xdp_mode: Option<XdpMode>,
    /// `--log-drops`: true goes over the file, false leaves it to the file.
    pub log_drops: bool,
}

/// A backend as the command line names it: `[NAME=]IP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSpec {
    /// Its name: the address itself where none is given.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// Not a `[NAME=]IP`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address; give IP or NAME=IP, such as controller-1=10.0.0.11")]
pub struct NotABackend(String);

impl FromStr for BackendSpec {
    type Err = NotABackend;

    fn from_str(text: &str) -> Result<Self, NotABackend> {
        let (name, address) = text.split_once('=').map_or((None, text), |(name, ip)| (Some(name), ip));
        let address: IpAddr = address.parse().map_err(|_| NotABackend(address.to_owned()))?;
        Ok(Self { name: name.map_or_else(|| address.to_string(), str::to_owned), address })
    }
}
