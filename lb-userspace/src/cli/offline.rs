//! Answers from the pinned maps, when no agent lives.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lb_common::abi::ABI_VERSION;

use crate::{
    agent::{answers, catalog::Catalog, flows},
    control::types::{Counters, Flow, FlowFilter, Status},
    kernel::{self, Tables, batch::FlowTables, load, pins},
};

/// The pinned state.
pub(super) struct Offline {
    directory: PathBuf,
    tables: Tables,
    catalog: Option<Catalog>,
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
        Ok(Self { directory: directory.into(), tables, catalog: Catalog::load(directory) })
    }

    /// The last state of everything, with the figures of now.
    pub(super) fn status(&self) -> anyhow::Result<Status> {
        let catalog = self
            .catalog
            .as_ref()
            .context("the pinned state has no names: start an agent with `xdplb run`")?;
        let mut status = catalog.status.clone();
        status.agent.running = false;
        status.ready = false;
        status.totals = answers::totals(&self.counters());
        let attached = pins::linked_interfaces(&self.directory);
        for interface in &mut status.interfaces {
            if !attached.contains(&interface.name) {
                interface.xdp_mode = crate::control::types::XdpMode::Detached;
            }
        }
        let mut used = 0;
        for backend in &mut status.backends {
            backend.flows = 0;
        }
        self.flows(&FlowFilter::default(), |flows| {
            for flow in flows.iter().filter(|flow| flow.state != "closed") {
                used += 1;
                if let Some(backend) = status.backends.iter_mut().find(|backend| backend.name == flow.backend)
                {
                    backend.flows += 1;
                }
            }
            true
        })?;
        status.flow_table.used = used;
        Ok(status)
    }

    /// Every counter by name.
    pub(super) fn counters(&self) -> Counters {
        answers::counters(&self.tables)
    }

    fn names(&self) -> flows::Names {
        let ids = self.catalog.iter().flat_map(|catalog| catalog.ids.iter());
        ids.map(|assignment| (assignment.id, assignment.name.clone())).collect()
    }

    /// The flows that match, in parts.
    pub(super) fn flows(
        &self,
        filter: &FlowFilter,
        take: impl FnMut(Vec<Flow>) -> bool,
    ) -> anyhow::Result<()> {
        let tables = FlowTables::open(&self.directory)?;
        Ok(flows::each(&tables, &self.names(), filter, take)?)
    }

    /// Has the flows reset that match.
    pub(super) fn reset_flows(&self, filter: &FlowFilter) -> anyhow::Result<String> {
        let tables = FlowTables::open(&self.directory)?;
        let marked = flows::reset(&tables, &self.names(), filter)?;
        Ok(format!("no agent runs; {marked} flows are reset with their next packet"))
    }

    /// What is to be said when somebody asks whether this balancer is ready.
    pub(super) fn readiness(&self) -> String {
        let attached = pins::linked_interfaces(&self.directory).join(", ");
        format!(
            "not ready: no agent runs; the programs on {attached} forward what they know: start one with `xdplb run`"
        )
    }

    /// Takes the programs off and removes the pinned state.
    ///
    /// # Errors
    ///
    /// Where there is none, or an agent holds it that did not answer.
    pub(super) fn detach(directory: &Path) -> anyhow::Result<String> {
        if !directory.exists() {
            return Ok(format!("nothing to do: {} does not exist", directory.display()));
        }
        let lock = kernel::PinDirectory::open(directory)?;
        let interfaces = pins::linked_interfaces(directory);
        pins::remove_all(directory).with_context(|| format!("{} cannot be removed", directory.display()))?;
        drop(lock);
        Ok(match interfaces.as_slice() {
            [] => "the pinned state is gone".into(),
            some => format!("the programs are off {} and the pinned state is gone", some.join(", ")),
        })
    }
}
