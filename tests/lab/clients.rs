//! The clients: many short connections, a few long ones, one download.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::{
    PATIENCE, binaries,
    lab::Lab,
    process::Process,
    report::{Broken, Counts, FetchReport, HoldReport, LoadReport, Reconnected},
};

/// How long a client may take for its last report once it was asked.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts `lab-node <arguments>` on a node; it ends when its handle goes.
fn start(lab: &Lab, node: &str, arguments: &[String]) -> Result<Process> {
    let mut command = lab.namespace(node)?.command(binaries::lab_node()?)?;
    command.args(arguments).arg("--until-stdin-closes");
    let kind = arguments.first().map_or("client", String::as_str);
    Process::spawn(&format!("{kind}-{node}"), command, lab.directory())
}

fn report<T: DeserializeOwned>(process: &Process, timeout: Duration) -> Result<T> {
    let line = process.wait_for_line("its report", timeout, |line| line.starts_with("report "))?;
    parse(&line, "report ")
}

fn parse<T: DeserializeOwned>(line: &str, prefix: &str) -> Result<T> {
    let json = line.strip_prefix(prefix).unwrap_or(line);
    serde_json::from_str(json).with_context(|| format!("this is no report: {line}"))
}

/// What load to make: by a number of workers, or at a rate.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    node: String,
    arguments: Vec<String>,
}

impl LoadOptions {
    /// From the client's node to this service, until told otherwise; eight workers.
    pub fn to(target: SocketAddr) -> Self {
        Self { node: "client".into(), arguments: vec!["load".into(), "--target".into(), target.to_string()] }
    }

    /// From another node.
    #[must_use]
    pub fn from(mut self, node: &str) -> Self {
        self.node = node.into();
        self
    }

    /// So many connections, then the end.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        self.argument("--count", &count.to_string())
    }

    /// So many workers, each one connection after another.
    #[must_use]
    pub fn concurrency(self, workers: u64) -> Self {
        self.argument("--concurrency", &workers.to_string())
    }

    /// So many new connections a second, whatever becomes of the earlier ones.
    #[must_use]
    pub fn rate(self, per_second: u64) -> Self {
        self.argument("--rate", &per_second.to_string())
    }

    /// Requests on each connection.
    #[must_use]
    pub fn requests(self, requests: u64) -> Self {
        self.argument("--requests", &requests.to_string())
    }

    /// The addresses to connect from, in turn.
    #[must_use]
    pub fn sources(self, addresses: &[std::net::IpAddr]) -> Self {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.argument("--source", &list.join(","))
    }

    /// Any further argument of `lab-node load`.
    #[must_use]
    pub fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.into(), value.into()]);
        self
    }
}

/// Many short TLS connections.
#[derive(Debug)]
pub struct Load(Process);

impl Load {
    /// Starts it.
    pub fn start(lab: &Lab, options: &LoadOptions) -> Result<Self> {
        Ok(Self(start(lab, &options.node, &options.arguments)?))
    }

    /// What it has seen so far.
    pub fn so_far(&self) -> Result<LoadReport> {
        let lines = self.0.lines();
        let last = lines.iter().rev().find(|line| line.starts_with("progress "));
        last.map_or_else(|| Ok(LoadReport::default()), |line| parse(line, "progress "))
    }

    /// Waits until what it has seen so far pleases.
    pub fn wait_until(&self, what: &str, pleases: impl Fn(&LoadReport) -> bool) -> Result<LoadReport> {
        let skip = self.0.lines().len().saturating_sub(1);
        let pleases = |line: &str| {
            line.starts_with("progress ") && parse(line, "progress ").is_ok_and(|report| pleases(&report))
        };
        let (line, _) = self.0.wait_for_line_after(skip, what, PATIENCE, pleases)?;
        parse(&line, "progress ")
    }

    /// What it saw by a moment after this call: connections with a number from `begun` on begin after that.
    pub fn by_now(&self) -> Result<LoadReport> {
        let is_one = |line: &str| line.starts_with("progress ");
        let skip = self.0.lines().len();
        // The first line may have been on its way when we asked.
        let (_, skip) = self.0.wait_for_line_after(skip, "a word of it", PATIENCE, is_one)?;
        let (line, _) = self.0.wait_for_line_after(skip, "a word of it", PATIENCE, is_one)?;
        parse(&line, "progress ")
    }

    /// Waits until so many more connections got their answer.
    pub fn wait_for_more(&self, connections: u64) -> Result<LoadReport> {
        let wanted = self.so_far()?.ok + connections;
        self.wait_until(&format!("{connections} more connections"), |report| report.ok >= wanted)
    }

    /// Ends it and gives its report.
    pub fn stop(mut self) -> Result<LoadReport> {
        self.0.stop(REPORT_TIMEOUT)?;
        report(&self.0, REPORT_TIMEOUT)
    }

    /// Waits for its own end (it has a count or a duration) and gives its report.
    pub fn finish(self) -> Result<LoadReport> {
        report(&self.0, PATIENCE * 3)
    }
}

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
    /// Make anew what breaks.
    pub reconnect: bool,
    /// All of them at once, from source ports that follow each other from this one on; one after another, from
    /// ports of the kernel's choice, when `None`.
    pub at_once_from: Option<u16>,
}

impl HoldOptions {
    /// So many connections from the client's node, with five requests a second on each.
    pub fn to(target: SocketAddr, connections: u64) -> Self {
        let interval = Duration::from_millis(200);
        let node = "client".into();
        Self { node, target, connections, interval, patience: None, reconnect: false, at_once_from: None }
    }

    /// So many connections on which nobody speaks until the end.
    pub fn silent(target: SocketAddr, connections: u64) -> Self {
        Self { interval: Duration::ZERO, ..Self::to(target, connections) }
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
        if let Some(port) = options.at_once_from {
            arguments.extend(["--at-once".into(), format!("--first-port={port}")]);
        }
        if let Some(patience) = options.patience {
            arguments.push(format!("--timeout-ms={}", patience.as_millis()));
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

/// One request with its answer, however long that takes.
#[derive(Debug)]
pub struct Fetch(Process);

impl Fetch {
    /// Starts it from the client's node.
    pub fn start(lab: &Lab, target: SocketAddr, path: &str) -> Result<Self> {
        Self::start_from(lab, "client", target, path)
    }

    /// Starts it from any node.
    pub fn start_from(lab: &Lab, node: &str, target: SocketAddr, path: &str) -> Result<Self> {
        let arguments = ["fetch".into(), format!("--target={target}"), format!("--path={path}")];
        Ok(Self(start(lab, node, &arguments)?))
    }

    /// Waits for the answer's first bytes; gives who answers.
    pub fn started(&self) -> Result<String> {
        let line = self.0.wait_for_line("an answer", PATIENCE, |line| line.starts_with("started "))?;
        Ok(line.trim_start_matches("started ").into())
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        let lines = self.0.lines();
        let last = lines.iter().rev().find_map(|line| line.strip_prefix("progress "));
        last.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
    }

    /// Has it come to its end, well or not?
    pub fn is_over(&self) -> bool {
        self.0.lines().iter().any(|line| line.starts_with("report "))
    }

    /// Waits for the end and gives its report.
    pub fn finish(self) -> Result<FetchReport> {
        report(&self.0, PATIENCE * 3)
    }
}
