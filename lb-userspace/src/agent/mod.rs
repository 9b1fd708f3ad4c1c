//! The one task that owns the state: events in, table writes out.
//!
//! [`run`] sets up and then waits: for commands over the socket, probe results, the network's changes, a tick each
//! second, signals. Each changes the [`state`]; then the desired tables are computed whole and the difference is
//! written ([`apply`]).

pub mod addresses;
pub mod answers;
pub mod apply;
pub mod attaching;
pub mod catalog;
pub mod census;
pub mod clock;
pub mod collector;
pub mod downfall;
pub mod drop_log;
pub mod edits;
pub mod endings;
pub mod events;
pub mod evidence;
pub mod flows;
pub mod former;
pub mod host;
pub mod kinds;
pub mod leaving;
pub mod machines;
pub mod members;
pub mod memory;
pub mod network;
pub mod news;
pub mod probes;
pub mod resets;
pub mod resetting;
pub mod settings;
pub mod setup;
pub mod shown;
pub mod state;
pub mod targets;
pub mod telling;
pub mod tidings;
pub mod verdicts;
pub mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, mpsc as std_mpsc},
    time::{Duration, Instant},
};

use lb_common::abi::{EvidenceEvent, Heartbeat};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    time::MissedTickBehavior,
};

use self::{
    addresses::Addresses,
    apply::Applier,
    attaching::Attached,
    catalog::Catalog,
    census::{Census, PortPool},
    endings::Endings,
    events::EventLog,
    kinds::Kinds,
    leaving::Leaving,
    network::Network,
    state::State,
    targets::Targets,
    tidings::Tidings,
    verdicts::Verdicts,
};
use crate::{
    config::{Config, ConfigFile, Overrides},
    control::{Command, Reply, types::Done},
    health::{ProbeResult, Prober, Results, TargetId},
    kernel::{self, PinDirectory, batch::FlowTables, tables::EvidenceRing},
    net,
};

/// What the agent is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// What the flags say instead of it.
    pub overrides: Overrides,
    /// The control socket.
    pub socket: PathBuf,
    /// The pin directory.
    pub pin_dir: PathBuf,
    /// Whether the programs are taken off when the agent ends.
    pub detach_on_exit: bool,
    /// Whether pinned flows are thrown away.
    pub discard_flows: bool,
}

/// How often the agent beats, looks at the neighbours and lets go of what is over.
const TICK: Duration = Duration::from_secs(1);

/// The agent.
pub struct Agent {
    options: Options,
    file: Option<ConfigFile>,
    state: State,
    network: Network,
    applier: Applier,
    pins: PinDirectory,
    attached: BTreeMap<u32, Attached>,
    key: [u64; 2],
    prober: Prober,
    /// How services are asked.
    kinds: Kinds,
    targets: Targets,
    /// Where it is told whether those have answered that were knocked at.
    knocks: Results,
    /// What probes saw of credentials and certificates.
    tidings: Tidings,
    /// A change of health is not in the tables yet.
    is_stale: bool,
    /// Backends that have gone down and whose connections may have to be reset.
    verdicts: Verdicts,
    /// When the last tick was.
    ticked: Instant,
    /// The interfaces with a program that had no carrier then.
    without_carrier: BTreeSet<u32>,
    collector: std_mpsc::Sender<collector::Message>,
    census: watch::Receiver<Census>,
    flow_tables: Arc<FlowTables>,
    /// Who waits for a backend to hold no flow, since when.
    idle_waits: Vec<(String, Instant, Reply<Done>)>,
    /// Since when the tables name only the present backends to new flows; `None` until that is written.
    changed: Option<Instant>,
    addresses: Addresses,
    /// Whose connections have been ended, and whose are to be.
    endings: Endings,
    /// Pools of SNAT ports that are nearly used up.
    crowded: BTreeMap<PortPool, u64>,
    started_unix_s: u64,
    started_ns: u64,
    /// The sizes that were wanted of the tables.
    sizes: kernel::Sizes,
    /// Connections that the flow table and the half-open tier have room for.
    capacities: [u64; 2],
    /// Set by a command that ends the agent.
    leaving: Option<Leaving>,
    /// What the operator should know since the start.
    notes: Vec<String>,
    /// Programs of this host that listen on the VIPs' ports.
    listeners: Vec<String>,
    catalog: Catalog,
    /// What has changed, when and why.
    events: EventLog,
}

/// What wakes the agent.
struct Events {
    commands: mpsc::Receiver<Command>,
    probes: mpsc::Receiver<(TargetId, ProbeResult)>,
    knocks: mpsc::Receiver<(TargetId, ProbeResult)>,
    evidence: mpsc::Receiver<EvidenceEvent>,
    network: mpsc::Receiver<net::Event>,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Runs an agent until it is told to end.
///
/// # Errors
///
/// Whatever keeps it from serving, in a sentence.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let (knocks, knocked) = mpsc::channel(64);
    let (mut agent, server, probes) = setup::start(options, knocks).await?;
    let (commands, receiver) = mpsc::channel(64);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(commands, async {
        let _dropped = stopped.await;
    }));
    let mut events = Events {
        commands: receiver,
        probes,
        knocks: knocked,
        evidence: evidence::follow(EvidenceRing::open(agent.pins.path())?)?,
        network: net::watch()?,
        hangup: signal(SignalKind::hangup())?,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    // What changed before the watch began has to be asked for.
    agent.network_changed(net::Event::Resync, &mut events.network).await;
    println!("ready");
    let _no_supervisor = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    agent.serve(events).await;
    let result = agent.leave().await;
    agent.events.close();
    drop(stop);
    let _ended = serving.await;
    result
}

impl Agent {
    /// Waits for events until one ends the agent.
    async fn serve(&mut self, mut events: Events) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.leaving.is_none() {
            tokio::select! {
                Some(command) = events.commands.recv() => self.command(command).await,
                Some((target, result)) = events.probes.recv() => self.probed(target, result),
                Some(event) = events.evidence.recv() => self.saw(event),
                Some(event) = events.network.recv() => {
                    self.network_changed(event, &mut events.network).await;
                }
                _ = tick.tick() => self.tick().await,
                // What was begun because of a change (probes, knocks) is on its way before the tables take its time.
                () = tokio::task::yield_now(), if self.is_stale => self.apply(),
                Some((target, result)) = events.knocks.recv() => self.knocked(target, &result),
                Ok(()) = self.census.changed() => self.counted(),
                _ = events.hangup.recv() => self.hung_up().await,
                _ = events.terminate.recv() => self.leaving = Some(Leaving::Stay),
                _ = events.interrupt.recv() => self.leaving = Some(Leaving::Stay),
            }
        }
    }

    /// Writes the tables anew where something has changed.
    fn apply(&mut self) {
        self.is_stale = false;
        if let Err(error) = self.try_apply() {
            log::error!("{error}");
        }
    }

    fn try_apply(&mut self) -> Result<(), kernel::Error> {
        let attachments = self.attached.iter().map(|(index, attached)| (*index, attached.how)).collect();
        let before = self.state.standings().clone();
        let mut desired = self.state.desired(&self.network, Self::now());
        desired.our_addresses = self.addresses.want(desired.our_addresses);
        self.tell_standings(&before);
        let links = self.network.link_entries(&attachments);
        let settings = settings::settings(self.state.config(), self.key, settings::switches(&links));
        // First the names: an id that flows hold must not be one that the next agent does not know.
        self.keep_catalog();
        self.applier.apply(&desired, &links, &settings)?;
        let now = Self::now();
        self.changed.get_or_insert(now);
        self.addresses.written(now);
        let _ended = self.collector.send(collector::Message::Settings(Box::new(settings)));
        self.end_what_is_due(now);
        Ok(())
    }

    /// What recurs: the sign of life, the neighbours, the catalog.
    async fn tick(&mut self) {
        self.look_at_oneself();
        self.beat();
        self.network.refresh_neighbours().await;
        self.apply();
    }

    /// Writes the agent's sign of life, on which the data plane relies to fill the flow table.
    fn beat(&mut self) {
        let heartbeat = Heartbeat {
            beat_ns: clock::monotonic_ns(),
            started_unix_s: self.started_unix_s,
            // An agent that has just started is about to collect.
            collected_ns: self.census.borrow().at_ns.max(self.started_ns),
            process: std::process::id(),
            zero: 0,
        };
        if let Err(error) = self.applier.tables().heartbeat.set(0, heartbeat, 0) {
            log::error!("the heartbeat cannot be written: {error}");
        }
    }

    /// Takes in what a walk over the tables counted.
    fn counted(&mut self) {
        let census = self.census.borrow_and_update().clone();
        // A walk that began before may have passed by where a flow of a removed backend was entered since.
        let tells_of_backends = self.changed.is_some_and(|changed| census.is_since(changed));
        let backends_gone = tells_of_backends && self.state.release(&census.held);
        if self.addresses.release(&census) || backends_gone {
            self.apply();
        }
        self.watch_ports(&census);
        self.answer_idle_waits(&census);
    }

    /// Follows a change in the network, and those that came with it.
    async fn network_changed(&mut self, event: net::Event, more: &mut mpsc::Receiver<net::Event>) {
        let (mut routes, mut neighbours) = (false, false);
        let mut next = Some(event);
        while let Some(event) = next {
            match event {
                net::Event::Neighbour(neighbour) => {
                    neighbours |= self.network.learn(&neighbour);
                }
                net::Event::NeighbourRemoved(_) => {}
                _ => routes = true,
            }
            next = more.try_recv().ok();
        }
        if routes {
            if let Err(error) = self.network.refresh_facts().await {
                log::warn!("{error}");
            }
            self.state.look_again(&self.network.host_facts());
            self.network.follow(&self.state.backend_addresses()).await;
            self.reattach();
            self.look_at_oneself();
        }
        if routes || neighbours {
            self.apply();
        }
    }

    /// The configuration file's configuration, with the flags over it, and how its services are asked.
    fn read_config(options: &Options) -> anyhow::Result<(Option<ConfigFile>, Config, Kinds)> {
        let (file, config) = match &options.config {
            Some(path) => {
                let file = ConfigFile::load(path)?;
                let config = file.config(&options.overrides)?;
                (Some(file), config)
            }
            None => (None, Config::from_flags(&options.overrides)?),
        };
        let kinds = Kinds::read(&config)?;
        Ok((file, config, kinds))
    }

    /// Now, for the machines.
    fn now() -> Instant {
        Instant::now()
    }
}
