//! Packets of nobody's connection: orphans, martians, other ports, other protocols, bytes without a meaning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_common::abi::{AddressV4, AddressV6, address_bit_v4, address_bit_v6};

use super::shape;
use crate::{
    model::Model,
    packet::{
        Packet,
        flags::{ACK, RST, SYN},
    },
    random::Random,
    rig::setting::{CONTROLLERS, Family, GATEWAY_MAC, OUR_MAC, SERVICES, Service},
    story::Step,
};

/// A packet of a stranger's.
pub fn packet(random: &mut Random, family: Family, model: &Model) -> Step {
    match random.below(10) {
        0 => noise(random, family),
        1 => host_connection(random, family, model),
        2 | 3 => orphan(random, family, model),
        _ => {
            let from = source(random, family);
            let to = destination(random, family);
            of(random, from, to, "a stranger's packet")
        }
    }
}

fn of(random: &mut Random, from: SocketAddr, to: SocketAddr, meant: &str) -> Step {
    let flags = random.pick(&[SYN, SYN, ACK, RST, SYN | ACK, RST | ACK]);
    let link = random.below(2);
    let mut packet = Packet::new(from, to, flags);
    (packet.from, packet.to) = (GATEWAY_MAC, OUR_MAC[link]);
    (packet.sequence, packet.acknowledgment) = (random.word(), random.word());
    let length = random.pick(&[0, 0, 7, 300]);
    packet.payload = random.bytes(length);
    shape::send(random, packet, link, meant.into())
}

fn source(random: &mut Random, family: Family) -> SocketAddr {
    let martians: [&str; 5] = match family {
        Family::V4 => ["0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"],
        Family::V6 => ["::", "::1", "ff02::1", "ff0e::7", "::2"],
    };
    let address: IpAddr = match random.below(9) {
        0 => random.pick(&martians).parse().expect("it is an address"),
        1 => family.vip(),
        2 => family.snat(),
        3 => family.unreachable(),
        4 => family.stranger(),
        5 => family.controller(random.pick(&CONTROLLERS)),
        6 => family.gateway(),
        _ => family.client(random.byte()),
    };
    SocketAddr::new(address, 30_000 + random.short() % 50)
}

fn destination(random: &mut Random, family: Family) -> SocketAddr {
    let service = random.pick(&SERVICES);
    match random.below(8) {
        0 if random.once_in(2) => SocketAddr::new(double(family), service.port()),
        0 => SocketAddr::new(family.foreign(), service.port()),
        1 => SocketAddr::new(family.snat(), service.port()),
        2 => SocketAddr::new(family.own_on_eth1(), service.port()),
        3 => SocketAddr::new(family.vip(), random.short()),
        _ => family.service(service),
    }
}

/// An address that is not ours, but has the same bit as the VIP in the filter of our addresses.
fn double(family: Family) -> IpAddr {
    let bit = |address: IpAddr| match address {
        IpAddr::V4(address) => address_bit_v4(AddressV4::from(address).words()[0]),
        IpAddr::V6(address) => address_bit_v6(AddressV6::from(address).words()),
    };
    let numbered = |number: u32| -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(0x0a09_0000 + number).into(),
            Family::V6 => Ipv6Addr::from_bits((0x2001_0db8_0009 << 80) + u128::from(number)).into(),
        }
    };
    let wanted = bit(family.vip());
    (0..100_000).map(numbered).find(|address| bit(*address) == wanted).expect("one of a thousand has it")
}

/// From where a backend serves, or nearly, to a SNAT port, or nearly.
fn orphan(random: &mut Random, family: Family, model: &Model) -> Step {
    let service = random.pick(&SERVICES);
    let port = if random.once_in(6) { 1 } else { service.backend_port() };
    let from = SocketAddr::new(family.controller(random.pick(&CONTROLLERS)), port);
    let ports = model.tables.snat_ports;
    let port = random.pick(&[
        ports.first,
        ports.first + ports.count - 1,
        ports.first - 1,
        ports.first + ports.count,
    ]);
    let to = random.pick(&[family.vip(), family.snat(), family.own_on_eth1()]);
    of(random, from, SocketAddr::new(to, port), "an orphan")
}

/// A packet of a connection that the host itself holds.
fn host_connection(random: &mut Random, family: Family, model: &Model) -> Step {
    let connections = &model.tables.host_connections;
    let of_family = connections.iter().find(|key| key.0.is_ipv4() == (family == Family::V4));
    let (from, to) = *of_family.expect("there is one of each family");
    of(random, from, to, "a packet of the host's own connection")
}

/// Bytes, of which the first may look like the beginning of a packet to us.
fn noise(random: &mut Random, family: Family) -> Step {
    let from = SocketAddr::new(family.client(3), 1);
    let mut begin = Packet::new(from, family.service(Service::Api), SYN);
    begin.to = OUR_MAC[0];
    let begin = begin.bytes();
    let length = 14 + random.below(200);
    let mut bytes = random.bytes(length);
    let kept = random.below(begin.len()).min(length);
    bytes[..kept].copy_from_slice(&begin[..kept]);
    Step::Frame { interface: 0, bytes, meant: "noise".into() }
}
