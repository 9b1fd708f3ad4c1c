//! Tables for people: pure functions from the types of the control API to text.
//!
//! One voice: lower-case, the answer first, the next step in the sentence. Colour repeats what a word says and
//! never replaces it. What comes from outside (the outcome of a probe, a name) is stripped of control characters
//! before it reaches a terminal.

mod backends;
mod counters;
mod events;
mod flows;
mod status;
mod style;
mod table;
mod verdict;

pub use backends::backends;
pub use counters::counters;
pub use events::{EventTable, done, events, ready};
pub use flows::{FlowTable, flows};
pub use status::{agent, status};
pub use style::{Style, duration};
