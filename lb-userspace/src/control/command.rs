//! What the server asks of the agent's one task.

use tokio::sync::{mpsc, oneshot};

use super::types::{
    ApiError, Backend, BackendAdd, BackendName, BackendRemove, BackendState, BackendWeight, Counters, Detach,
    Done, Event, EventFilter, Flow, FlowFilter, Ready, Status,
};

/// Where the answer goes. When it [is closed](oneshot::Sender::is_closed) nobody waits any more.
pub type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// A part of a long answer; an error is the last part and ends the answer as incomplete.
pub type Chunk<T> = Result<Vec<T>, ApiError>;

/// A long answer, in parts, so that a million flows never lie in memory at once.
///
/// The agent makes a channel of a few chunks (of about a thousand items), hands out the receiver as its reply,
/// and fills the sender *from a task or thread of its own*: a client that reads slowly stops that filler, never
/// the agent. A failing send means that the client has gone; then the filler ends.
pub type Chunks<T> = mpsc::Receiver<Chunk<T>>;

/// One request, with the way back.
#[derive(Debug)]
pub enum Command {
    /// Everything at a glance.
    Status(Reply<Status>),
    /// Whether this balancer can serve; asked every second, so it must be cheap.
    Ready(Reply<Ready>),
    /// Every verdict and drop reason.
    Counters(Reply<Counters>),
    /// The backends alone.
    Backends(Reply<Vec<Backend>>),
    /// Put a backend into use.
    BackendAdd(BackendAdd, Reply<Done>),
    /// Take a backend out, leaving a tombstone while flows hold it.
    BackendRemove(BackendRemove, Reply<Done>),
    /// Enable, drain or disable a backend.
    BackendState(BackendState, Reply<Done>),
    /// Change a backend's share.
    BackendWeight(BackendWeight, Reply<Done>),
    /// Answer when the backend holds no flow: the agent keeps the reply until then, and forgets those that are
    /// closed. Unknown names are refused at once.
    BackendIdle(BackendName, Reply<Done>),
    /// The flows that match.
    Flows(FlowFilter, Reply<Chunks<Flow>>),
    /// Reset the flows that match, both ends.
    FlowsReset(FlowFilter, Reply<Done>),
    /// What changed lately, and with `follow` what changes from now on.
    Events(EventFilter, Reply<Chunks<Event>>),
    /// Read the configuration file again.
    Reload(Reply<Done>),
    /// Take the programs off, remove the pinned state, answer, and exit; refused where another agent's is meant.
    Detach(Detach, Reply<Done>),
}
