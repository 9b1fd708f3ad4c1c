//! Which nodes a lab has, on which segments, with which addresses. Pure: nothing here touches the machine.
//!
//! The address plan is the same in every lab, as each lab has namespaces of its own:
//!
//! | segment | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | front | 10.77.0.0/24 | `fd77::/64` |
//! | back | 10.77.1.0/24 | `fd77:0:0:1::/64` |
//! | far | 10.77.2.0/24 | `fd77:0:0:2::/64` |
//!
//! Hosts: router 1, balancer 2, VIP 10, controllers from 11, client addresses from 100.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How client, balancer and controllers hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// All on one segment; the balancer has one interface.
    OneArmed,
    /// Client on the front, controllers on the back segment; the balancer has an interface on each. There is
    /// no route between the two.
    TwoArmed,
    /// As one-armed, but the client lives behind a router.
    Routed,
}

/// Where the balancer's host has the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipPlacement {
    /// Beside an address of its own.
    Additional,
    /// The VIP is the only address on the front.
    OnlyAddress,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An L2 segment: one bridge in the switch's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Where the VIP is.
    Front,
    /// Where the controllers of a two-armed lab are.
    Back,
    /// Where the client of a routed lab is.
    Far,
}

impl Segment {
    const fn number(self) -> u8 {
        match self {
            Self::Front => 0,
            Self::Back => 1,
            Self::Far => 2,
        }
    }

    /// The bridge's name in the switch's namespace.
    pub fn bridge(self) -> String {
        format!("xlbbr{}", self.number())
    }

    /// A host's address on this segment.
    pub fn address(self, family: Family, host: u8) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 77, self.number(), host).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 0, 0, self.number().into(), 0, 0, 0, host.into()).into(),
        }
    }
}

/// One interface of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the node's namespace: `xlb0`, `xlb1`.
    pub name: String,
    /// The segment it is plugged into.
    pub segment: Segment,
    /// The host numbers it answers to, the primary first.
    pub hosts: Vec<u8>,
}

/// One host of the lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `client`, `lb`, `router`, `c1`…
    pub name: String,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Does its default route go by the router, and on which segment?
    pub default_route: Option<Segment>,
    /// Does it route?
    pub forwards: bool,
}

const ROUTER: u8 = 1;
const BALANCER: u8 = 2;
const VIP: u8 = 10;
const FIRST_CONTROLLER: u8 = 11;
const FIRST_CLIENT: u8 = 100;
/// Controllers end before the clients begin.
pub const MOST_CONTROLLERS: u8 = FIRST_CLIENT - FIRST_CONTROLLER;
/// The last octet ends at 254.
pub const MOST_CLIENT_ADDRESSES: u8 = 254 - FIRST_CLIENT + 1;

/// The whole lab on paper.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the segments hang together.
    pub topology: Topology,
    /// Where the VIP is.
    pub vip: VipPlacement,
    /// How many controllers.
    pub controllers: u8,
    /// How many addresses the client has.
    pub client_addresses: u8,
}

impl Plan {
    /// The VIP.
    pub fn vip(&self, family: Family) -> IpAddr {
        Segment::Front.address(family, VIP)
    }

    /// A service on the VIP.
    pub fn service(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.vip(family), port)
    }

    /// A controller's address; controllers count from one.
    pub fn controller(&self, family: Family, number: u8) -> IpAddr {
        self.controller_segment().address(family, FIRST_CONTROLLER + number - 1)
    }

    /// One of the client's addresses, counted from zero.
    pub fn client(&self, family: Family, number: u8) -> IpAddr {
        self.client_segment().address(family, FIRST_CLIENT + number)
    }

    /// The balancer's own interfaces, front first.
    pub fn balancer_interfaces(&self) -> Vec<String> {
        self.balancer().interfaces.into_iter().map(|interface| interface.name).collect()
    }

    /// The router's address on a segment.
    pub fn router(family: Family, segment: Segment) -> IpAddr {
        segment.address(family, ROUTER)
    }

    /// The segments in use.
    pub fn segments(&self) -> Vec<Segment> {
        match self.topology {
            Topology::OneArmed => vec![Segment::Front],
            Topology::TwoArmed => vec![Segment::Front, Segment::Back],
            Topology::Routed => vec![Segment::Front, Segment::Far],
        }
    }

    /// Every host but the switch.
    pub fn nodes(&self) -> Vec<Node> {
        let mut nodes = vec![self.client_node(), self.balancer()];
        nodes.extend((1..=self.controllers).map(|number| self.controller_node(number)));
        if self.topology == Topology::Routed {
            nodes.push(router());
        }
        nodes
    }

    fn controller_segment(&self) -> Segment {
        if self.topology == Topology::TwoArmed { Segment::Back } else { Segment::Front }
    }

    fn client_segment(&self) -> Segment {
        if self.topology == Topology::Routed { Segment::Far } else { Segment::Front }
    }

    /// The default route of a host on the front, which only a routed lab has.
    fn front_route(&self) -> Option<Segment> {
        (self.topology == Topology::Routed).then_some(Segment::Front)
    }

    fn client_node(&self) -> Node {
        let segment = self.client_segment();
        let hosts = (0..self.client_addresses).map(|number| FIRST_CLIENT + number).collect();
        Node {
            name: "client".into(),
            interfaces: vec![interface(0, segment, hosts)],
            default_route: (segment == Segment::Far).then_some(segment),
            forwards: false,
        }
    }

    fn balancer(&self) -> Node {
        let hosts = match self.vip {
            VipPlacement::Additional => vec![BALANCER, VIP],
            VipPlacement::OnlyAddress => vec![VIP],
        };
        let mut interfaces = vec![interface(0, Segment::Front, hosts)];
        if self.topology == Topology::TwoArmed {
            interfaces.push(interface(1, Segment::Back, vec![BALANCER]));
        }
        Node { name: "lb".into(), interfaces, default_route: self.front_route(), forwards: false }
    }

    fn controller_node(&self, number: u8) -> Node {
        let hosts = vec![FIRST_CONTROLLER + number - 1];
        Node {
            name: format!("c{number}"),
            interfaces: vec![interface(0, self.controller_segment(), hosts)],
            default_route: self.front_route(),
            forwards: false,
        }
    }
}

fn router() -> Node {
    Node {
        name: "router".into(),
        interfaces: vec![
            interface(0, Segment::Front, vec![ROUTER]),
            interface(1, Segment::Far, vec![ROUTER]),
        ],
        default_route: None,
        forwards: true,
    }
}

fn interface(number: u8, segment: Segment, hosts: Vec<u8>) -> Interface {
    Interface { name: format!("xlb{number}"), segment, hosts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(topology: Topology) -> Plan {
        Plan { topology, vip: VipPlacement::Additional, controllers: 3, client_addresses: 2 }
    }

    #[test]
    fn addresses_never_meet() {
        for topology in [Topology::OneArmed, Topology::TwoArmed, Topology::Routed] {
            let plan = plan(topology);
            let mut seen = Vec::new();
            for node in plan.nodes() {
                for interface in node.interfaces {
                    for host in interface.hosts {
                        let address = interface.segment.address(Family::V4, host);
                        assert!(!seen.contains(&address), "{address} is given twice in {topology:?}");
                        seen.push(address);
                    }
                }
            }
        }
    }

    #[test]
    fn a_two_armed_balancer_has_two_interfaces() {
        assert_eq!(plan(Topology::TwoArmed).balancer_interfaces(), ["xlb0", "xlb1"]);
        assert_eq!(plan(Topology::Routed).balancer_interfaces(), ["xlb0"]);
    }

    #[test]
    fn the_services_are_where_the_table_says() {
        let plan = plan(Topology::TwoArmed);
        assert_eq!(plan.service(Family::V4, 6443).to_string(), "10.77.0.10:6443");
        assert_eq!(plan.service(Family::V6, 6443).to_string(), "[fd77::a]:6443");
        assert_eq!(plan.controller(Family::V4, 2).to_string(), "10.77.1.12");
    }
}
