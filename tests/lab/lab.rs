//! A lab that stands.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result};

use crate::{
    builder::{LabBuilder, port_name},
    cleanup,
    namespace::Namespace,
    plan::{Family, Node, Plan, Segment},
};

/// Hosts, a switch and cables. Dropping it ends what runs inside and removes everything, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    id: String,
    directory: PathBuf,
    plan: Plan,
    keep: bool,
    switch: Namespace,
    nodes: BTreeMap<String, Namespace>,
    /// The links of the PASS programs: closing one detaches it.
    _pass_programs: Vec<OwnedFd>,
}

impl Lab {
    /// A one-armed lab with three controllers, until told otherwise.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// Removes the labs of processes that no longer live.
    pub fn sweep_stale() {
        cleanup::sweep_stale();
    }

    pub(crate) fn new(
        id: String,
        directory: PathBuf,
        plan: Plan,
        switch: Namespace,
        nodes: BTreeMap<String, Namespace>,
        pass_programs: Vec<OwnedFd>,
    ) -> Self {
        Self { id, directory, plan, keep: false, switch, nodes, _pass_programs: pass_programs }
    }

    /// What tells this lab from others.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its directory for configuration, sockets and logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who has which address.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The namespace of `client`, `lb`, `router`, `c1`….
    pub fn namespace(&self, node: &str) -> Result<&Namespace> {
        self.nodes.get(node).with_context(|| {
            let known: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
            format!("this lab has no {node}; it has {}", known.join(", "))
        })
    }

    /// The switch's namespace.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// The controllers' names: `c1`, `c2`….
    pub fn controllers(&self) -> Vec<String> {
        (1..=self.plan.controllers).map(|number| format!("c{number}")).collect()
    }

    /// A service on the VIP, by IPv4.
    pub fn service(&self, port: u16) -> SocketAddr {
        self.plan.service(Family::V4, port)
    }

    /// A service on the VIP, by IPv6.
    pub fn service_v6(&self, port: u16) -> SocketAddr {
        self.plan.service(Family::V6, port)
    }

    /// Runs a command on a node to its end; a failure is an error.
    pub fn exec_in(&self, node: &str, program: &str, arguments: &[&str]) -> Result<Output> {
        self.namespace(node)?.exec(program, arguments)
    }

    /// Pulls a node's cables: silence, as when the host lost power. Its addresses and routes stay.
    pub fn link_down(&self, node: &str) -> Result<()> {
        self.set_links(node, "down")
    }

    /// Puts the cables back.
    pub fn link_up(&self, node: &str) -> Result<()> {
        self.set_links(node, "up")
    }

    /// The switch forwards nothing of a node's any more, nor to it; the node keeps its carrier.
    pub fn mute(&self, node: &str) -> Result<()> {
        self.set_ports(node, |port, _| format!("link set {port} nomaster"))
    }

    /// The switch forwards again.
    pub fn unmute(&self, node: &str) -> Result<()> {
        self.set_ports(node, |port, segment| format!("link set {port} master {}", segment.bridge()))
    }

    fn set_links(&self, name: &str, state: &str) -> Result<()> {
        self.set_ports(name, |port, _| format!("link set {port} {state}"))
    }

    /// Changes the switch's end of each of a node's cables.
    fn set_ports(&self, name: &str, line: impl Fn(&str, Segment) -> String) -> Result<()> {
        self.namespace(name)?;
        let node = |node: &Node| node.name == name;
        let interfaces = self.plan.nodes().into_iter().filter(node).flat_map(|node| node.interfaces);
        let lines: Vec<String> =
            interfaces.map(|interface| line(&port_name(name, &interface), interface.segment)).collect();
        self.switch.ip_batch(&lines)
    }

    /// It stays when it is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keep {
            cleanup::remove(&self.id);
        }
    }
}
