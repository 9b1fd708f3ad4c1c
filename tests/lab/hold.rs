//! The client that holds long connections.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::{
    PATIENCE,
    clients::{REPORT_TIMEOUT, parse, report, start},
    lab::Lab,
    process::Process,
    report::{Broken, Counts, HoldReport, Reconnected},
};

/// What long-lived connections to hold.
#[derive(Clone, Debug)]
pub struct HoldOptions {
    /// From which node.
    pub node: String,
    /// To which service.
    pub target: SocketAddr,
    /// How many.
    pub connections: u64,
    /// A request on each this often; zero is silence.
    pub interval: Duration,
    /// How long an answer may take; ten seconds when `None`.
    pub patience: Option<Duration>,
    /// One request on each, after which only the server speaks; instead of the interval.
    pub watch: bool,
    /// Make anew what breaks.
    pub reconnect: bool,
    /// From source ports that follow each other from this one on; the kernel's choice when `None`. What is made anew comes
    /// from a port of the kernel's choice always.
    pub ports_from: Option<u16>,
    /// All of them at once, from source ports that follow each other from this one on; one after another, from
    /// ports of the kernel's choice, when `None`.
    pub at_once_from: Option<u16>,
}

impl HoldOptions {
    /// So many connections from the client's node, with five requests a second on each.
    pub fn to(target: SocketAddr, connections: u64) -> Self {
        let interval = Duration::from_millis(200);
        let node = "client".into();
        let (watch, reconnect) = (false, false);
        let (patience, ports_from, at_once_from) = (None, None, None);
        Self { node, target, connections, interval, patience, watch, reconnect, ports_from, at_once_from }
    }

    /// So many connections on which nobody speaks until the end.
    pub fn silent(target: SocketAddr, connections: u64) -> Self {
        Self { interval: Duration::ZERO, ..Self::to(target, connections) }
    }

    /// So many watches: the client is silent, and hears something twice a second.
    pub fn watching(target: SocketAddr, connections: u64) -> Self {
        Self { watch: true, ..Self::to(target, connections) }
    }

    /// So many silent connections, all opened at once, from source ports that follow each other.
    pub fn at_once(target: SocketAddr, connections: u64, first_port: u16) -> Self {
        let (patience, at_once_from) = (Some(PATIENCE * 3), Some(first_port));
        Self { patience, at_once_from, ..Self::silent(target, connections) }
    }
}

/// A few long-lived connections.
#[derive(Debug)]
pub struct Hold(Process);

impl Hold {
    /// Opens them and waits until all stand.
    pub fn start(lab: &Lab, options: &HoldOptions) -> Result<Self> {
        let mut arguments = vec![
            "hold".into(),
            format!("--target={}", options.target),
            format!("--connections={}", options.connections),
            format!("--interval-ms={}", options.interval.as_millis()),
        ];
        if options.at_once_from.is_some() {
            arguments.push("--at-once".into());
        }
        if let Some(port) = options.at_once_from.or(options.ports_from) {
            arguments.push(format!("--first-port={port}"));
        }
        if let Some(patience) = options.patience {
            arguments.push(format!("--timeout-ms={}", patience.as_millis()));
        }
        if options.watch {
            arguments.push("--watch".into());
        }
        if options.reconnect {
            arguments.push("--reconnect".into());
        }
        let hold = Self(start(lab, &options.node, &arguments)?);
        hold.0.wait_for_line("all connections", PATIENCE * 3, |line| line.starts_with("ready "))?;
        Ok(hold)
    }

    /// Who answered on how many of them.
    pub fn backends(&self) -> Result<Counts> {
        let line = self.0.wait_for_line("all connections", PATIENCE, |line| line.starts_with("ready "))?;
        parse(&line, "ready ")
    }

    /// Waits until so many have broken.
    pub fn wait_broken(&self, count: usize, timeout: Duration) -> Result<Vec<Broken>> {
        self.gather("broken", count, timeout)
    }

    /// Those that have broken so far.
    pub fn broken_so_far(&self) -> usize {
        self.0.lines().iter().filter(|line| line.starts_with("broken ")).count()
    }

    /// Waits until so many that broke have been made anew.
    pub fn wait_reconnected(&self, count: usize) -> Result<Vec<Reconnected>> {
        self.gather("reconnected", count, PATIENCE * 3)
    }

    /// Waits for so many lines of a kind.
    fn gather<T: DeserializeOwned>(&self, kind: &str, count: usize, timeout: Duration) -> Result<Vec<T>> {
        let prefix = format!("{kind} ");
        let (mut skip, mut all) = (0, Vec::new());
        while all.len() < count {
            let what = format!("a connection that is {kind}");
            let is_one = |line: &str| line.starts_with(&prefix);
            let (line, seen) = self.0.wait_for_line_after(skip, &what, timeout, is_one)?;
            skip = seen;
            all.push(parse(&line, &prefix)?);
        }
        Ok(all)
    }

    /// Asks each once more, ends it and gives its report.
    pub fn stop(mut self) -> Result<HoldReport> {
        // What waits for a segment that TCP sends again waits for long.
        self.0.stop(PATIENCE * 3)?;
        report(&self.0, REPORT_TIMEOUT)
    }
}
