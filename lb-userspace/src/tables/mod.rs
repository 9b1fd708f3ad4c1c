//! What goes into the kernel's tables, computed whole and without I/O.
//!
//! Two balancers with the same configuration and the same cluster key compute the same tables: nothing here depends on
//! the order of its input, on local ids or on the time.

pub mod choice;
pub mod desired;
pub mod ids;
pub mod maglev;
mod member;
pub mod ramp;
mod turns;

pub use member::Member;
