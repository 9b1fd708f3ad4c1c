//! What the model is told of the setting: the same as the maps are filled with.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
};

use lb_common::ports::PortRange;
use socket2::{Domain, Socket, Type};

use crate::{
    model::{
        Backend, Choice, Condition, Hop, Link, Policy, Route, Routes, Service, Tables, TimeOuts, Tuple, Way,
        tables::Unfinished,
    },
    rig::{
        Rig, TIMEOUTS, ip, now_ns, seconds,
        setting::{
            self, CONTROLLERS, Controller, FAMILIES, FIRST, FIRST_PORT, Family, GATEWAY_MAC, NEIGHBOUR_MAC,
            OUR_MAC, PORTS, SERVICES,
        },
    },
};

/// The backends: those of the rig, and so many that no list of attempts comes to its end by itself.
pub fn backends() -> Vec<Controller> {
    let more = (5..=12).map(|id| Controller {
        id,
        mac: [2, 0, 0, 0, 1, id as u8],
        link: 0,
        vip_is_source: id % 2 == 0,
    });
    CONTROLLERS.into_iter().chain(more).collect()
}

/// A host that is the balancer itself, with a connection to its own proxy.
const LOCAL_HOST: u8 = 250;

/// A connection of the host's own, which lives as long as this.
pub struct HostConnection {
    /// Its client's packets.
    pub key: Tuple,
    _ends: (TcpStream, TcpStream),
}

impl HostConnection {
    /// To a service of this family.
    pub fn open(family: Family) -> Self {
        let rest = if family == Family::V4 { "/32 dev lo" } else { "/128 dev lo nodad" };
        ip(&[format!("addr add {}{rest}", family.client(LOCAL_HOST))]);
        let service = family.service(setting::Service::Api);
        let listener = TcpListener::bind(service).expect("the VIP is the host's");
        let socket =
            Socket::new(Domain::for_address(service), Type::STREAM, None).expect("a socket can be made");
        let from = SocketAddr::new(family.client(LOCAL_HOST), 40_000);
        socket.bind(&from.into()).expect("the address is the host's");
        socket.connect(&service.into()).expect("the proxy listens");
        let (served, from) = listener.accept().expect("the client has connected");
        Self { key: (from, service), _ends: (socket.into(), served) }
    }
}

/// The tick that it is.
pub fn now() -> u32 {
    (now_ns() >> 24) as u32
}

/// The tables of the rig as they are in the beginning.
pub fn tables(rig: &Rig, host_connections: &[HostConnection], flow_table: u32) -> Tables {
    let mut tables = Tables {
        ours: HashSet::new(),
        services: HashMap::new(),
        endpoints: HashSet::new(),
        backends: HashMap::new(),
        choices: HashMap::new(),
        links: links(rig.interfaces),
        hash_key: rig.settings.hash_key,
        snat_ports: PortRange { first: FIRST_PORT, count: PORTS },
        time_outs: TimeOuts {
            established: TIMEOUTS.established,
            half_closed: TIMEOUTS.half_closed,
            half_open: TIMEOUTS.half_open,
            closed: TIMEOUTS.closed,
            time_wait: TIMEOUTS.time_wait,
        },
        collected: now(),
        uncollected_after: seconds(3600),
        capacity: flow_table as usize * 2,
        routes: routes(),
        host_connections: host_connections.iter().map(|connection| connection.key).collect(),
    };
    for family in FAMILIES {
        tables.ours.extend([family.vip(), family.snat()]);
        for service in SERVICES {
            of_service(&mut tables, family, service);
        }
        for controller in backends() {
            let backend = Backend {
                address: family.controller(controller),
                snat: family.snat(),
                vip_is_source: controller.vip_is_source,
                mac: controller.mac,
                link: controller.link as u8 + 1,
                condition: Condition::Active,
            };
            tables.backends.insert((family == Family::V4, controller.id), backend);
        }
    }
    tables
}

fn of_service(tables: &mut Tables, family: Family, service: setting::Service) {
    let all: Vec<u16> = CONTROLLERS.iter().map(|controller| controller.id).collect();
    let (policy, chosen) = match service {
        setting::Service::Agents => (Policy::Spread, all),
        setting::Service::Empty => (Policy::Maglev, Vec::new()),
        setting::Service::Api | setting::Service::Mapped => (Policy::Maglev, vec![FIRST.id]),
    };
    let (id, backend_port) = (service.id(family), service.backend_port());
    tables.services.insert(family.service(service), Service { id, backend_port, policy });
    tables.choices.insert(id, Choice { slots: chosen.clone(), list: chosen });
    for controller in backends() {
        tables.endpoints.insert(SocketAddr::new(family.controller(controller), backend_port));
    }
}

fn links(interfaces: [u32; 2]) -> Vec<Link> {
    let of = |index: usize| Link {
        id: index as u8 + 1,
        interface: interfaces[index],
        mac: OUR_MAC[index],
        unfinished: Unfinished::Never,
    };
    vec![of(0), of(1)]
}

fn routes() -> Routes {
    let mut routes = Routes::default();
    for family in FAMILIES {
        let (whole, subnet, forbidden) = if family == Family::V4 { (32, 24, 15) } else { (128, 64, 48) };
        let mut add = |network: IpAddr, length, way| routes.routes.push(Route { network, length, way });
        // The first that fits counts. The host's own address is no next hop.
        add(family.client(LOCAL_HOST), whole, Way::OnLink);
        add(family.client(0), subnet, Way::Gateway(family.gateway()));
        add(family.vip(), subnet, Way::OnLink);
        add(family.own_on_eth1(), subnet, Way::OnLink);
        add(family.unreachable(), forbidden, Way::Forbidden);
        routes.neighbours.insert(family.gateway(), Hop { mac: GATEWAY_MAC, link: 1 });
        routes.neighbours.insert(family.neighbour(), Hop { mac: NEIGHBOUR_MAC, link: 2 });
    }
    routes
}
