//! What the clients of `lab-node` report, as JSON on their last line `report {…}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A name and how often.
pub type Counts = BTreeMap<String, u64>;

/// What `lab-node load` saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Connections begun; they are numbered from zero in this order.
    pub begun: u64,
    /// Connections begun and ended, well or not.
    pub attempts: u64,
    /// Those that got their answer.
    pub ok: u64,
    /// Those that did not, by kind: `connect refused`, `connect timeout`, `tls reset`….
    pub failures: Counts,
    /// Each of those.
    pub failed_each: Vec<Failed>,
    /// Answered connections by the name of who answered.
    pub backends: Counts,
    /// How long the TCP connect took.
    pub connect: Latency,
    /// How long it took where the client sent its SYN again.
    pub connect_again: Latency,
    /// How often the client sent its SYN again, and how many connections that was.
    pub syns_again: BTreeMap<u64, u64>,
    /// Connects that took over a second: a SYN was lost.
    pub connects_over_1s: u64,
    /// How long the load ran.
    pub elapsed_ms: u64,
}

impl LoadReport {
    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// How many failed of the connections from this number on.
    pub fn failed_from(&self, number: u64) -> usize {
        self.failed_each.iter().filter(|failed| failed.number >= number).count()
    }

    /// How many failed of the connections that began after this moment.
    pub fn failed_since(&self, moment_us: u64) -> usize {
        self.failed_each.iter().filter(|failed| failed.begun_us > moment_us).count()
    }

    /// How many connections wanted so many further SYNs of the client, or more.
    pub fn with_syns_again(&self, least: u64) -> u64 {
        self.syns_again.range(least..).map(|(_, connections)| connections).sum()
    }

    /// How many this backend answered.
    pub fn by(&self, backend: &str) -> u64 {
        self.backends.get(backend).copied().unwrap_or(0)
    }
}

/// A connection that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its number.
    pub number: u64,
    /// When it began, by the wall clock.
    pub begun_us: u64,
    /// When it failed, by the wall clock.
    pub ended_us: u64,
    /// How.
    pub why: String,
}

/// How long a TCP connect took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// When it began, by the wall clock.
    pub begun_us: u64,
    /// How long it took.
    pub took_us: u64,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: u64,
    /// Nine of ten were faster.
    pub p90_us: u64,
    /// All but one of a hundred were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Latency {
    /// From samples in any order.
    pub fn of(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            let last = samples.len().saturating_sub(1);
            samples.get(last * percent / 100).copied().unwrap_or(0)
        };
        Self { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
    }
}

/// What `lab-node hold` saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HoldReport {
    /// Connections that stood.
    pub opened: u64,
    /// Those that never stood, and tries to make one anew that failed, by kind.
    pub failures: Counts,
    /// When each of those tries was begun, by the wall clock.
    pub tries_failed_us: Vec<u64>,
    /// Who answered on how many.
    pub backends: Counts,
    /// Requests answered on all of them.
    pub requests: u64,
    /// Those that answered once more when the end was asked for.
    pub alive: u64,
    /// Those that did not, or broke before.
    pub broken: Vec<Broken>,
    /// Those that broke and were made anew.
    pub reconnected: Vec<Reconnected>,
}

/// A long-lived connection that broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Who had answered on it.
    pub backend: String,
    /// How: `reset`, `closed`, `timeout`, `another` when somebody else answered….
    pub why: String,
    /// Since the start of the client.
    pub after_ms: u64,
    /// When, by the wall clock.
    pub at_us: u64,
}

/// A long-lived connection that broke and was made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnected {
    /// Who had answered before.
    pub from: String,
    /// Who answers now.
    pub to: String,
    /// When the new one had its first answer, by the wall clock.
    pub at_us: u64,
}

/// The middle one, where there is any.
pub fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// What `lab-node fetch` saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchReport {
    /// Came everything that was announced, and as it should be?
    pub ok: bool,
    /// Who sent it.
    pub backend: String,
    /// The HTTP status.
    pub status: u16,
    /// Body bytes received.
    pub bytes: u64,
    /// Body bytes announced.
    pub expected: u64,
    /// What was wrong; empty when nothing was.
    pub why: String,
    /// The body, when it is short text.
    pub text: String,
    /// The longest time without a byte.
    pub longest_gap_ms: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_and_of_none() {
        let latency = Latency::of((0..=100).rev().collect());
        assert_eq!(latency, Latency { p50_us: 50, p90_us: 90, p99_us: 99, max_us: 100 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
