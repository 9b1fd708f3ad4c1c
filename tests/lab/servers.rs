//! The servers of the controllers.

use std::process::ExitStatus;

use anyhow::{Context, Result};

use crate::{PATIENCE, binaries, lab::Lab, process::Process};

/// The ports of a k0s controller.
const K0S_PORTS: &str = "6443,8132,8133,9443";

/// What a server is like.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Further arguments for `lab-node server`: `--readyz 503`, `--echo-ports 7000`, `--push-ports 7001`.
    pub arguments: Vec<String>,
}

/// A running server on a controller: TLS on the four ports of k0s, saying who it is.
#[derive(Debug)]
pub struct Server {
    node: String,
    process: Process,
}

impl Server {
    /// Starts it on a node and waits until it listens.
    pub fn start(lab: &Lab, node: &str) -> Result<Self> {
        Self::start_with(lab, node, &ServerOptions::default())
    }

    /// As [`Self::start`], with options.
    pub fn start_with(lab: &Lab, node: &str, options: &ServerOptions) -> Result<Self> {
        let mut command = lab.namespace(node)?.command(binaries::lab_node()?)?;
        command.args(["server", "--name", node, "--ports", K0S_PORTS]).args(&options.arguments);
        let process = Process::spawn(&format!("server-{node}"), command, lab.directory())?;
        process
            .wait_for_line("listening", PATIENCE, |line| line == "ready")
            .with_context(|| format!("no server on {node}"))?;
        Ok(Self { node: node.into(), process })
    }

    /// One on each controller.
    pub fn start_all(lab: &Lab) -> Result<Vec<Self>> {
        lab.controllers().iter().map(|node| Self::start(lab, node)).collect()
    }

    /// Where it runs.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The connections of clients that ended by a RST, so far.
    pub fn resets(&self) -> usize {
        self.process.lines().iter().filter(|line| line.starts_with("reset ")).count()
    }

    /// Waits until so many connections of clients have ended by a RST.
    pub fn wait_resets(&self, count: usize) -> Result<()> {
        let mut skip = 0;
        for number in 1..=count {
            let what = format!("reset {number} of {count}");
            let is_one = |line: &str| line.starts_with("reset ");
            skip = self.process.wait_for_line_after(skip, &what, PATIENCE, is_one)?.1;
        }
        Ok(())
    }

    /// Ends it as a crash would: its host answers RST from then on.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end; with `--drain-ms` it serves on for a while.
    pub fn terminate(&mut self) {
        self.process.signal(libc::SIGTERM);
    }

    /// Waits until it has ended.
    pub fn wait_end(mut self) -> Result<ExitStatus> {
        self.process.wait(PATIENCE)
    }

    /// It may go on when its handle is dropped.
    pub fn leave_running(&mut self) {
        self.process.leave_running();
    }
}
