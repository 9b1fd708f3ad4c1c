//! From the command line to a serving agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc as std_mpsc},
};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::{
    Agent, Options, addresses::Addresses, apply::Applier, attaching, catalog::Catalog, clock, collector,
    drop_log, endings::Endings, events::EventLog, former::Former, host, network::Network, news::News,
    settings, state::State, targets::Targets, tidings::Tidings, verdicts::Verdicts,
};
use crate::{
    config::{ClusterKey, Config, Family},
    control::{
        Server,
        types::{EventKind, Status},
    },
    health::{ProbeResult, Prober, Results, TargetId},
    kernel::{self, DataPlane, DropLog, PinDirectory, Sizes, batch::FlowTables},
};

/// Sets everything up: tables filled, programs attached, socket bound. Nothing of a running agent is touched before the
/// configuration has been found good and the pin directory free.
pub async fn start(
    options: Options,
    knocks: Results,
) -> anyhow::Result<(Agent, Server, mpsc::Receiver<(TargetId, ProbeResult)>)> {
    let (file, config, kinds) = Agent::read_config(&options)?;
    let mut network = Network::open().await?;
    let host = network.host_facts();
    config.resolve(&host)?;
    let key = cluster_key(&config)?;
    let pins = PinDirectory::open(&options.pin_dir)?;
    let server = Server::bind(&options.socket).await?;

    let former = if options.discard_flows { Former::default() } else { Former::read(pins.path())? };
    let memory = former.memory(clock::Moment::now());
    network.remember(former.ways(), former.remains.links);
    let mut state = State::new(config, &host, former.ids, memory, Agent::now())?;
    let sizes = sizes(&state);
    if options.discard_flows {
        kernel::load::discard(&pins)?;
    }
    let drop_log = if state.config().log_drops { DropLog::On } else { DropLog::Off };
    let (mut plane, notes) = DataPlane::load_pinned(sizes, drop_log, &pins)?;
    if drop_log == DropLog::On {
        drop_log::follow(&mut plane)?;
    }
    let capacities = kernel::load::capacities(&pins, sizes)?;
    let collector_program = plane.collector_descriptor()?;
    let key_words = key.or_else(|| pinned_key(&plane)).map_or_else(random_key, Ok)?;
    let (collector, messages) = std_mpsc::channel();
    let first_settings = settings::settings(state.config(), key_words, 0);
    let census = collector::start(pins.path().into(), collector_program, first_settings, messages)?;
    let flow_tables = Arc::new(FlowTables::open(pins.path()).context("the flow tables cannot be opened")?);
    let (prober, results) = Prober::start();
    let applier = Applier::new(plane, key_words);
    state.keep_service_ids(applier.services());
    let addresses = Addresses::of_former(applier.our_addresses());
    let mut agent = Agent {
        options,
        file,
        state,
        network,
        applier,
        pins,
        attached: BTreeMap::new(),
        key: key_words,
        prober,
        kinds,
        targets: Targets::default(),
        knocks,
        is_stale: false,
        tidings: Tidings::default(),
        verdicts: Verdicts::default(),
        without_carrier: BTreeSet::new(),
        ticked: Agent::now(),
        collector,
        census,
        flow_tables,
        idle_waits: Vec::new(),
        changed: None,
        addresses,
        endings: Endings::default(),
        crowded: BTreeMap::new(),
        started_unix_s: clock::unix_s(),
        started_ns: clock::monotonic_ns(),
        sizes,
        capacities,
        leaving: None,
        notes,
        listeners: Vec::new(),
        catalog: Catalog::default(),
        events: EventLog::default(),
    };
    if let Err(error) = agent.begin(former.status.as_ref()).await {
        if agent.pins.is_new() {
            agent.undo().await;
        }
        return Err(error);
    }
    agent.pins.keep();
    Ok((agent, server, results))
}

impl Agent {
    /// Finds the ways to the backends and fills the tables, then lets packets in.
    async fn begin(&mut self, former: Option<&Status>) -> anyhow::Result<()> {
        let took_over = former.map(|_| "it goes on where a former one left off");
        let started = News::info(
            EventKind::Agent,
            format!("the agent has started, version {}", env!("CARGO_PKG_VERSION")),
        );
        self.events.tell(took_over.into_iter().fold(started, News::why));
        for sysctl in host::prepare(&self.pins)? {
            let news = News::info(EventKind::Host, format!("{sysctl} set to 1"));
            self.events.tell(news.why("so that next hops can be looked up; the host is not made a router"));
        }
        self.network.follow(&self.state.backend_addresses()).await;
        self.attached = attaching::plan(self, former);
        let attached: Vec<u32> = self.attached.keys().copied().collect();
        self.network.assign_links(&attached);
        // An agent whose ids the next one could not know had better not begin.
        self.catalog
            .keep_ids(self.pins.path(), self.state.ids())
            .with_context(|| format!("the backend ids cannot be pinned in {}", self.pins.path().display()))?;
        self.try_apply()?;
        self.beat();
        self.attach_all()?;
        // What was found out by attaching (generic instead of native) is part of the tables.
        self.try_apply()?;
        self.schedule_probes();
        for probed in self.state.machines().down() {
            let fall = self.state.config().timing_of(&probed.service).fall.into();
            self.verdicts.resume(probed, Self::now(), fall);
        }
        self.warn();
        Ok(())
    }

    /// Gives back what a beginning has taken that came to nothing.
    async fn undo(&self) {
        if let Err(error) = host::detach(self.pins.path()).await {
            log::warn!("{error:#}");
        }
    }
}

/// The key that all balancers of one cluster share, where there is a file of it.
fn cluster_key(config: &Config) -> anyhow::Result<Option<[u64; 2]>> {
    let Some(path) = &config.cluster_key_file else { return Ok(None) };
    let key = ClusterKey::load(path)?;
    let (words, _) = key.bytes().as_chunks::<8>();
    Ok(Some([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]))
}

/// The key of the former agent: with another one, connections that it took up would be guessed elsewhere.
fn pinned_key(plane: &DataPlane) -> Option<[u64; 2]> {
    let settings = plane.tables.settings.get(&0, 0).ok()?;
    (settings.hash_key != [0; 2]).then_some(settings.hash_key)
}

/// A key of this start's own.
fn random_key() -> anyhow::Result<[u64; 2]> {
    let mut key = [0u64; 2];
    // SAFETY: the buffer is as long as the call is told, and every bit pattern is a value.
    let got = unsafe { libc::getrandom(key.as_mut_ptr().cast(), size_of_val(&key), 0) };
    anyhow::ensure!(got == 16, "the kernel gives no random numbers: {}", std::io::Error::last_os_error());
    Ok(key)
}

/// The sizes of the tables: a family without a VIP gets next to none.
pub(super) fn sizes(state: &State) -> Sizes {
    let has = |family| state.resolved().vips.iter().any(|vip| Family::of(*vip) == family);
    let limits = state.config().limits;
    Sizes {
        flow_table: limits.flow_table,
        half_open_table: limits.half_open_table,
        ipv4: has(Family::V4),
        ipv6: has(Family::V6),
    }
}
