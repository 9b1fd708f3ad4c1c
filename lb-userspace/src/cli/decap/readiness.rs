//! Whether a controller is ready for DSR: what it must be like, against what it is like. Pure.
//!
//! A controller has the VIP, so that its sockets answer for it, and must not let the segment know: it answers no ARP for it
//! and asks with another address. In IPv6 an address of the loopback is never told on another interface.

use std::{collections::BTreeMap, net::IpAddr};

use super::listed;
use crate::{
    kernel::decap::{Pinned, Tunnels},
    net::{Address, Conduct, Facts, Interface, Scope},
};

/// What clients send when nobody tells them otherwise: the MTU of Ethernet.
const CLIENT_PACKET: u32 = 1500;

/// Something that is to be done, or to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether the controller is not ready until it is done.
    pub blocks: bool,
    /// What is there, in a clause.
    pub what: String,
    /// What to run.
    pub run: String,
}

/// What is wanted of the host.
pub(super) struct Wanted<'a> {
    /// The interfaces by which the tunnels come.
    pub interfaces: Vec<&'a Interface>,
    /// What is to be taken out of which tunnels.
    pub tunnels: &'a Tunnels,
    /// The command that attaches the program so.
    pub attach: String,
}

/// What the host is like.
pub(super) struct Host<'a> {
    /// Its interfaces and addresses.
    pub facts: &'a Facts,
    /// The conduct of each interface in IPv4.
    pub conduct: BTreeMap<String, Conduct>,
    /// The interface by which clients far away are answered, of IPv4.
    pub far_interface: Option<u32>,
    /// The largest segment that the routes to clients far away let them send, of IPv4 and IPv6.
    pub segment: [Option<u32>; 2],
    /// What is attached.
    pub attached: Attached,
}

/// What is known of the program.
pub(super) enum Attached {
    /// Nothing is attached, or this.
    Known(Option<Pinned>),
    /// The caller may not ask.
    Unknown,
}

/// Everything that is found, in the order in which it is to be done.
pub(super) fn findings(wanted: &Wanted<'_>, host: &Host<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for vip in &wanted.tunnels.vips {
        findings.extend(presence(*vip, host.facts));
    }
    for interface in host.facts.interfaces.values().filter(|interface| !interface.loopback) {
        let tunnels_come_by_it = wanted.interfaces.iter().any(|one| one.index == interface.index);
        findings.extend(discretion(wanted.tunnels, interface, host, tunnels_come_by_it));
    }
    for interface in &wanted.interfaces {
        if !interface.up {
            let run = format!("ip link set dev {} up", interface.name);
            findings.push(blocking(format!("{} is down", interface.name), run));
        }
        findings.extend(return_path(wanted.tunnels, interface, host));
        findings.extend(room(wanted.tunnels, interface, host));
        findings.extend(merging(interface, host));
    }
    findings.extend(attachment(wanted, &host.attached));
    findings
}

fn blocking(what: String, run: String) -> Finding {
    Finding { blocks: true, what, run }
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The VIP is on a loopback or a dummy interface, and alone there: a longer prefix makes a whole subnet this host's own.
fn presence(vip: IpAddr, facts: &Facts) -> Option<Finding> {
    let prefix = host_prefix(vip);
    let Some(owner) = facts.owner_of(vip) else {
        let run = format!("ip addr add {vip}/{prefix} dev lo");
        return Some(blocking(format!("no interface has {vip}, so nothing here answers for it"), run));
    };
    let found = owner.addresses.iter().find(|address| address.address == vip)?;
    let name = &owner.name;
    let away = format!("ip addr del {vip}/{} dev {name}", found.prefix_len);
    if !owner.loopback && owner.kind.as_deref() != Some("dummy") {
        let run = format!("{away} && ip addr add {vip}/{prefix} dev lo");
        return Some(blocking(format!("{vip} is on {name}, where its neighbours are told so"), run));
    }
    if found.prefix_len != prefix {
        let run = format!("{away} && ip addr add {vip}/{prefix} dev {name}");
        return Some(blocking(format!("{vip} has the prefix /{} on {name}", found.prefix_len), run));
    }
    (!owner.up).then(|| blocking(format!("{name} with {vip} is down"), format!("ip link set dev {name} up")))
}

/// The IPv4 VIPs of which an interface's segment may hear.
fn on_segment<'a>(tunnels: &'a Tunnels, interface: &Interface) -> Vec<&'a IpAddr> {
    let is_there = |vip: &&IpAddr| interface.addresses.iter().any(|address| contains(address, **vip));
    tunnels.vips.iter().filter(|vip| vip.is_ipv4()).filter(is_there).collect()
}

/// Whether an address is in the subnet of another one, which is IPv4.
fn contains(own: &Address, vip: IpAddr) -> bool {
    let (IpAddr::V4(own_address), IpAddr::V4(vip)) = (own.address, vip) else { return false };
    let mask = u32::MAX.checked_shl(32 - u32::from(own.prefix_len)).unwrap_or(0);
    own.prefix_len < 32 && (own_address.to_bits() ^ vip.to_bits()) & mask == 0
}

/// The segments of the VIPs do not hear of them by ARP: neither in answers, nor as the sender of questions.
fn discretion(
    tunnels: &Tunnels,
    interface: &Interface,
    host: &Host<'_>,
    tunnels_come_by_it: bool,
) -> Vec<Finding> {
    let vips = on_segment(tunnels, interface);
    let Some(conduct) = host.conduct.get(&interface.name) else { return Vec::new() };
    let (name, mut findings) = (&interface.name, Vec::new());
    let is_hidden = |vip: &&IpAddr| match conduct.arp_ignore {
        1 | 2 | 8 => true,
        3 => scope(host.facts, **vip) == Some(Scope::Host),
        _ => false,
    };
    let told: Vec<&IpAddr> = vips.iter().filter(|vip| !is_hidden(vip)).copied().collect();
    if !told.is_empty() {
        let what = format!("{name} answers ARP for {}, and takes it from the balancer", listed(told));
        findings.push(blocking(what, sysctl(name, "arp_ignore", 1)));
    }
    let asks_with_it = conduct.arp_announce < 2 && tunnels.vips.iter().any(IpAddr::is_ipv4);
    if asks_with_it && (tunnels_come_by_it || !vips.is_empty()) {
        let what = format!("{name} asks for its neighbours in the name of a VIP");
        findings.push(blocking(what, sysctl(name, "arp_announce", 2)));
    }
    findings
}

fn scope(facts: &Facts, vip: IpAddr) -> Option<Scope> {
    let owner = facts.owner_of(vip)?;
    owner.addresses.iter().find(|address| address.address == vip).map(|address| address.scope)
}

/// The command that sets a sysctl of an interface, whose name may have dots.
fn sysctl(interface: &str, name: &str, value: u32) -> String {
    if interface.contains('.') {
        return format!("sysctl -w net/ipv4/conf/{interface}/{name}={value}");
    }
    format!("sysctl -w net.ipv4.conf.{interface}.{name}={value}")
}

/// Packets of clients come by this interface, though the way back to them may be another.
fn return_path(tunnels: &Tunnels, interface: &Interface, host: &Host<'_>) -> Option<Finding> {
    let strict = host.conduct.get(&interface.name).is_some_and(|conduct| conduct.rp_filter == 1);
    let another = |index: u32| index != interface.index;
    let far = host.far_interface.filter(|index| another(*index));
    let near = host
        .facts
        .interfaces
        .values()
        .find(|other| another(other.index) && !other.loopback && !on_segment(tunnels, other).is_empty());
    let elsewhere = far.and_then(|index| host.facts.interfaces.get(&index)).or(near)?;
    let has_ipv4 = tunnels.vips.iter().any(IpAddr::is_ipv4);
    (strict && has_ipv4).then(|| {
        let (name, other) = (&interface.name, &elsewhere.name);
        let what =
            format!("{name} drops the packets of clients, who are answered by {other} (rp_filter is 1)");
        blocking(what, sysctl(name, "rp_filter", 2))
    })
}

/// Bytes that the outer headers add at the most: IP of the VIP's own family, and UDP.
fn overhead(vip: IpAddr) -> u32 {
    const UDP: u32 = 8;
    ip_header(vip) + UDP
}

fn ip_header(vip: IpAddr) -> u32 {
    if vip.is_ipv4() { 20 } else { 40 }
}

/// A client's packet of full size fits into a tunnel, or the client is told to send smaller ones.
fn room(tunnels: &Tunnels, interface: &Interface, host: &Host<'_>) -> Option<Finding> {
    const TCP: u32 = 20;
    let is_tight = |vip: &&IpAddr| {
        let largest = host.segment[usize::from(vip.is_ipv6())]
            .map_or(CLIENT_PACKET, |segment| CLIENT_PACKET.min(segment + TCP + ip_header(**vip)));
        largest + overhead(**vip) > interface.mtu
    };
    let vip = tunnels.vips.iter().filter(is_tight).max_by_key(|vip| overhead(**vip))?;
    let (name, mtu, overhead) = (&interface.name, interface.mtu, overhead(*vip));
    let segment = mtu.saturating_sub(overhead + ip_header(*vip) + TCP);
    let what = format!(
        "{name} carries {mtu} bytes, and a tunnel adds up to {overhead} to a client's {CLIENT_PACKET}: give it, the balancers \
         and the switches between them room, or let the routes to the clients announce segments of {segment} (advmss)"
    );
    Some(blocking(what, format!("ip link set dev {name} mtu {}", CLIENT_PACKET + overhead)))
}

/// A device that merges segments leaves no tunnels to be found.
fn merging(interface: &Interface, host: &Host<'_>) -> Option<Finding> {
    let name = &interface.name;
    host.conduct.get(name).is_some_and(|conduct| conduct.merges_segments).then(|| Finding {
        blocks: false,
        what: format!("the device of {name} merges segments (LRO), which native XDP does not take"),
        run: format!("ethtool -K {name} lro off"),
    })
}

/// The program is on these interfaces, with these VIPs.
fn attachment(wanted: &Wanted<'_>, attached: &Attached) -> Option<Finding> {
    let run = wanted.attach.clone();
    let found = match attached {
        Attached::Known(found) => found.as_ref(),
        Attached::Unknown => {
            let what = "whether the program is attached with these VIPs only root can tell".into();
            return Some(Finding { blocks: false, what, run });
        }
    };
    let missing: Vec<&str> = wanted
        .interfaces
        .iter()
        .map(|interface| interface.name.as_str())
        .filter(|name| !found.is_some_and(|found| found.interfaces.iter().any(|one| one == name)))
        .collect();
    if !missing.is_empty() {
        return Some(blocking(
            format!("nothing on {} takes packets out of tunnels", missing.join(", ")),
            run,
        ));
    }
    let found = &found?.tunnels;
    if found.gue_port != wanted.tunnels.gue_port {
        return Some(blocking(format!("gue is awaited on port {}", found.gue_port), run));
    }
    let others = wanted.tunnels.vips.difference(&found.vips);
    let others = listed(others);
    (!others.is_empty()).then(|| blocking(format!("the program does not know {others}"), run))
}

#[cfg(test)]
mod tests;
