//! The clients: many short connections, one download; for long ones see `hold`.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::{
    PATIENCE, binaries,
    lab::Lab,
    process::Process,
    report::{Connect, FetchReport, LoadReport},
};

/// How long a client may take for its last report once it was asked.
pub(crate) const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts `lab-node <arguments>` on a node; it ends when its handle goes.
pub(crate) fn start(lab: &Lab, node: &str, arguments: &[String]) -> Result<Process> {
    let mut command = lab.namespace(node)?.command(binaries::lab_node()?)?;
    command.args(arguments).arg("--until-stdin-closes");
    let kind = arguments.first().map_or("client", String::as_str);
    Process::spawn(&format!("{kind}-{node}"), command, lab.directory())
}

pub(crate) fn report<T: DeserializeOwned>(process: &Process, timeout: Duration) -> Result<T> {
    let line = process.wait_for_line("its report", timeout, |line| line.starts_with("report "))?;
    parse(&line, "report ")
}

pub(crate) fn parse<T: DeserializeOwned>(line: &str, prefix: &str) -> Result<T> {
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

    /// As [`Self::stop`]; also gives every connect.
    pub fn stop_with_connects(mut self) -> Result<(LoadReport, Vec<Connect>)> {
        self.0.stop(REPORT_TIMEOUT)?;
        let is_it = |line: &str| line.starts_with("connects ");
        let line = self.0.wait_for_line("its connects", REPORT_TIMEOUT, is_it)?;
        Ok((report(&self.0, REPORT_TIMEOUT)?, parse(&line, "connects ")?))
    }

    /// Waits for its own end (it has a count or a duration) and gives its report.
    pub fn finish(self) -> Result<LoadReport> {
        report(&self.0, PATIENCE * 3)
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
