//! Who takes the new connections of a service: pure.
//!
//! | of the enabled backends | take new connections |
//! | --- | --- |
//! | some are up, opaque or unverified | these |
//! | none, but some are not ready | those that are not ready: they answer, and somebody has to |
//! | all are down, `fail_open` | those that were good last, else all |
//! | all are down, no `fail_open` | none: a SYN is answered with RST |
//! | there are none | none |
//!
//! Draining and disabled ones never do.

use std::collections::BTreeMap;

use crate::{config::AdminState, health::Health, tables::ramp::Returning};
use lb_common::abi::BackendId;

/// A backend as one service sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// With its full weight, and when it came back.
    pub returning: Returning,
    /// What the operator wants of it.
    pub admin: AdminState,
    /// What the probes say.
    pub health: Health,
    /// Whether it went down so lately that the others may be about to follow it.
    pub went_down_lately: bool,
}

/// How a service stands with its backends, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Some are good; or none is meant to be.
    #[default]
    Good,
    /// None is ready; those that answer keep the new connections.
    NotReady,
    /// All are down; those that were good last keep the new connections.
    LastGood,
    /// All are down, and new connections are refused.
    Refusing,
}

impl Standing {
    /// Whether backends are in use that do not pass their probe.
    pub fn is_fail_open(self) -> bool {
        matches!(self, Self::NotReady | Self::LastGood)
    }

    /// What becomes of the service's new connections, for the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::Good => "a backend is healthy again",
            Self::NotReady => "no backend is ready; those that answer keep the traffic",
            Self::LastGood => "no backend is healthy; the last good ones keep the traffic",
            Self::Refusing => "no backend is healthy; new connections are refused until one is",
        }
    }
}

/// The standings of services by name; what is not there is good.
pub type Standings = BTreeMap<String, Standing>;

/// The services that stand otherwise than before, and how.
pub fn changes<'a>(
    before: &'a Standings,
    after: &'a Standings,
) -> impl Iterator<Item = (&'a String, Standing)> {
    let of = |standings: &Standings, name: &String| standings.get(name).copied().unwrap_or_default();
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let differs = move |name: &&'a String| of(before, name) != of(after, name);
    gone.chain(after.keys()).filter(differs).map(move |name| (name, of(after, name)))
}

/// The members of a service, and how it stands. `last_good` are those that were good last; they are remembered anew where
/// some are good.
pub fn choose(
    candidates: &[Candidate],
    last_good: &mut Vec<BackendId>,
    fail_open: bool,
) -> (Vec<Returning>, Standing) {
    let enabled = || candidates.iter().filter(|candidate| candidate.admin == AdminState::Enabled);
    let those = |pleases: &dyn Fn(&Candidate) -> bool| -> Vec<Returning> {
        enabled().filter(|candidate| pleases(candidate)).map(|candidate| candidate.returning).collect()
    };
    let good = those(&|candidate| candidate.health.takes_new_flows());
    if !good.is_empty() {
        // Those that have just gone down may be the first of all: the balancer's own uplink, say.
        let lost = enabled()
            .filter(|candidate| candidate.went_down_lately)
            .map(|candidate| candidate.returning.member.id)
            .filter(|id| last_good.contains(id));
        *last_good = good.iter().map(|returning| returning.member.id).chain(lost).collect();
        return (good, Standing::Good);
    }
    let not_ready = those(&|candidate| candidate.health == Health::NotReady);
    if !not_ready.is_empty() {
        return (not_ready, Standing::NotReady);
    }
    if enabled().next().is_none() {
        return (Vec::new(), Standing::Good);
    }
    if !fail_open {
        return (Vec::new(), Standing::Refusing);
    }
    let still = those(&|candidate| last_good.contains(&candidate.returning.member.id));
    (if still.is_empty() { those(&|_| true) } else { still }, Standing::LastGood)
}

#[cfg(test)]
mod tests;
