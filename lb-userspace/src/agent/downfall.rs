//! What follows when a backend has gone down: it and the others are asked at once, and when the others have shown that the
//! balancer can be trusted, the connections of the one that is down are reset at both ends.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Agent, TICK,
    machines::{Probed, Silence},
    verdicts::{self, Reason},
};
use crate::health::{FailureReason, Outcome, ProbeResult, TargetId};

/// A tick may be so much later than it was due before the agent mistrusts itself.
const LATE: Duration = Duration::from_secs(1);

impl Agent {
    /// Takes a probe's result for the verdicts that wait; `fell` says that it has made one.
    pub(super) fn judge(&mut self, probed: &Probed, result: &ProbeResult, fell: bool) {
        if result.outcome == Outcome::Failed(FailureReason::Late) {
            self.verdicts.trouble(result.at);
        }
        self.verdicts.probed(probed, result, self.state.machines());
        if fell {
            self.ask_everybody(probed);
        }
        for doubted in self.verdicts.in_doubt(&probed.service) {
            if let Some(target) = self.targets.number_of(&doubted) {
                self.prober.wake(target);
            }
        }
        self.carry_out_verdicts();
    }

    /// Takes in whether a backend answered when it was knocked at.
    pub(super) fn knocked(&mut self, target: TargetId, result: &ProbeResult) {
        let Some(probed) = self.targets.get(target).cloned() else { return };
        self.verdicts.knocked(&probed, result);
        self.carry_out_verdicts();
    }

    /// Has every backend of the service asked now, the one that is down too; and has it knocked at, because its silence counts
    /// when the others answer.
    fn ask_everybody(&self, down: &Probed) {
        let of_the_service = self
            .targets
            .iter()
            .filter(|(_, probed)| probed.service == down.service && probed.family == down.family);
        of_the_service.for_each(|(target, _)| self.prober.ask(*target));
        if let Some(target) = self.targets.number_of(down) {
            let patience = verdicts::patience(down, self.state.machines());
            self.prober.knock(target, patience, self.knocks.clone());
        }
    }

    /// Resets the connections of those that have been down for long enough.
    pub(super) fn carry_out_verdicts(&mut self) {
        let due = self.verdicts.due();
        if due.is_empty() {
            return;
        }
        let now = Self::now();
        let is_late = self.look_at_oneself();
        for down in due {
            if is_late || !self.reset_connections(&down) {
                let fall = self.state.config().timing_of(&down.service).fall.into();
                self.verdicts.resume(down, now, fall);
            }
        }
    }

    /// Notices when the balancer itself is in trouble, and says so: an interface has lost its carrier, none leads to the backends, or the
    /// agent was late.
    pub(super) fn look_at_oneself(&mut self) -> bool {
        let now = Self::now();
        let is_late = now.duration_since(self.ticked) > TICK + LATE;
        self.ticked = now;
        let without =
            self.attached.keys().filter(|interface| !self.network.has_carrier(**interface)).copied();
        let without: BTreeSet<u32> = without.collect();
        let former = std::mem::replace(&mut self.without_carrier, without);
        let has_lost = self.without_carrier.difference(&former).next().is_some();
        let is_in_trouble = is_late || has_lost || !self.cut_off().is_empty();
        if is_in_trouble {
            self.verdicts.trouble(now);
        }
        is_in_trouble
    }

    /// The interfaces that lead to backends in use and cannot carry packets at this moment.
    fn cut_off(&self) -> BTreeSet<String> {
        self.network.cut_off(&self.state.addresses_in_use())
    }

    /// Whose connections are kept although it is down, one sentence each; and what keeps all of them.
    pub(super) fn verdict_warnings(&self) -> Vec<String> {
        let cut_off = self.cut_off().into_iter().map(|interface| {
            format!(
                "{interface} leads to backends and has no carrier: no connection is reset meanwhile; look at the cable \
                 and the switch"
            )
        });
        let kept = self.verdicts.waiting().filter(|(probed, _)| self.is_worth_a_word(probed));
        let kept = kept.map(|(probed, reason)| {
            let why = match reason {
                Reason::NoWitness => {
                    "not every other backend has answered since, so it may be the balancer that is cut off"
                }
                Reason::Doubt => "it may not be to blame, so it is asked again",
            };
            let name = &self.backend_name(probed.backend);
            format!(
                "{} is down, but its connections are kept: {why}; `xdplb flows reset --backend {name}` ends them",
                self.probed_words(probed)
            )
        });
        cut_off.chain(kept).collect()
    }

    /// Whether it matters that the connections of a backend that is down are kept: some may be, and would be reset.
    fn is_worth_a_word(&self, probed: &Probed) -> bool {
        self.state.silence_of(probed) == Silence::Lost
            && !self.state.resetting(&probed.service, probed.family).is_empty()
    }
}
