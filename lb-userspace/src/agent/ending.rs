//! Ends the connections of backends that are disabled, removed with `--now`, or drained for too long.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use lb_common::abi::BackendId;

use super::Agent;

impl Agent {
    /// Ends what is due by now. The tables name none of these backends to new flows any more.
    pub(super) fn end_what_is_due(&mut self, now: Instant) {
        let due = self.endings.due(self.state.leaving(), self.state.config().drain_timeout, now);
        if !due.is_empty() {
            self.end_flows_of(due);
        }
    }

    /// Ends the connections of these backends at both ends; a thread of its own finds them.
    fn end_flows_of(&mut self, backends: BTreeSet<BackendId>) {
        let ids = self.state.ids();
        let names: Vec<&str> =
            backends.iter().filter_map(|id| ids.get(*id)).map(|owner| owner.name.as_str()).collect();
        let names = names.join(", ");
        let mut resets = match self.resets() {
            Ok(resets) => resets,
            Err(error) => {
                log::error!("the connections of {names} cannot be ended: {error:#}");
                return;
            }
        };
        let tables = Arc::clone(&self.flow_tables);
        tokio::task::spawn_blocking(move || {
            match resets.end(&tables, |candidate| backends.contains(&candidate.meta.backend)) {
                Ok(0) => {}
                Ok(ended) => log::info!("{names}: {ended} connections are ended at both ends"),
                Err(error) => log::error!("the connections of {names} cannot be ended: {error}"),
            }
        });
    }
}
