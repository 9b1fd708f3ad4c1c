//! What the agent says of itself.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    Agent,
    attaching::{Attached, shown_of},
    census::Census,
    clock, flows,
    members::Standing,
    shown::admin_word,
};
use crate::{
    config,
    control::{
        Chunks, Reply,
        types::{
            self, Admin, ApiError, Backend, BackendName, Counters, Done, Flow, FlowFilter, Interface, Ready,
            Status, TableUse, Timestamp, Totals,
        },
    },
    kernel::Tables,
    tables::ids::Assignment,
};

/// Chunks of flows that wait for a slow reader.
const CHUNKS: usize = 4;

impl Agent {
    /// Everything at a glance.
    pub(super) fn status(&mut self) -> Status {
        let census = self.census.borrow().clone();
        let counters = counters(self.applier.tables());
        let mut status = self.described(&census);
        status.totals = totals(&counters);
        status
    }

    /// The status without what is read from the tables.
    fn described(&self, census: &Census) -> Status {
        let state = &self.state;
        let interfaces = self
            .attached
            .values()
            .map(|attached| Interface { name: attached.name.clone(), xdp_mode: shown_of(attached.how) });
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            ready: self.readiness().ready,
            agent: types::Agent {
                running: true,
                since: Some(Timestamp::new(clock::from_unix_s(self.started_unix_s))),
            },
            interfaces: interfaces.collect(),
            services: state.resolved().frontends.iter().map(|frontend| self.service(frontend)).collect(),
            backends: self.backends(census),
            fail_open: state.standing(Standing::is_fail_open),
            refusing: state.standing(|standing| standing == Standing::Refusing),
            flow_table: TableUse { used: census.flow_table_used, capacity: self.capacities[0] },
            half_open_table: TableUse { used: census.half_open_used, capacity: self.capacities[1] },
            totals: Totals::default(),
            warnings: self.warnings(),
        }
    }

    /// The backends alone.
    pub(super) fn backends(&self, census: &Census) -> Vec<Backend> {
        let described = |(index, backend): (usize, &config::Located<config::Backend>)| {
            let addresses: Vec<_> = backend.addresses.iter().map(|address| address.value).collect();
            Some(Backend {
                name: backend.name.clone(),
                address: *addresses.first()?,
                addresses,
                weight: backend.weight.into(),
                admin: admin_word(backend.state),
                health: self.worst_health(index),
                flows: census.flows.get(&self.state.id_of(index)).copied().unwrap_or(0),
            })
        };
        let configured = self.state.config().backends.iter().enumerate().filter_map(described);
        configured.chain(self.state.ids().tombstones().filter_map(|gone| removed(gone, census))).collect()
    }

    /// Whether this balancer can serve.
    pub(super) fn readiness(&self) -> Ready {
        let is_on = |(index, attached): (&u32, &Attached)| {
            attached.done && self.network.index_of(&attached.name) == Some(*index)
        };
        match self.attached.iter().find(|attached| !is_on(*attached)) {
            None => Ready { ready: true, reason: None },
            Some((_, attached)) => Ready {
                ready: false,
                reason: Some(format!("the program is not attached to {}", attached.name)),
            },
        }
    }

    /// Every counter by name.
    pub(super) fn counters(&mut self) -> Counters {
        counters(self.applier.tables())
    }

    /// The names behind the ids, removed backends included.
    pub(super) fn names(&self) -> flows::Names {
        self.state.ids().iter().map(|assignment| (assignment.id, assignment.name.clone())).collect()
    }

    /// The flows that match, filled in by a thread of their own.
    pub(super) fn flows(&self, filter: FlowFilter) -> Result<Chunks<Flow>, ApiError> {
        self.known(filter.backend.as_deref())?;
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (tables, names) = (Arc::clone(&self.flow_tables), self.names());
        tokio::task::spawn_blocking(move || {
            let walked =
                flows::each(&tables, &names, &filter, |chunk| sender.blocking_send(Ok(chunk)).is_ok());
            if let Err(error) = walked {
                let failed = ApiError::failed(format!("the flow tables cannot be walked: {error}"));
                let _gone = sender.blocking_send(Err(failed));
            }
        });
        Ok(receiver)
    }

    /// Refuses a name that no backend has.
    pub(super) fn known(&self, name: Option<&str>) -> Result<(), ApiError> {
        match name {
            Some(name) if !self.state.ids().iter().any(|assignment| assignment.name == name) => {
                Err(ApiError::not_found(flows::unknown_words(name)))
            }
            _ => Ok(()),
        }
    }

    /// Answers when the backend holds no flow.
    pub(super) fn wait_for_idle(&mut self, backend: BackendName, reply: Reply<Done>) {
        if let Err(error) = self.known(Some(&backend.name)) {
            let _gone = reply.send(Err(error));
            return;
        }
        self.idle_waits.push((backend.name, Instant::now(), reply));
        let _ended = self.collector.send(super::collector::Message::Walk);
    }

    /// Answers those whose wait is over, by a walk that was begun after they asked.
    pub(super) fn answer_idle_waits(&mut self, census: &Census) {
        let waits = std::mem::take(&mut self.idle_waits);
        for (name, since, reply) in waits {
            let ids = self.state.ids().iter().filter(|assignment| assignment.name == name);
            let flows: u64 =
                ids.map(|assignment| census.flows.get(&assignment.id).copied().unwrap_or(0)).sum();
            if reply.is_closed() {
                continue;
            }
            if flows == 0 && census.is_since(since) {
                let _gone = reply.send(Ok(Done::changed(format!("{name} holds no flow"))));
            } else {
                self.idle_waits.push((name, since, reply));
            }
        }
    }

    /// Pins what the commands and the next agent need when this one is gone.
    pub(super) fn keep_catalog(&mut self) {
        let status = self.described(&self.census.borrow().clone());
        let directory = self.pins.path();
        let kept = self
            .catalog
            .keep_ids(directory, self.state.ids())
            .and_then(|()| self.catalog.keep_memory(directory, self.state.memory()))
            .and_then(|()| self.catalog.keep_status(directory, status));
        if let Err(error) = kept {
            log::error!("what the next agent needs cannot be pinned in {}: {error}", directory.display());
        }
    }
}

/// A removed backend, for as long as flows hold it.
fn removed(gone: &Assignment, census: &Census) -> Option<Backend> {
    Some(Backend {
        name: gone.name.clone(),
        address: *gone.addresses.first()?,
        addresses: gone.addresses.clone(),
        weight: 0,
        admin: Admin::Draining,
        health: None,
        flows: *census.flows.get(&gone.id)?,
    })
}

/// Every counter by name, as far as it can be read.
pub fn counters(tables: &Tables) -> Counters {
    match tables.counter_values() {
        Ok(values) => values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        Err(error) => {
            log::error!("{error}");
            BTreeMap::new()
        }
    }
}

/// The sums of the counters.
pub fn totals(counters: &Counters) -> Totals {
    let sum = |prefix: &str| {
        counters.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    };
    Totals {
        forwarded_packets: sum("forwarded"),
        dropped_packets: sum("drop_"),
        passed_packets: sum("passed_"),
    }
}
