//! What follows when a backend has gone down: the others are asked at once, and when they have shown that the balancer
//! can be trusted, the connections of the one that is down are reset at both ends.

use std::{sync::Arc, time::Duration};

use lb_common::{abi::StateWord, tcp::State};

use super::{Agent, TICK, machines::Probed, resets::Candidate};
use crate::health::{FailureReason, Outcome, ProbeResult};

/// A tick may be so much later than it was due before the agent mistrusts itself.
const LATE: Duration = Duration::from_secs(1);

impl Agent {
    /// Takes a probe's result for the verdicts that wait; `fell` says that it has made one.
    pub(super) fn judge(&mut self, probed: &Probed, result: &ProbeResult, fell: bool) {
        if result.outcome == Outcome::Failed(FailureReason::Late) {
            self.verdicts.trouble(result.at);
        }
        if fell {
            self.ask_the_others(probed);
        }
        let wanted = self.state.config().timing_of(&probed.service).fall.into();
        let is_due = self.verdicts.probed(probed, result, self.state.machines(), wanted);
        for cleared in self.verdicts.to_ask() {
            if let Some(target) = self.targets.number_of(&cleared) {
                self.prober.wake(target);
            }
        }
        if is_due {
            self.reset_connections(probed);
        }
    }

    /// Has every other backend of the service asked now.
    fn ask_the_others(&self, down: &Probed) {
        let others = self.targets.iter().filter(|(_, probed)| {
            probed.service == down.service && probed.family == down.family && probed.backend != down.backend
        });
        others.for_each(|(target, _)| self.prober.wake(*target));
    }

    /// Notices when the balancer itself is in trouble: it has no carrier, or was late.
    pub(super) fn look_at_oneself(&mut self) {
        let now = Self::now();
        let is_late = now.duration_since(self.ticked) > TICK + LATE;
        self.ticked = now;
        if is_late || !self.attached.keys().all(|interface| self.network.has_carrier(*interface)) {
            self.verdicts.trouble(now);
        }
    }

    /// Resets the connections of a service on a backend that is down, in a thread of its own.
    fn reset_connections(&mut self, down: &Probed) {
        let name = self.probed_words(down);
        let services = self.state.resetting(&down.service, down.family);
        if services.is_empty() {
            return log::info!("{name}: its connections are kept, as `when_down` says");
        }
        let mut resets = match self.resets() {
            Ok(resets) => resets,
            Err(error) => return log::error!("{name}: its connections cannot be reset: {error:#}"),
        };
        let (tables, backend) = (Arc::clone(&self.flow_tables), down.backend);
        let is_of = move |candidate: &Candidate<'_>| {
            let word = StateWord(candidate.meta.state);
            // A handshake goes to another backend by itself.
            candidate.meta.backend == backend
                && services.contains(&(candidate.vip.ip(), candidate.vip.port()))
                && word.state() != State::SynSent
        };
        tokio::task::spawn_blocking(move || match resets.end(&tables, is_of) {
            Ok(0) => {}
            Ok(ended) => log::warn!("{name}: down, {ended} connections were reset at both ends"),
            Err(error) => log::error!("{name}: its connections cannot be reset: {error}"),
        });
    }
}
