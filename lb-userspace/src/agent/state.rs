//! What the agent knows and wants: the configuration on this host, the ids, the health. Pure: it is told of the network
//! and of the time, and says what the tables are to hold.

mod choosing;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use lb_common::abi::{BackendId, Service as ServiceEntry, ServiceId};

use super::{
    machines::{self, FormerHealth, Machines, Probed, Silence, Wanted},
    members::{Standing, Standings},
    memory::Memory,
    network::Network,
};
use crate::{
    config::{AdminState, Config, Family, HostFacts, Resolved, ServiceFrontend, WhenDown},
    health::{Health, Machine, ProbeResult, Thresholds, Transition},
    tables::{
        desired::{self, BackendEntry, Choosing, Desired, Path, Socket},
        ids::{BackendIds, OutOfIds},
    },
};

/// The agent's knowledge.
pub struct State {
    config: Config,
    resolved: Resolved,
    ids: BackendIds,
    /// The id of each backend of the configuration, by its position.
    id_of: Vec<BackendId>,
    /// What the probes tell.
    machines: Machines,
    /// The number of each service in the choice tables, which stays while the service does.
    service_ids: BTreeMap<Socket, ServiceId>,
    /// The last members of each service that were healthy.
    last_good: BTreeMap<Socket, Vec<BackendId>>,
    /// The services that have no healthy backend.
    standings: Standings,
}

/// Why a configuration cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It does not fit this host.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// There are too many backends.
    #[error(transparent)]
    Ids(#[from] OutOfIds),
}

impl State {
    /// The first state, on this host, with the ids of a former agent and what it remembered of the backends.
    pub fn new(
        config: Config,
        host: &HostFacts,
        ids: BackendIds,
        former: Memory,
        now: Instant,
    ) -> Result<Self, Refusal> {
        let resolved = config.resolve(host)?;
        let mut state = Self {
            config,
            resolved,
            ids,
            id_of: Vec::new(),
            machines: Machines::default(),
            service_ids: BTreeMap::new(),
            last_good: former.last_good,
            standings: Standings::new(),
        };
        state.settle(&former.known, now)?;
        Ok(state)
    }

    /// Takes another configuration; what stays the same keeps its ids and its health. A refused one changes nothing.
    pub fn replace(&mut self, config: Config, host: &HostFacts, now: Instant) -> Result<(), Refusal> {
        let resolved = config.resolve(host)?;
        let former = (
            std::mem::replace(&mut self.config, config),
            std::mem::replace(&mut self.resolved, resolved),
            self.ids.clone(),
        );
        let settled = self.settle(&FormerHealth::new(), now);
        if settled.is_err() {
            (self.config, self.resolved, self.ids) = former;
        }
        settled
    }

    /// Learns what the host has to say about the configuration by now; where it fits no more, what was stays.
    pub fn look_again(&mut self, host: &HostFacts) {
        if let Ok(resolved) = self.config.resolve(host) {
            self.resolved.warnings = resolved.warnings;
        }
    }

    /// Gives ids and machines to what is new, and takes them from what is gone.
    fn settle(&mut self, former: &FormerHealth, now: Instant) -> Result<(), Refusal> {
        let mut id_of = Vec::with_capacity(self.config.backends.len());
        for backend in &self.config.backends {
            let addresses: Vec<IpAddr> = backend.addresses.iter().map(|address| address.value).collect();
            id_of.push(self.ids.acquire(&backend.name, &addresses)?);
        }
        self.ids.bury_all_but(&id_of);
        self.id_of = id_of;
        let thresholds = |probed: &Probed| {
            let timing = self.config.timing_of(&probed.service);
            Thresholds { rise: timing.rise.into(), fall: timing.fall.into() }
        };
        let probes = machines::wanted(&self.config, &self.resolved, &self.id_of);
        self.machines.settle(probes, thresholds, former, now);
        self.settle_services();
        Ok(())
    }

    fn settle_services(&mut self) {
        let wanted: BTreeSet<Socket> = self.resolved.frontends.iter().map(socket_of).collect();
        self.service_ids.retain(|socket, _| wanted.contains(socket));
        self.last_good.retain(|socket, _| wanted.contains(socket));
        for socket in wanted {
            let taken: BTreeSet<ServiceId> = self.service_ids.values().copied().collect();
            let free = (0..=ServiceId::MAX).find(|id| !taken.contains(id));
            // The configuration has no more services than there are numbers.
            self.service_ids.entry(socket).or_insert(free.unwrap_or(0));
        }
    }

    /// Gives the services the numbers that a former agent gave them, so that no new connection is sent by another
    /// service's choice while the tables are written.
    pub fn keep_service_ids(&mut self, former: &BTreeMap<Socket, ServiceEntry>) {
        self.service_ids = former.iter().map(|(socket, service)| (*socket, service.id)).collect();
        self.settle_services();
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration on this host.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The ids.
    pub fn ids(&self) -> &BackendIds {
        &self.ids
    }

    /// The id of a backend of the configuration.
    pub fn id_of(&self, backend: usize) -> BackendId {
        self.id_of.get(backend).copied().unwrap_or(0)
    }

    /// Every address of a backend, removed ones included while flows hold them.
    pub fn backend_addresses(&self) -> BTreeSet<IpAddr> {
        let live = self.config.backends.iter().flat_map(|backend| backend.addresses.iter().map(|a| a.value));
        live.chain(self.ids.tombstones().flat_map(|gone| gone.addresses.iter().copied())).collect()
    }

    /// The addresses of the backends that are not disabled.
    pub fn addresses_in_use(&self) -> BTreeSet<IpAddr> {
        let in_use = self.config.backends.iter().filter(|backend| backend.state != AdminState::Disabled);
        in_use.flat_map(|backend| backend.addresses.iter().map(|address| address.value)).collect()
    }

    /// Has the flows of a removed backend reset.
    pub fn cut(&mut self, id: BackendId) {
        self.ids.cut(id);
    }

    /// Gives back the ids of removed backends that no flow holds; whether there were any.
    pub fn release(&mut self, held: &BTreeSet<BackendId>) -> bool {
        let free: Vec<BackendId> =
            self.ids.tombstones().map(|gone| gone.id).filter(|id| !held.contains(id)).collect();
        for &id in &free {
            self.ids.release(id);
        }
        !free.is_empty()
    }

    /// The probes that are to run.
    pub fn probes(&self) -> Vec<Wanted> {
        machines::wanted(&self.config, &self.resolved, &self.id_of)
    }

    /// Takes in a probe's result.
    pub fn probed(&mut self, probed: &Probed, result: ProbeResult) -> Option<Transition> {
        self.machines.apply(probed, result)
    }

    /// The machine that tells the health of a backend on a frontend.
    pub fn machine(&self, frontend: &ServiceFrontend, id: BackendId) -> Option<&Machine> {
        self.machines.get(frontend, id)
    }

    /// Takes in evidence that did not come from a probe.
    pub fn suspect(&mut self, probed: &Probed, now: Instant) {
        self.machines.suspect(probed, now);
    }

    /// The machines.
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// The service with a probe of its own, and its family, that has this number in the tables.
    pub fn probed_on(&self, id: ServiceId) -> Option<(String, Family)> {
        let frontend = self.frontends_of(id).find(|frontend| frontend.probe.asks())?;
        Some((frontend.name.clone(), Family::of(frontend.vip)))
    }

    /// The VIPs and ports of a service of one family whose connections are reset when a backend is down.
    pub fn resetting(&self, service: &str, family: Family) -> BTreeSet<Socket> {
        let is_of = |frontend: &&ServiceFrontend| {
            frontend.name == service
                && Family::of(frontend.vip) == family
                && frontend.when_down == WhenDown::Reset
        };
        self.resolved.frontends.iter().filter(is_of).map(socket_of).collect()
    }

    fn frontends_of(&self, id: ServiceId) -> impl Iterator<Item = &ServiceFrontend> {
        let is_of =
            move |frontend: &&ServiceFrontend| self.service_ids.get(&socket_of(frontend)) == Some(&id);
        self.resolved.frontends.iter().filter(is_of)
    }

    /// The machine of a probe.
    pub fn machine_of(&self, probed: &Probed) -> Option<&Machine> {
        self.machines.machine(probed)
    }

    /// The health of a backend as a frontend sees it.
    pub fn health(&self, frontend: &ServiceFrontend, id: BackendId) -> Health {
        self.machines.health(frontend, id)
    }

    /// Since when it is that.
    pub fn since(&self, frontend: &ServiceFrontend, id: BackendId) -> Option<Instant> {
        self.machines.since(frontend, id)
    }

    /// How the services stand that have no healthy backend.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// What to make of a backend that is down on a frontend; `None` where it is not.
    pub fn silence(&self, frontend: &ServiceFrontend, id: BackendId) -> Option<Silence> {
        self.machines.silence(frontend, id)
    }

    /// What to make of it when a probe fails.
    pub fn silence_of(&self, probed: &Probed) -> Silence {
        self.machines.silence_of(probed)
    }

    /// Whether a service has ever answered on any backend.
    pub fn has_answered(&self, service: &str) -> bool {
        self.machines.has_answered(service)
    }

    /// The names of the services that stand so.
    pub fn standing(&self, so: impl Fn(Standing) -> bool) -> Vec<String> {
        self.standings.iter().filter(|(_, standing)| so(**standing)).map(|(name, _)| name.clone()).collect()
    }

    /// What the tables are to hold now. Remembers the members of each service that is healthy.
    pub fn desired(&mut self, network: &Network, now: Instant) -> Desired {
        let mut desired = Desired::default();
        let subnets = network.subnets();
        self.add_backends(&mut desired, network, &subnets);
        desired.our_addresses.extend(&self.resolved.vips);
        let frontends = std::mem::take(&mut self.resolved.frontends);
        self.standings.clear();
        for frontend in &frontends {
            self.add_frontend(&mut desired, frontend, now);
        }
        self.resolved.frontends = frontends;
        desired
    }

    fn add_backends(&self, desired: &mut Desired, network: &Network, subnets: &[(IpAddr, u8)]) {
        let live = self.config.backends.iter().zip(&self.id_of).flat_map(|(backend, &id)| {
            let reset = backend.state == AdminState::Disabled;
            backend.addresses.iter().map(move |address| (id, address.value, reset))
        });
        let gone = self
            .ids
            .tombstones()
            .flat_map(|gone| gone.addresses.iter().map(move |address| (gone.id, *address, gone.cut)));
        for (id, address, reset) in live.chain(gone) {
            let path = self.path_to(address, network, subnets);
            desired.our_addresses.extend(path.map(|path| path.snat_address));
            desired.backends.insert((id, address), BackendEntry { path, reset });
        }
    }

    fn path_to(&self, backend: IpAddr, network: &Network, subnets: &[(IpAddr, u8)]) -> Option<Path> {
        let (link, mac, source) = network.way_to(backend)?;
        let family = Family::of(backend);
        let configured =
            self.config.snat_addresses.iter().map(|address| address.value).find(|a| Family::of(*a) == family);
        let (snat_address, snat_is_vip) = match configured {
            Some(address) => (address, 0),
            None => (source?, desired::vips_on_subnet_of(backend, &self.resolved.vips, subnets)),
        };
        Some(Path { link, mac, snat_address, snat_is_vip })
    }

    fn add_frontend(&mut self, desired: &mut Desired, frontend: &ServiceFrontend, now: Instant) {
        let socket = socket_of(frontend);
        let id = self.service_ids.get(&socket).copied().unwrap_or(0);
        let vip = self.resolved.vips.iter().position(|vip| *vip == frontend.vip).unwrap_or(0) as u8;
        let entry: ServiceEntry = desired::service(id, frontend.policy, frontend.backend_port, vip);
        desired.services.insert(socket, entry);
        let family = Family::of(frontend.vip);
        for &backend in &frontend.backends {
            if let Some(address) = self.config.backends[backend].address(family) {
                desired.endpoints.insert((address, frontend.backend_port), self.id_of(backend));
            }
        }
        for gone in self.ids.tombstones() {
            for address in gone.addresses.iter().filter(|address| Family::of(**address) == family) {
                desired.endpoints.entry((*address, frontend.backend_port)).or_insert(gone.id);
            }
        }
        let members = self.members(frontend, socket, now);
        desired.choices.insert(id, Choosing { policy: frontend.policy, members });
    }
}

/// The VIP and port of a service.
fn socket_of(frontend: &ServiceFrontend) -> Socket {
    (frontend.vip, frontend.port)
}

#[cfg(test)]
mod tests;
