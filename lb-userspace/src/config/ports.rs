//! A range of ports.

use std::fmt;
use std::str::FromStr;

use super::limits::DEFAULT_SNAT_PORTS;

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A range that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a range of ports; write it as FROM-TO, such as 10000-29999")]
pub struct NotARange;

impl PortRange {
    /// The ports from `first` to `last`; an empty range and port 0 are refused.
    pub fn new(first: u16, last: u16) -> Result<Self, NotARange> {
        if first == 0 || first > last { Err(NotARange) } else { Ok(Self { first, last }) }
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports these are.
    pub fn width(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether the port is one of these.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: *DEFAULT_SNAT_PORTS.start(), last: *DEFAULT_SNAT_PORTS.end() }
    }
}

impl FromStr for PortRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let (first, last) = text.split_once('-').ok_or(NotARange)?;
        let port = |text: &str| text.trim().parse().map_err(|_| NotARange);
        Self::new(port(first)?, port(last)?)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}
