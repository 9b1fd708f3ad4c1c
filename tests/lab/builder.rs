//! Turns a plan into namespaces, a switch and cables.

use std::{collections::BTreeMap, fs, sync::Once};

use anyhow::{Context, Result, ensure};

use crate::{
    cleanup,
    lab::Lab,
    names,
    namespace::Namespace,
    pass,
    plan::{
        Family, Interface, MOST_CLIENT_ADDRESSES, MOST_CONTROLLERS, Node, Plan, Segment, Topology,
        VipPlacement,
    },
};

/// What a lab shall be like; see the methods.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    plan: Plan,
    offload: bool,
    gro: bool,
    pass_programs: bool,
    id: Option<String>,
}

impl Default for LabBuilder {
    fn default() -> Self {
        let plan = Plan {
            topology: Topology::OneArmed,
            vip: VipPlacement::Additional,
            controllers: 3,
            client_addresses: 1,
        };
        Self { plan, offload: true, gro: false, pass_programs: false, id: None }
    }
}

impl LabBuilder {
    /// How the segments hang together; one-armed unless said.
    #[must_use]
    pub fn topology(mut self, topology: Topology) -> Self {
        self.plan.topology = topology;
        self
    }

    /// Where the VIP is; beside an address of the host's own unless said.
    #[must_use]
    pub fn vip(mut self, placement: VipPlacement) -> Self {
        self.plan.vip = placement;
        self
    }

    /// How many controllers; three unless said.
    #[must_use]
    pub fn controllers(mut self, count: u8) -> Self {
        self.plan.controllers = count;
        self
    }

    /// How many addresses the client has; one unless said.
    #[must_use]
    pub fn client_addresses(mut self, count: u8) -> Self {
        self.plan.client_addresses = count;
        self
    }

    /// Do the hosts leave checksums and segmentation to the "hardware", as veth does unless told?
    #[must_use]
    pub fn offload(mut self, on: bool) -> Self {
        self.offload = on;
        self
    }

    /// Do the hosts aggregate what they receive?
    #[must_use]
    pub fn gro(mut self, on: bool) -> Self {
        self.gro = on;
        self
    }

    /// Prepares the lab for native XDP: a PASS program on the switch's ends, without which veth leaves frames
    /// sent by `XDP_TX` in the ring, and offload off, without which their checksums are unfinished.
    #[must_use]
    pub fn native(mut self) -> Self {
        self.pass_programs = true;
        self.offload = false;
        self
    }

    /// The lab gets this id, and what runs in it may outlive this process; an older one of that id is removed
    /// first. Say [`Lab::keep`] for it to stay when it is dropped.
    #[must_use]
    pub fn called(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Makes it. What was made so far is removed again when a step fails.
    pub fn build(self) -> Result<Lab> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(cleanup::sweep_stale);
        ensure!(
            (1..=MOST_CONTROLLERS).contains(&self.plan.controllers),
            "a lab has 1 to {MOST_CONTROLLERS} controllers"
        );
        ensure!(
            (1..=MOST_CLIENT_ADDRESSES).contains(&self.plan.client_addresses),
            "a client has 1 to {MOST_CLIENT_ADDRESSES} addresses"
        );
        let id = self.id.clone().unwrap_or_else(names::fresh_id);
        if self.id.is_some() {
            ensure!(
                !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase()),
                "the id of a lab is lower-case letters, not {id:?}"
            );
            cleanup::remove(&id);
        }
        let built = self.lay_out(&id);
        if built.is_err() {
            cleanup::remove(&id);
        }
        built.with_context(|| format!("cannot make lab {id}"))
    }

    fn lay_out(self, id: &str) -> Result<Lab> {
        let directory = names::directory(id);
        fs::create_dir_all(directory.join("bpf"))
            .with_context(|| format!("cannot make {}; run as root", directory.display()))?;
        let dies_with_us = self.id.is_none();
        let create = |node: &str| Namespace::create(&names::namespace(id, node), dies_with_us);

        let switch = create("switch")?;
        switch.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        let bridges: Vec<String> = self.plan.segments().into_iter().flat_map(bridge_lines).collect();
        switch.ip_batch(&bridges)?;

        let mut nodes = BTreeMap::new();
        for node in self.plan.nodes() {
            let namespace = create(&node.name)?;
            self.wire(&switch, &namespace, &node)?;
            nodes.insert(node.name.clone(), namespace);
        }
        let ports = self.plan.nodes().iter().flat_map(ports_of).collect::<Vec<_>>();
        let pass_programs = if self.pass_programs { pass::attach(&switch, &ports)? } else { Vec::new() };
        Ok(Lab::new(id.into(), directory, self.plan, switch, nodes, pass_programs))
    }

    fn wire(&self, switch: &Namespace, host: &Namespace, node: &Node) -> Result<()> {
        // No duplicate address detection: an address is to be there when the lab is.
        for scope in ["all", "default"] {
            host.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
            host.sysctl(&format!("net.ipv6.conf.{scope}.accept_ra"), "0")?;
        }
        if node.forwards {
            host.sysctl("net.ipv4.ip_forward", "1")?;
            host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        }
        let cables: Vec<String> = node
            .interfaces
            .iter()
            .flat_map(|interface| cable_lines(host, &port_name(&node.name, interface), interface))
            .collect();
        switch.ip_batch(&cables)?;
        host.ip_batch(&node.interfaces.iter().flat_map(address_lines).collect::<Vec<_>>())?;
        if let Some(segment) = node.default_route {
            host.ip_batch(&route_lines(segment))?;
        }
        for interface in &node.interfaces {
            self.set_features(host, &interface.name)?;
        }
        Ok(())
    }

    fn set_features(&self, host: &Namespace, interface: &str) -> Result<()> {
        if !self.offload {
            let off = ["-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off"];
            host.exec("ethtool", &off)?;
        }
        if self.gro {
            host.exec("ethtool", &["-K", interface, "gro", "on"])?;
        }
        Ok(())
    }
}

/// The switch's end of an interface's cable: `xlb-c1`, `xlb-lb`, and `xlb-lb1` for a second one.
pub(crate) fn port_name(node: &str, interface: &Interface) -> String {
    let number = interface.name.trim_start_matches(names::PREFIX);
    let number = if number == "0" { "" } else { number };
    format!("{}-{node}{number}", names::PREFIX)
}

fn ports_of(node: &Node) -> Vec<String> {
    node.interfaces.iter().map(|interface| port_name(&node.name, interface)).collect()
}

fn bridge_lines(segment: Segment) -> [String; 2] {
    let bridge = segment.bridge();
    [
        format!("link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
        format!("link set {bridge} up"),
    ]
}

fn cable_lines(host: &Namespace, port: &str, interface: &Interface) -> [String; 2] {
    let Interface { name, segment, .. } = interface;
    [
        format!("link add {port} type veth peer name {name} netns {}", host.name()),
        format!("link set {port} master {} up", segment.bridge()),
    ]
}

fn address_lines(interface: &Interface) -> Vec<String> {
    let Interface { name, segment, hosts } = interface;
    let mut lines = vec![format!("link set {name} up")];
    for host in hosts {
        lines.push(format!("addr add {}/24 dev {name}", segment.address(Family::V4, *host)));
        lines.push(format!("addr add {}/64 dev {name} nodad", segment.address(Family::V6, *host)));
    }
    lines
}

fn route_lines(segment: Segment) -> [String; 2] {
    [
        format!("route add default via {}", Plan::router(Family::V4, segment)),
        format!("route add ::/0 via {}", Plan::router(Family::V6, segment)),
    ]
}
