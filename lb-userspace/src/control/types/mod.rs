//! What goes over the control socket, and what `--json` prints: a stable schema, written down in `docs/api.md`.
//!
//! Fields are added, never renamed or removed, within `/v1`. Answers ignore fields they do not know, so that a
//! command line and an agent of neighbouring versions understand each other during an upgrade; requests refuse
//! them, because a misspelt filter must not become "all flows".

mod error;
mod event;
mod flow;
mod request;
mod status;
mod time;
mod words;

pub use error::ApiError;
pub use event::Event;
pub use flow::{Counters, Flow};
pub use request::{
    BackendAdd, BackendName, BackendRemove, BackendState, BackendWeight, Detach, Done, EventFilter,
    FlowFilter,
};
pub use status::{
    Agent, Backend, Interface, LastProbe, Ready, Service, ServiceBackend, Status, TableUse, Totals,
};
pub use time::Timestamp;
pub use words::{Admin, EventKind, EventLevel, Health, Mode, Policy, XdpMode};

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
pub(crate) mod samples;
