//! The laboratory: namespaces, servers and clients for the tests that cross a crate, and for the demo.
//!
//! ```no_run
//! use lb_tests::{Agent, AgentOptions, Lab, LoadOptions, Load, Server};
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::builder().controllers(3).build()?;
//! let servers = Server::start_all(&lab)?;
//! let agent = Agent::start(&lab, AgentOptions::default())?;
//! agent.wait_until_all("up")?;
//! let load = Load::start(&lab, &LoadOptions::to(lab.service(6443)).count(300))?;
//! assert_eq!(load.finish()?.failed(), 0);
//! # drop(servers);
//! # Ok(())
//! # }
//! ```
//!
//! Everything happens in namespaces whose names begin with `xlb`; the host's own interfaces, routes and rules
//! are never touched. Dropping a [`Lab`] removes it, and the next lab removes what a killed process left.

mod agent;
pub mod binaries;
mod builder;
pub mod cleanup;
mod clients;
mod decap;
pub mod guest;
mod hold;
mod lab;
pub mod moment;
pub mod names;
pub mod namespace;
mod pass;
mod plan;
mod process;
mod programs;
pub mod report;
pub mod requirements;
mod servers;
pub mod setting;
pub mod status;
mod under_load;

pub use agent::{Agent, AgentOptions, Families, Reply};
pub use builder::LabBuilder;
pub use clients::{Fetch, Load, LoadOptions};
pub use decap::{Decap, Tunnel};
pub use hold::{Hold, HoldOptions};
pub use lab::Lab;
pub use namespace::Namespace;
pub use plan::{Family, MOST_CLIENT_ADDRESSES, MOST_CONTROLLERS, Plan, Segment, Topology, VipPlacement};
pub use process::Process;
pub use programs::{Program, certificate};
pub use servers::{Server, ServerOptions};
pub use under_load::{ASKING, Flows, RATE, Seen, UnderLoad, WATCHING};

/// How long an event may take that should come at once: generous, as two cores may be shared by many.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
