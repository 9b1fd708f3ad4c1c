//! What most stories begin with: a lab, a server on every controller, an agent that has probed them.

use anyhow::{Context, Result};
use lb_tests::{Agent, AgentOptions, Lab, LabBuilder, Server, ServerOptions};

/// The Kubernetes API.
pub(crate) const API: u16 = 6443;
/// Konnectivity's agents.
pub(crate) const KONNECTIVITY: u16 = 8132;

/// Long-lived connections of which surely (but once in ten million) some go to each of three controllers.
pub(crate) const MANY: u64 = 40;

/// Fields are dropped in order: the agent goes before the lab.
pub(crate) struct Setting {
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) lab: Lab,
}

impl Setting {
    /// Controllers first, so that the agent finds all of them up.
    pub(crate) fn new(lab: LabBuilder, options: AgentOptions) -> Result<Self> {
        Self::with_servers(lab, &ServerOptions::default(), options)
    }

    /// The same with servers of another kind.
    pub(crate) fn with_servers(
        lab: LabBuilder,
        server: &ServerOptions,
        options: AgentOptions,
    ) -> Result<Self> {
        let lab = lab.build()?;
        let start = |node: &String| Server::start_with(&lab, node, server);
        let servers = lab.controllers().iter().map(start).collect::<Result<_>>()?;
        let agent = Agent::start(&lab, options)?;
        agent.wait_until_all("up")?;
        Ok(Self { agent, servers, lab })
    }

    /// Three controllers on one segment, IPv4, everything else as it comes.
    pub(crate) fn usual() -> Result<Self> {
        Self::new(Lab::builder(), AgentOptions::default())
    }

    /// Kills the server on a node, as a crash would.
    pub(crate) fn kill_server(&mut self, node: &str) -> Result<()> {
        self.take_server(node)?.kill()
    }

    /// The server on a node; whoever takes it may put another there.
    pub(crate) fn take_server(&mut self, node: &str) -> Result<Server> {
        let at = self.servers.iter().position(|server| server.node() == node);
        Ok(self.servers.remove(at.with_context(|| format!("{node} has no server"))?))
    }

    /// How often something has happened to a packet, by the name in `xdplb counters`.
    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let counters = self.agent.json(&["counters"])?;
        counters[name].as_u64().with_context(|| format!("no counter {name} in {counters}"))
    }
}
