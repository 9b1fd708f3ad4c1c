//! What is around the balancer in every test: addresses, links, services, backends. The same for both families.
//!
//! ```text
//!  client ── gateway ── eth0 ┌───────────┐ ── controllers 1, 2, 4
//!                            │ balancer  │
//!  other client (on link) ── eth1 ───────┘ ── controller 3
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::packet::Mac;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Both families, for tables that are run twice.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The balancer's own link-layer addresses, on eth0 and eth1.
pub const OUR_MAC: [Mac; 2] = [[2, 0, 0, 0, 0, 0x10], [2, 0, 0, 0, 0, 0x11]];
/// The router on eth0, behind which the clients are.
pub const GATEWAY_MAC: Mac = [2, 0, 0, 0, 0, 0x20];
/// The client that is on eth1 itself.
pub const NEIGHBOUR_MAC: Mac = [2, 0, 0, 0, 0, 0x21];

/// The lowest SNAT port.
pub const FIRST_PORT: u16 = 10_000;
/// How many SNAT ports.
pub const PORTS: u16 = 20_000;

/// A controller.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    /// Its id in the backend arrays.
    pub id: u16,
    /// Its link-layer address.
    pub mac: Mac,
    /// Which link leads to it: 0 is eth0.
    pub link: usize,
    /// Whether the VIP itself is the source towards it.
    pub vip_is_source: bool,
}

const fn controller(id: u8, link: usize, vip_is_source: bool) -> Controller {
    Controller { id: id as u16, mac: [2, 0, 0, 0, 1, id], link, vip_is_source }
}

/// On eth0, reached from the SNAT address.
pub const FIRST: Controller = controller(1, 0, false);
/// On eth0, reached from the VIP.
pub const SECOND: Controller = controller(2, 0, true);
/// On eth1.
pub const THIRD: Controller = controller(3, 1, false);
/// On eth0.
pub const FOURTH: Controller = controller(4, 0, false);
/// All of them.
pub const CONTROLLERS: [Controller; 4] = [FIRST, SECOND, THIRD, FOURTH];

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The Kubernetes API: `maglev`, the same port at the backends.
    Api,
    /// Konnectivity agents: `spread`.
    Agents,
    /// `maglev`, another port at the backends.
    Mapped,
    /// Nobody serves it.
    Empty,
}

/// All of them.
pub const SERVICES: [Service; 4] = [Service::Api, Service::Agents, Service::Mapped, Service::Empty];

impl Service {
    /// Its port at the VIP.
    pub fn port(self) -> u16 {
        match self {
            Self::Api => 6443,
            Self::Agents => 8132,
            Self::Mapped => 443,
            Self::Empty => 9443,
        }
    }

    /// Its port at the backends.
    pub fn backend_port(self) -> u16 {
        if self == Self::Mapped { 16_443 } else { self.port() }
    }

    /// Its index in the choice tables; both families have services of their own.
    pub fn id(self, family: Family) -> u8 {
        self as u8 + if family == Family::V4 { 1 } else { 11 }
    }
}

impl Family {
    fn pick(self, v4: &str, v6: &str) -> IpAddr {
        let text = if self == Self::V4 { v4 } else { v6 };
        text.parse().expect("the setting's addresses are addresses")
    }

    /// The VIP.
    pub fn vip(self) -> IpAddr {
        self.pick("192.0.2.10", "2001:db8:2::10")
    }

    /// The SNAT address.
    pub fn snat(self) -> IpAddr {
        self.pick("192.0.2.11", "2001:db8:2::11")
    }

    /// The gateway on eth0.
    pub fn gateway(self) -> IpAddr {
        self.pick("192.0.2.1", "2001:db8:2::1")
    }

    /// A host behind the gateway, by its number.
    pub fn client(self, number: u8) -> IpAddr {
        self.pick(&format!("198.51.100.{number}"), &format!("2001:db8:100::{number:x}"))
    }

    /// A client on eth1 itself.
    pub fn neighbour(self) -> IpAddr {
        self.pick("203.0.113.5", "2001:db8:113::5")
    }

    /// A client on eth1 itself whose link-layer address the kernel does not know.
    pub fn stranger(self) -> IpAddr {
        self.pick("203.0.113.6", "2001:db8:113::6")
    }

    /// A client to whom the way is forbidden.
    pub fn unreachable(self) -> IpAddr {
        self.pick("198.18.0.1", "2001:db8:dead::1")
    }

    /// The balancer's own address on eth1.
    pub fn own_on_eth1(self) -> IpAddr {
        self.pick("203.0.113.1", "2001:db8:113::1")
    }

    /// An address that is not ours.
    pub fn foreign(self) -> IpAddr {
        self.pick("192.0.2.77", "2001:db8:2::77")
    }

    /// A controller's address.
    pub fn controller(self, controller: Controller) -> IpAddr {
        let id = controller.id;
        self.pick(&format!("10.0.0.{id}"), &format!("2001:db8:a::{id:x}"))
    }

    /// The source address towards a controller.
    pub fn source_towards(self, controller: Controller) -> IpAddr {
        if controller.vip_is_source { self.vip() } else { self.snat() }
    }

    /// A service at the VIP.
    pub fn service(self, service: Service) -> SocketAddr {
        SocketAddr::new(self.vip(), service.port())
    }

    fn prefixes(self) -> (u8, &'static str, &'static str) {
        if self == Self::V4 {
            (24, "198.51.100.0/24", "198.18.0.0/15")
        } else {
            (64, "2001:db8:100::/64", "2001:db8:dead::/48")
        }
    }

    /// What `ip` is told of this family. eth1 is the second link.
    pub fn layout(self) -> Vec<String> {
        let (length, clients, forbidden) = self.prefixes();
        let no_detection = if self == Self::V6 { "nodad" } else { "" };
        vec![
            format!("addr add {}/{length} dev eth0 {no_detection}", self.vip()),
            format!("addr add {}/{length} dev eth0 {no_detection}", self.snat()),
            format!("addr add {}/{length} dev eth1 {no_detection}", self.own_on_eth1()),
            format!("neigh add {} lladdr {} dev eth0 nud permanent", self.gateway(), text(GATEWAY_MAC)),
            format!("neigh add {} lladdr {} dev eth1 nud permanent", self.neighbour(), text(NEIGHBOUR_MAC)),
            format!("route add {clients} via {} dev eth0", self.gateway()),
            format!("route add unreachable {forbidden}"),
        ]
    }
}

/// The two links: a veth each, with its far end in the same namespace.
pub fn links() -> Vec<String> {
    let of = |number: usize| {
        [
            format!("link add eth{number} address {} type veth peer name far{number}", text(OUR_MAC[number])),
            format!("link set eth{number} up"),
            format!("link set far{number} up"),
        ]
    };
    ["link set lo up".into()].into_iter().chain(of(0)).chain(of(1)).collect()
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
