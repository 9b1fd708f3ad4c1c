//! What most tests begin with: a lab, a server on every controller, an agent that has probed them.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Agent, AgentOptions, Hold, HoldOptions, Lab, LabBuilder, PATIENCE, Process, Reply, Server, ServerOptions,
    moment, report::Counts,
};

/// The Kubernetes API.
pub const API: u16 = 6443;

/// Konnectivity's agents.
pub const KONNECTIVITY: u16 = 8132;

/// Long-lived connections of which surely (but once in ten million) some go to each of three controllers.
pub const MANY: u64 = 40;

/// Fields are dropped in order: the agent goes before the lab.
pub struct Setting {
    /// The agent.
    pub agent: Agent,
    /// A server on each controller.
    pub servers: Vec<Server>,
    /// The laboratory.
    pub lab: Lab,
}

impl Setting {
    /// Controllers first, so that the agent finds all of them up.
    pub fn new(lab: LabBuilder, options: AgentOptions) -> Result<Self> {
        Self::with_servers(lab, &ServerOptions::default(), options)
    }

    /// The same with servers of another kind.
    pub fn with_servers(lab: LabBuilder, server: &ServerOptions, options: AgentOptions) -> Result<Self> {
        let lab = lab.build()?;
        let start = |node: &String| Server::start_with(&lab, node, server);
        let servers = lab.controllers().iter().map(start).collect::<Result<_>>()?;
        let agent = Agent::start(&lab, options)?;
        agent.wait_until_all("up")?;
        Ok(Self { agent, servers, lab })
    }

    /// Three controllers on one segment, IPv4, everything else as it comes.
    pub fn usual() -> Result<Self> {
        Self::new(Lab::builder(), AgentOptions::default())
    }

    /// An agent with two controllers that do not live: for what needs no traffic.
    pub fn without_servers() -> Result<Self> {
        let lab = Lab::builder().controllers(2).build()?;
        let agent = Agent::start(&lab, AgentOptions::default())?;
        Ok(Self { agent, servers: Vec::new(), lab })
    }

    /// Long-lived connections, and how many of them each controller has.
    pub fn hold(&self, connections: u64) -> Result<(Hold, Counts)> {
        let options = HoldOptions::to(self.service(), connections);
        let hold = Hold::start(&self.lab, &options)?;
        let backends = hold.backends()?;
        Ok((hold, backends))
    }

    /// The VIP and port of the Kubernetes API.
    pub fn service(&self) -> SocketAddr {
        self.lab.service(API)
    }

    /// The configuration file's text.
    pub fn file(&self) -> Result<String> {
        Ok(fs::read_to_string(self.agent.config_file())?)
    }

    /// Runs the agent's own command line again, to an end that shall come at once.
    pub fn run_to_its_end(&self, arguments: &[&str]) -> Result<Reply> {
        let mut command = self.agent.command()?;
        command.arg("run").arg("--config").arg(self.agent.config_file()).args(arguments);
        Ok(Reply::from(&command.output()?))
    }

    /// Starts the agent in the place of one that has ended, with further arguments, and waits for `ready`.
    pub fn run(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.agent.command()?;
        command.arg("run").arg("--config").arg(self.agent.config_file()).args(arguments);
        let process = Process::spawn("agent", command, self.lab.directory())?;
        process.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
        Ok(process)
    }

    /// Waits until the agent's log has these words.
    pub fn wait_log(&self, words: &str) -> Result<String> {
        let path = self.lab.directory().join("agent.log");
        let deadline = moment::deadline(PATIENCE);
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if log.contains(words) {
                return Ok(log);
            }
            if Instant::now() > deadline {
                bail!("the log never said {words:?}: {log}");
            }
            // A file that grows tells nobody.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server on a node, as a crash would.
    pub fn kill_server(&mut self, node: &str) -> Result<()> {
        self.take_server(node)?.kill()
    }

    /// The server on a node; whoever takes it may put another there.
    pub fn take_server(&mut self, node: &str) -> Result<Server> {
        let at = self.servers.iter().position(|server| server.node() == node);
        Ok(self.servers.remove(at.with_context(|| format!("{node} has no server"))?))
    }

    /// How often something has happened to a packet, by the name in `xdplb counters`.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let counters = self.agent.json(&["counters"])?;
        counters[name].as_u64().with_context(|| format!("no counter {name} in {counters}"))
    }

    /// The pin directory.
    pub fn pins(&self) -> PathBuf {
        pins(&self.lab)
    }
}

/// Where the lab's agent pins.
pub fn pins(lab: &Lab) -> PathBuf {
    lab.directory().join("bpf/xdplb")
}
