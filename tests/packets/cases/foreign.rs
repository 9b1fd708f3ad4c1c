//! What is not ours: it passes, whatever it is, and not a bit of it changes.

use std::net::{IpAddr, SocketAddr};

use crate::{
    packet::{
        Packet,
        flags::{ACK, RST, SYN},
    },
    rig::{
        Conversation, Row, each_family,
        setting::{FIRST, FIRST_PORT, Family, PORTS, Service},
    },
};

/// The client's SYN to the service.
fn syn(family: Family) -> Packet {
    Conversation::new(family, Service::Api, 54_000, FIRST).client_says(SYN, &[])
}

fn to(family: Family, address: IpAddr, port: u16) -> Packet {
    Packet { destination: SocketAddr::new(address, port), ..syn(family) }
}

fn between(family: Family, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Packet {
    Packet { source: source.into(), destination: destination.into(), ..syn(family) }
}

#[test]
fn tcp_of_others_passes() {
    each_family("tcp_of_others_passes", |rig, family| {
        let backend = family.controller(FIRST);
        rig.check(&Row::passed("to another address", &to(family, family.foreign(), 6443)));
        let rows = [
            ("to another port of the VIP", to(family, family.vip(), 22)),
            ("to a service's port of the SNAT address", to(family, family.snat(), 6443)),
            ("to a SNAT port, from nobody", to(family, family.snat(), FIRST_PORT)),
            ("to port 0", to(family, family.vip(), 0)),
            (
                "the answer to a probe of the agent",
                between(family, (backend, 6443), (family.snat(), FIRST_PORT + PORTS)),
            ),
            ("the same below the range", between(family, (backend, 6443), (family.snat(), FIRST_PORT - 1))),
            ("from another port of a backend", between(family, (backend, 22), (family.snat(), FIRST_PORT))),
            (
                "from a backend to another address",
                between(family, (backend, 6443), (family.foreign(), FIRST_PORT)),
            ),
        ];
        for (what, packet) in rows {
            for flags in [SYN, SYN | ACK, ACK, RST] {
                rig.check(&Row::passed(what, &Packet { flags, ..packet.clone() }));
            }
        }
    });
}

/// An address that is not ours but shares its bit of the filter with one that is.
fn colliding(family: Family) -> IpAddr {
    use lb_common::abi::{AddressV4, AddressV6, address_bit_v4, address_bit_v6};
    let bit = |address: IpAddr| match address {
        IpAddr::V4(address) => address_bit_v4(AddressV4::from(address).words()[0]),
        IpAddr::V6(address) => address_bit_v6(AddressV6::from(address).words()),
    };
    let candidate = |number: u16| -> IpAddr {
        let [high, low] = number.to_be_bytes();
        match family {
            Family::V4 => [10, 77, high, low].into(),
            Family::V6 => [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, number].into(),
        }
    };
    let found = (1..u16::MAX).map(candidate).find(|address| bit(*address) == bit(family.vip()));
    found.expect("one of a thousand addresses collides")
}

#[test]
fn an_address_that_only_looks_like_ours_passes() {
    each_family("an_address_that_only_looks_like_ours_passes", |rig, family| {
        let address = colliding(family);
        for port in [6443, 22, FIRST_PORT] {
            rig.check(&Row::passed("to an address with the VIP's bit", &to(family, address, port)));
        }
        let from_backend = between(family, (family.controller(FIRST), 6443), (address, FIRST_PORT));
        rig.check(&Row::passed("from a backend to such an address", &from_backend));
    });
}

/// Frames of other kinds, made from the SYN so that a careless parser would take them for it.
fn disguised(family: Family) -> Vec<(String, Vec<u8>)> {
    let frame = syn(family).bytes();
    let mut frames = Vec::new();
    for group in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0x03, 0, 0, 0, 0, 0]] {
        let mut copy = frame.clone();
        copy[..6].copy_from_slice(&group);
        frames.push((format!("to the group {group:x?}"), copy));
    }
    let mut copy = frame.clone();
    copy[6] |= 1;
    frames.push(("from a group".into(), copy));
    for ether_type in
        [0x0000, 0x0026, 0x0806, 0x8035, 0x8100, 0x88a8, 0x8847, 0x8863, 0x8864, 0x88cc, 0xffff_u16]
    {
        let mut copy = frame.clone();
        copy[12..14].copy_from_slice(&ether_type.to_be_bytes());
        frames.push((format!("EtherType {ether_type:#06x}"), copy));
    }
    let other = if family == Family::V4 { 0x86dd_u16 } else { 0x0800 };
    let mut copy = frame.clone();
    copy[12..14].copy_from_slice(&other.to_be_bytes());
    frames.push(("the other family's EtherType".into(), copy));
    for tag in [&[0x81, 0x00, 0x00, 0x2a][..], &[0x88, 0xa8, 0x00, 0x01, 0x81, 0x00, 0x00, 0x2a]] {
        let mut tagged = frame[..12].to_vec();
        tagged.extend(tag);
        tagged.extend(&frame[12..]);
        frames.push((format!("with the VLAN tags {tag:x?}"), tagged));
    }
    let protocol_at = if family == Family::V4 { 23 } else { 20 };
    for protocol in (0..=255).filter(|protocol| *protocol != 6) {
        // Extension headers are another table's.
        if family == Family::V6 && matches!(protocol, 0 | 44 | 60) {
            continue;
        }
        let mut copy = frame.clone();
        copy[protocol_at] = protocol;
        frames.push((format!("protocol {protocol}"), copy));
    }
    frames
}

#[test]
fn frames_of_every_other_kind_pass() {
    each_family("frames_of_every_other_kind_pass", |rig, family| {
        for (what, frame) in disguised(family) {
            rig.check(&Row::passed(&what, frame));
        }
    });
}

/// Frames as hosts send them: each its name and its bytes behind the link-layer addresses.
const KNOWN: [(&str, &[u8]); 5] = [
    (
        "an ARP request for the VIP",
        &[
            0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x20, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0,
            2, 10,
        ],
    ),
    (
        "an echo request to the VIP",
        &[
            0x08, 0x00, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0xf5, 0xd5, 198, 51, 100, 7, 192, 0, 2, 10, 8, 0,
            0xf7, 0xfe, 0, 0, 0, 1,
        ],
    ),
    (
        "UDP to the VIP and a service's port",
        &[
            0x08, 0x00, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 198, 51, 100, 7, 192, 0, 2, 10, 0x80, 0,
            0x19, 0x2b, 0, 8, 0, 0,
        ],
    ),
    (
        "a neighbour solicitation to the IPv6 VIP",
        &[
            0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255, 0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 135, 0, 0, 0, 0, 0, 0, 0,
            0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ],
    ),
    ("a frame of nothing but its header", &[0x08, 0x00]),
];

#[test]
fn what_hosts_say_to_each_other_passes() {
    each_family("what_hosts_say_to_each_other_passes", |rig, _| {
        for (what, rest) in KNOWN {
            for to in [[2, 0, 0, 0, 0, 0x10], [0xff; 6], [0x33, 0x33, 0xff, 0, 0, 0x10]] {
                let frame = [&to[..], &[2, 0, 0, 0, 0, 0x20], rest].concat();
                rig.check(&Row::passed(what, frame.clone()));
                let padded = [&frame[..], &[0; 18]].concat();
                rig.check(&Row::passed(&format!("{what}, padded"), padded));
            }
        }
    });
}
