//! The rise and fall machine (pure) and the probes.
//!
//! [`machine`] turns probe results into health and never touches a socket; [`probe`] asks one backend once;
//! [`prober`] decides when which probe runs. Whoever owns the tables feeds what the prober sends into one
//! [`machine::Machine`] for each service, backend and address family.

pub mod failure;
pub mod machine;
pub mod outcome;
pub mod probe;
pub mod prober;

#[cfg(test)]
mod machine_tests;

pub use failure::FailureReason;
pub use machine::{Health, Machine, Thresholds, Transition, follow};
pub use outcome::{CredentialEnd, CredentialKind, CredentialState, Outcome, ProbeResult, Seen};
pub use probe::ProbeKind;
pub use prober::{Prober, Results, Target, TargetId};
