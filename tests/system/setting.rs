//! What most stories begin with: a lab, a server on every controller, an agent that has probed them.

use anyhow::Result;
use lb_tests::{Agent, AgentOptions, Lab, LabBuilder, Server};

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
        let lab = lab.build()?;
        let servers = Server::start_all(&lab)?;
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
        let at = self.servers.iter().position(|server| server.node() == node);
        at.map_or(Ok(()), |at| self.servers.remove(at).kill())
    }
}
