//! Answers from the pinned maps, when no agent lives.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use lb_common::abi::ABI_VERSION;

use crate::{
    agent::{
        answers, catalog,
        census::Census,
        clock, flows, host,
        resets::{Resets, Ways},
    },
    control::types::{Agent, Counters, Done, Flow, FlowFilter, Status, Timestamp, XdpMode},
    kernel::{self, Tables, batch::FlowTables, collect::Collector, load, pins},
    tables::ids::{Assignment, BackendIds},
    view::{self, Style},
};

/// The pinned state.
pub(super) struct Offline {
    directory: PathBuf,
    tables: Tables,
    ids: Option<BackendIds>,
    status: Option<Status>,
}

impl Offline {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where there is none, or one of another version: nothing runs and nothing is known.
    pub(super) fn open(directory: &Path, socket: &Path) -> anyhow::Result<Self> {
        if let Err(error) = std::fs::read_dir(directory)
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            anyhow::bail!(
                "no agent answers on {}, and {} may not be read: run this as root",
                socket.display(),
                directory.display()
            );
        }
        match load::pinned_version(directory) {
            Some(ABI_VERSION) => {}
            Some(found) => anyhow::bail!(
                "no agent runs, and {} holds the state of another version of xdplb (tables {found}, this one has {ABI_VERSION})",
                directory.display()
            ),
            None => anyhow::bail!(
                "no agent answers on {} and nothing is pinned in {}: start one with `xdplb run`, or name its --socket",
                socket.display(),
                directory.display()
            ),
        }
        let tables = Tables::open(directory)?;
        // Whatever cannot be read is not known: figures, flows and counters are told all the same.
        let ids = catalog::load_ids(directory).ok().flatten();
        let status = catalog::load_status(directory).ok().flatten();
        Ok(Self { directory: directory.into(), tables, ids, status })
    }

    /// The last state of everything, with the figures of now.
    pub(super) fn status(&self) -> anyhow::Result<Status> {
        let mut status = self
            .status
            .clone()
            .context("the pinned state tells no status: start an agent with `xdplb run`")?;
        status.agent = self.agent();
        status.ready = false;
        status.totals = answers::totals(&self.counters());
        let attached = pins::linked_interfaces(&self.directory);
        for interface in &mut status.interfaces {
            if !attached.contains(&interface.name) {
                interface.xdp_mode = XdpMode::Detached;
            }
        }
        let census = Census::of(&FlowTables::open(&self.directory)?)?;
        status.flow_table.used = census.flow_table_used;
        status.half_open_table.used = census.half_open_used;
        // The tables stay on the step that they were on, and only the agent knew which.
        for backend in status.services.iter_mut().flat_map(|service| &mut service.backends) {
            backend.slow_start_percent = None;
        }
        for backend in &mut status.backends {
            let ids = self.assignments().filter(|assignment| assignment.name == backend.name);
            backend.flows = ids.filter_map(|assignment| census.flows.get(&assignment.id)).sum();
        }
        Ok(status)
    }

    /// The agent that is gone: since its last sign of life.
    fn agent(&self) -> Agent {
        let beat = self.tables.heartbeat.get(&0, 0).map_or(0, |heartbeat| heartbeat.beat_ns);
        let silent = Duration::from_nanos(clock::monotonic_ns().saturating_sub(beat));
        let since = SystemTime::now().checked_sub(silent).filter(|_| beat > 0);
        Agent { running: false, since: since.map(Timestamp::new) }
    }

    /// Says on standard error that no agent answers, so that standard output stays what it is with one.
    pub(super) fn announce(&self) {
        eprint!("{}", view::agent(&self.agent(), &Style::stdout()));
    }

    /// Every counter by name.
    pub(super) fn counters(&self) -> Counters {
        answers::counters(&self.tables)
    }

    fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        self.ids.iter().flat_map(BackendIds::iter)
    }

    fn names(&self) -> flows::Names {
        self.assignments().map(|assignment| (assignment.id, assignment.name.clone())).collect()
    }

    /// The flows that match, in parts.
    pub(super) fn flows(
        &self,
        filter: &FlowFilter,
        take: impl FnMut(Vec<Flow>) -> bool,
    ) -> anyhow::Result<()> {
        self.known(filter)?;
        let tables = FlowTables::open(&self.directory)?;
        Ok(flows::each(&tables, &self.names(), filter, take)?)
    }

    /// Has the flows reset that match.
    pub(super) fn reset_flows(&self, filter: &FlowFilter) -> anyhow::Result<String> {
        self.known(filter)?;
        let tables = FlowTables::open(&self.directory)?;
        let collector = Collector::open(&self.directory).context(
            "the agent that is gone has left no program to reset flows with: start one with `xdplb run`",
        )?;
        let mut resets = Resets::new(collector, Ways::of(&Tables::open(&self.directory)?)?);
        let ended = resets.end(&tables, flows::matching(self.names(), filter.clone()))?;
        Ok(flows::reset_words(ended))
    }

    /// Refuses a name that no backend has.
    fn known(&self, filter: &FlowFilter) -> anyhow::Result<()> {
        match (&filter.backend, &self.ids) {
            (Some(name), Some(ids)) if !ids.iter().any(|known| known.name == *name) => {
                anyhow::bail!("{}", flows::unknown_words(name))
            }
            _ => Ok(()),
        }
    }

    /// What is to be said when somebody asks whether this balancer is ready.
    pub(super) fn readiness(&self) -> String {
        let attached = pins::linked_interfaces(&self.directory).join(", ");
        format!(
            "not ready: no agent runs; the programs on {attached} forward what they know: start one with `xdplb run`"
        )
    }

    /// Takes everything off; `None` where an agent holds it.
    ///
    /// # Errors
    ///
    /// Where it may not be read or removed.
    pub(super) async fn detach(directory: &Path) -> anyhow::Result<Option<Done>> {
        let pins = match pins::own_pins(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                anyhow::bail!("{} may not be read: run this as root", directory.display())
            }
            pins => pins.with_context(|| format!("{} cannot be read", directory.display()))?,
        };
        if pins.is_empty() {
            let words = format!("nothing to do: nothing is pinned in {}", directory.display());
            return Ok(Some(Done::unchanged(words)));
        }
        let _lock = match kernel::PinDirectory::open(directory) {
            Err(kernel::Error::Busy(_)) => return Ok(None),
            lock => lock?,
        };
        let detached = host::detach(directory).await?;
        Ok(Some(Done { notes: detached.notes.clone(), ..Done::changed(detached.words()) }))
    }
}
