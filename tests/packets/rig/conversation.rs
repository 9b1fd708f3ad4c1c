//! One TCP connection through the balancer: its packets as they come in, and as they must leave.

use std::net::{IpAddr, SocketAddr};

use lb_common::{hash::FlowHasher, ports::PortRange};

use crate::packet::{
    Mac, Packet, SHORTEST_FRAME,
    flags::{ACK, RST, SYN},
};

use super::{
    fill::HASH_KEY,
    setting::{Controller, FIRST_PORT, Family, GATEWAY_MAC, OUR_MAC, PORTS, Service},
    tables::Tuple,
};

/// Maximum segment size, SACK permitted, a window scale: what a SYN carries.
const SYN_OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1];
/// A time stamp, which every other segment carries.
const TIME_STAMP: [u8; 12] = [1, 1, 8, 10, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];

/// A connection, and how far its two ends have got.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The family.
    pub family: Family,
    /// The service.
    pub service: Service,
    /// The controller that it leads to.
    pub controller: Controller,
    /// The client.
    pub client: SocketAddr,
    /// The balancer towards the controller.
    pub snat: SocketAddr,
    /// The client's next hop.
    pub client_mac: Mac,
    /// The link to the client.
    pub client_link: usize,
    /// The client's next sequence number.
    pub client_next: u32,
    /// The controller's next sequence number.
    pub backend_next: u32,
}

/// The keyed hash of a client's connection to a service.
pub fn hash(client: SocketAddr, service: SocketAddr) -> u64 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut message = octets(client.ip());
    message.extend(octets(service.ip()));
    message.extend(client.port().to_be_bytes());
    message.extend(service.port().to_be_bytes());
    message.extend([0; 4]);
    let words = message.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    words.fold(FlowHasher::new(HASH_KEY), FlowHasher::word).finish()
}

impl Conversation {
    /// A client behind the gateway, with this port, to a service that leads to this controller.
    pub fn new(family: Family, service: Service, port: u16, controller: Controller) -> Self {
        Self::of(SocketAddr::new(family.client(7), port), family, service, controller)
    }

    /// The same for any client behind the gateway.
    pub fn of(client: SocketAddr, family: Family, service: Service, controller: Controller) -> Self {
        let conversation = Self {
            family,
            service,
            controller,
            client,
            snat: SocketAddr::new(family.source_towards(controller), 0),
            client_mac: GATEWAY_MAC,
            client_link: 0,
            client_next: 0xffff_fff0,
            backend_next: 0x8000_0000,
        };
        conversation.with_candidate(0)
    }

    /// The same with its `number`-th candidate for a port, counted from 0.
    #[must_use]
    pub fn with_candidate(mut self, number: u32) -> Self {
        let ports = PortRange { first: FIRST_PORT, count: PORTS };
        self.snat.set_port(ports.candidate(self.hash(), number));
        self
    }

    /// The same with another controller.
    #[must_use]
    pub fn to(mut self, controller: Controller) -> Self {
        self.controller = controller;
        self.snat.set_ip(self.family.source_towards(controller));
        self
    }

    /// The same with a client on this link, whose next hop is this one.
    #[must_use]
    pub fn by(mut self, link: usize, mac: Mac) -> Self {
        self.client_link = link;
        self.client_mac = mac;
        self
    }

    /// The keyed hash of the connection.
    pub fn hash(&self) -> u64 {
        hash(self.client, self.address())
    }

    /// The service's address.
    pub fn address(&self) -> SocketAddr {
        self.family.service(self.service)
    }

    /// The controller's address.
    pub fn backend(&self) -> SocketAddr {
        SocketAddr::new(self.family.controller(self.controller), self.service.backend_port())
    }

    /// The key of the client's packets.
    pub fn forward_key(&self) -> Tuple {
        (self.client, self.address())
    }

    /// The key of the controller's packets.
    pub fn reverse_key(&self) -> Tuple {
        (self.backend(), self.snat)
    }

    /// The client's next packet as it comes in. A RST takes no part of the sequence.
    pub fn client_says(&mut self, flags: u8, payload: &[u8]) -> Packet {
        let acknowledgment = if flags & ACK == 0 { 0 } else { self.backend_next };
        let packet = Packet {
            to: OUR_MAC[self.client_link],
            from: self.client_mac,
            hops: 57,
            class: 0x20,
            label: 0xbeef,
            sequence: self.client_next,
            acknowledgment,
            ..segment(self.client, self.address(), flags, payload)
        };
        if flags & RST == 0 {
            self.client_next = self.client_next.wrapping_add(packet.sequence_length());
        }
        packet
    }

    /// The controller's next packet as it comes in.
    pub fn backend_says(&mut self, flags: u8, payload: &[u8]) -> Packet {
        let acknowledgment = if flags & ACK == 0 { 0 } else { self.client_next };
        let packet = Packet {
            to: OUR_MAC[self.controller.link],
            from: self.controller.mac,
            hops: 63,
            class: 0x08,
            label: 0x1ce,
            sequence: self.backend_next,
            acknowledgment,
            ..segment(self.backend(), self.snat, flags, payload)
        };
        if flags & RST == 0 {
            self.backend_next = self.backend_next.wrapping_add(packet.sequence_length());
        }
        packet
    }

    /// A packet of the client as it must leave.
    pub fn forwarded(&self, packet: &Packet) -> Packet {
        Packet {
            to: self.controller.mac,
            from: OUR_MAC[self.controller.link],
            source: self.snat,
            destination: self.backend(),
            hops: packet.hops - 1,
            ..packet.clone()
        }
    }

    /// A packet of the controller as it must leave.
    pub fn returned(&self, packet: &Packet) -> Packet {
        Packet {
            to: self.client_mac,
            from: OUR_MAC[self.client_link],
            source: self.address(),
            destination: self.client,
            hops: packet.hops - 1,
            ..packet.clone()
        }
    }
}

fn segment(source: SocketAddr, destination: SocketAddr, flags: u8, payload: &[u8]) -> Packet {
    let options = if flags & SYN == 0 { &TIME_STAMP } else { &SYN_OPTIONS };
    Packet {
        window: 0xfaf0,
        tcp_options: options.to_vec(),
        payload: payload.to_vec(),
        ..Packet::new(source, destination, flags)
    }
}

/// The RST that answers a packet (RFC 9293, section 3.5.2), back by the way that it came.
pub fn reset_for(packet: &Packet) -> Packet {
    let mut answer = Packet::new(packet.destination, packet.source, RST);
    (answer.to, answer.from) = (packet.from, packet.to);
    if packet.flags & ACK == 0 {
        answer.flags = RST | ACK;
        answer.acknowledgment = packet.sequence.wrapping_add(packet.sequence_length());
    } else {
        answer.sequence = packet.acknowledgment;
    }
    // A frame that was long enough for the wire stays so.
    if packet.bytes().len() >= SHORTEST_FRAME {
        answer.padding = vec![0; SHORTEST_FRAME.saturating_sub(answer.bytes().len())];
    }
    answer
}
