//! One connection of a client: what its two ends say, mostly in turn.

use std::net::SocketAddr;

use lb_common::tcp::State;

use super::{Style, shape};
use crate::{
    icmp::IcmpError,
    model::{Entry, Model, Tuple},
    packet::{
        Mac, Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    program::TIERS,
    random::Random,
    rig::setting::{CONTROLLERS, Family, GATEWAY_MAC, NEIGHBOUR_MAC, OUR_MAC, Service},
    story::Step,
    world,
};

/// A client's connection to a service.
pub struct Talk {
    family: Family,
    service: Service,
    client: SocketAddr,
    client_link: usize,
    client_mac: Mac,
    /// The next sequence number of the client, and of its backend.
    client_next: u32,
    backend_next: u32,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Client,
    Backend,
    /// A router, by ICMP.
    Router,
}

impl Talk {
    /// Of some client with some service.
    pub fn new(random: &mut Random, family: Family, services: &[Service]) -> Self {
        let (address, client_link, client_mac) = match random.below(10) {
            0 => (family.neighbour(), 1, NEIGHBOUR_MAC),
            1 => (family.stranger(), 1, [2, 0, 0, 0, 9, 9]),
            2 => (family.controller(CONTROLLERS[0]), 0, CONTROLLERS[0].mac),
            _ => (family.client(7 + random.byte() % 2), 0, GATEWAY_MAC),
        };
        let port = 20_000 + random.short() % 8;
        // Numbers that wrap around now and then.
        let first = |random: &mut Random| if random.once_in(3) { u32::MAX - 3 } else { random.word() };
        Self {
            family,
            service: random.pick(services),
            client: SocketAddr::new(address, port),
            client_link,
            client_mac,
            client_next: first(random),
            backend_next: first(random),
        }
    }

    /// Of a client that has no other one.
    pub fn of_client(random: &mut Random, family: Family, service: Service, number: u8) -> Self {
        let talk = Self::new(random, family, &[service]);
        let client = SocketAddr::new(family.client(20 + number), talk.client.port());
        Self { client, client_link: 0, client_mac: GATEWAY_MAC, ..talk }
    }

    fn key(&self) -> Tuple {
        (self.client, self.family.service(self.service))
    }

    /// The client's entry.
    fn entry<'a>(&self, model: &'a Model) -> Option<&'a Entry> {
        TIERS.iter().find_map(|tier| model.tier(*tier).get(&self.key()))
    }

    /// The next packet of this connection.
    pub fn packet(&mut self, random: &mut Random, model: &Model, style: Style) -> Step {
        let state = self.entry(model).map(|entry| entry.state);
        let is_regular = !random.once_in(if style == Style::Mixed { 4 } else { 12 });
        let (speaker, flags, data) = match (style, state) {
            _ if !is_regular => whatever(random),
            (Style::Storm, Some(State::Established)) => (Speaker::Backend, RST, 0),
            (Style::Storm, None | Some(State::Closed)) | (Style::Crowd, None) => (Speaker::Client, SYN, 0),
            (Style::Storm | Style::Crowd, Some(State::SynSent)) => (Speaker::Backend, SYN | ACK, 0),
            (Style::Storm | Style::Crowd, Some(State::SynReceived)) => (Speaker::Client, ACK, 0),
            (Style::Crowd, Some(State::Established)) => (Speaker::Client, ACK | PSH, 10),
            _ => in_turn(random, state),
        };
        match speaker {
            Speaker::Client => self.client_says(random, flags, data),
            Speaker::Backend => self.backend_says(random, model, flags, data),
            Speaker::Router => self.router_says(random, model),
        }
    }

    fn client_says(&mut self, random: &mut Random, flags: u8, data: usize) -> Step {
        let mut packet = Packet::new(self.client, self.family.service(self.service), flags);
        if flags & SYN != 0 && random.once_in(6) {
            // Another connection from the same port.
            self.client_next = random.word();
        }
        packet.sequence = off(random, self.client_next);
        let acknowledges = flags & ACK != 0 || random.once_in(40);
        packet.acknowledgment = if acknowledges { off(random, self.backend_next) } else { 0 };
        (packet.from, packet.to) = (self.client_mac, OUR_MAC[self.client_link]);
        packet.payload = random.bytes(data);
        let follows = packet.sequence == self.client_next && flags & RST == 0;
        if follows && (flags & SYN == 0 || random.once_in(2)) {
            self.client_next = self.client_next.wrapping_add(packet.sequence_length());
        }
        let meant = format!("the client says {}", crate::report::flags(flags));
        shape::send(random, packet, self.client_link, meant)
    }

    /// From a mapping of this client, mostly the present one.
    fn backend_says(&mut self, random: &mut Random, model: &Model, flags: u8, data: usize) -> Step {
        let (from, to) = self.mapping(random, model);
        let controller =
            world::backends().into_iter().find(|other| self.family.controller(*other) == from.ip());
        let controller = controller.unwrap_or(CONTROLLERS[0]);
        let mut packet = Packet::new(from, to, flags);
        packet.sequence = off(random, self.backend_next);
        // A SYN may not have been counted by the client yet.
        let begins =
            self.entry(model).filter(|entry| entry.state == State::SynSent).map(|entry| entry.next_sequence);
        let expected = begins.unwrap_or(self.client_next);
        packet.acknowledgment = if flags & ACK != 0 { off(random, expected) } else { 0 };
        (packet.from, packet.to) = (controller.mac, OUR_MAC[controller.link]);
        packet.payload = random.bytes(data);
        if flags & RST == 0 && packet.sequence == self.backend_next {
            self.backend_next = self.backend_next.wrapping_add(packet.sequence_length());
            if begins.is_some() {
                self.client_next = expected;
            }
        }
        let meant = format!("a backend says {}", crate::report::flags(flags));
        shape::send(random, packet, controller.link, meant)
    }

    /// The key of a backend's packets to this client.
    fn mapping(&self, random: &mut Random, model: &Model) -> Tuple {
        if let Some(entry) = self.entry(model)
            && !random.once_in(8)
        {
            return entry.twin;
        }
        let is_ours = |(_, entry): &(&Tuple, &Entry)| entry.reverse && entry.twin == self.key();
        let mut mappings: Vec<Tuple> = TIERS
            .iter()
            .flat_map(|tier| model.tier(*tier).iter().filter(is_ours).map(|(key, _)| *key))
            .collect();
        // The order of a hash table is another one in each run.
        mappings.sort_unstable();
        if mappings.is_empty() || random.once_in(8) {
            let controller = random.pick(&CONTROLLERS);
            let port = model.tables.snat_ports.first + random.short() % model.tables.snat_ports.count.max(1);
            let from = SocketAddr::new(self.family.controller(controller), self.service.backend_port());
            return (from, SocketAddr::new(self.family.source_towards(controller), port));
        }
        random.pick(&mappings)
    }

    /// Somebody on the way says that a backend cannot be reached.
    fn router_says(&self, random: &mut Random, model: &Model) -> Step {
        let (backend, snat) = self.mapping(random, model);
        let mut about = Packet::new(snat, backend, SYN);
        let syn = self.entry(model).map(|entry| entry.syn.sequence);
        about.sequence = off(random, syn.unwrap_or(self.client_next));
        about.window = random.short();
        about.tcp_options = shape::options(random);
        let mut error = IcmpError::unreachable(self.family.gateway(), &about, random.byte() % 6);
        (error.from, error.to) = (GATEWAY_MAC, OUR_MAC[0]);
        if random.once_in(12) {
            error.destination = random.pick(&[self.family.vip(), self.family.snat()]);
        }
        if random.once_in(8) {
            error.kind = random.byte() % 16;
        }
        if random.once_in(8) {
            error.ip_options = vec![1; 4];
        }
        if random.once_in(8) {
            error.fragment = random.pick(&[0x2000, 0x4000, 1]);
        }
        if random.once_in(3) {
            error = error.quoting(random.below(16));
        }
        error.padding = shape::padding(random);
        Step::Frame {
            interface: shape::interface(random, 0),
            bytes: error.bytes(),
            meant: "a router says".into(),
        }
    }
}

/// What comes next in a connection of this state, mostly.
fn in_turn(random: &mut Random, state: Option<State>) -> (Speaker, u8, usize) {
    use Speaker::{Backend, Client, Router};
    // Long ones take long, and do no more than be summed in several parts.
    let data =
        if random.once_in(8) { random.pick(&[492, 512, 1400, 3000]) } else { random.pick(&[0, 0, 1, 33]) };
    let turns: &[(Speaker, u8, usize)] = match state {
        None => &[(Client, SYN, 0), (Client, SYN, 0), (Client, SYN, 0), (Client, ACK | PSH, data)],
        Some(State::SynSent) => &[
            (Backend, SYN | ACK, 0),
            (Backend, SYN | ACK, 0),
            (Backend, RST | ACK, 0),
            (Client, SYN, 0),
            (Backend, ACK, 0),
            (Router, 0, 0),
        ],
        Some(State::SynReceived) => &[
            (Client, ACK, 0),
            (Client, ACK, 0),
            (Client, ACK | PSH, data),
            (Backend, SYN | ACK, 0),
            (Client, SYN, 0),
        ],
        Some(State::Established) => &[
            (Client, ACK | PSH, data),
            (Backend, ACK | PSH, data),
            (Client, ACK, 0),
            (Backend, ACK, 0),
            (Client, FIN | ACK, 0),
            (Backend, FIN | ACK, 0),
            (Backend, RST, 0),
        ],
        Some(State::ClientClosed) => &[(Backend, FIN | ACK, 0), (Backend, ACK | PSH, data), (Client, ACK, 0)],
        Some(State::BackendClosed) => &[(Client, FIN | ACK, 0), (Client, ACK | PSH, data), (Backend, ACK, 0)],
        Some(State::Closed | State::Dead) => {
            &[(Client, SYN, 0), (Client, ACK, 0), (Backend, ACK, 0), (Client, RST, 0)]
        }
    };
    random.pick(turns)
}

/// Anybody says anything.
fn whatever(random: &mut Random) -> (Speaker, u8, usize) {
    let flags = [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, random.byte()];
    let speaker = match random.below(9) {
        0..4 => Speaker::Client,
        4..8 => Speaker::Backend,
        _ => Speaker::Router,
    };
    (speaker, random.pick(&flags), random.pick(&[0, 0, 1, 100]))
}

/// A number that is right, mostly.
fn off(random: &mut Random, number: u32) -> u32 {
    match random.below(24) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number.wrapping_add(1 << 22),
        3 => random.word(),
        4 => random.pick(&[0, 1, u32::MAX]),
        _ => number,
    }
}
