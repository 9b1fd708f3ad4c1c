//! What a packet looks like beside what it says: options, extension headers, padding, checksums; and packets that are broken.

use std::net::SocketAddr;

use crate::{
    packet::{Checksum, Packet, SHORTEST_FRAME, flags::SYN, fold},
    random::Random,
    story::Step,
};

/// IPv6 hop-by-hop options, a routing header, a fragment header, destination options.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 60, 60];

/// A packet comes in by this link, mostly.
pub fn send(random: &mut Random, mut packet: Packet, link: usize, meant: String) -> Step {
    packet.hops = if random.once_in(25) { random.pick(&[0, 1, 2, 16, 17, 255]) } else { 64 };
    packet.reserved = if random.once_in(12) { random.byte() & 15 } else { 0 };
    (packet.class, packet.label, packet.window) = (random.byte(), random.short(), random.short());
    if packet.flags & SYN != 0 || random.once_in(8) {
        packet.tcp_options = options(random);
    }
    packet.checksum = match random.below(12) {
        0 => Checksum::Wrong(1 + random.short() % 0xfffe),
        1 | 2 => Checksum::Unfinished,
        3 => Checksum::Exactly(random.pick(&[0, 0xffff])),
        _ => Checksum::Right,
    };
    if random.once_in(12) {
        match packet.source {
            SocketAddr::V4(_) => strange_v4(random, &mut packet),
            SocketAddr::V6(_) => strange_v6(random, &mut packet),
        }
    }
    if packet.bytes().len() < SHORTEST_FRAME && random.once_in(2) {
        packet.padding = random.bytes(SHORTEST_FRAME - packet.bytes().len());
    } else if random.once_in(8) {
        packet.padding = padding(random);
    }
    if packet.payload.len() >= 2 && random.once_in(20) {
        coincide(&mut packet);
    }
    Step::Frame { interface: interface(random, link), bytes: packet.bytes(), meant }
}

/// Ends the payload so that the right checksum is the very sum of the pseudo-header, as if it were unfinished.
fn coincide(packet: &mut Packet) {
    let even = packet.payload.len() & !1;
    packet.payload.truncate(even);
    packet.payload[even - 2..].fill(0);
    packet.checksum = Checksum::Right;
    let (bytes, at) = (packet.bytes(), packet.tcp_at() + 16);
    let field = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    // The checksum is the complement of the sum, so it lacks what the end is to add.
    let missing = fold(u64::from(field) + u64::from(!fold(packet.pseudo_header_sum())));
    packet.payload[even - 2..].copy_from_slice(&missing.to_be_bytes());
}

fn strange_v4(random: &mut Random, packet: &mut Packet) {
    match random.below(4) {
        0 => packet.ip_error = random.short(),
        1 => packet.fragment = random.pick(&[0, 0x2000, 0x4000, 0x8000, 1, 0x2001]),
        _ => {
            let words = 1 + random.below(10);
            packet.ip_options = random.bytes(words * 4);
        }
    }
}

fn strange_v6(random: &mut Random, packet: &mut Packet) {
    for _ in 0..=random.below(4) {
        let number = random.pick(&EXTENSIONS);
        let mut bytes = if number == 44 { vec![0; 8] } else { vec![0; 8 * (1 + random.below(3))] };
        bytes[1] = (bytes.len() / 8 - 1) as u8;
        if number == 44 {
            bytes[1] = 0;
            bytes[2..4].copy_from_slice(&random.pick(&[0_u16, 0, 1, 8, 0x100]).to_be_bytes());
        }
        packet.extensions.push((number, bytes));
    }
}

/// TCP options, a whole number of words: those of an ordinary SYN, or whatever.
pub fn options(random: &mut Random) -> Vec<u8> {
    const ORDINARY: [&[u8]; 5] = [
        &[2, 4, 5, 180],
        &[4, 2, 1, 1],
        &[3, 3, 7, 1],
        &[1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0],
        &[0, 0, 0, 0],
    ];
    if !random.once_in(3) {
        let kinds = random.below(5);
        return (0..kinds).flat_map(|_| random.pick(&ORDINARY).to_vec()).take(40).collect();
    }
    let words = random.pick(&[0, 1, 3, 5, 5, 9, 10]);
    random.bytes(words * 4)
}

/// What follows a packet in its frame.
pub fn padding(random: &mut Random) -> Vec<u8> {
    let length = random.pick(&[0, 0, 1, 6, 20, 100]);
    random.bytes(length)
}

/// The interface that a packet comes by: that of its link, mostly.
pub fn interface(random: &mut Random, link: usize) -> usize {
    if random.once_in(30) { random.below(3) } else { link }
}

/// The same step, but now and then the frame is broken.
pub fn perhaps_broken(random: &mut Random, step: Step) -> Step {
    match step {
        Step::Frame { interface, mut bytes, meant } if random.once_in(14) => {
            let how = break_it(random, &mut bytes);
            Step::Frame { interface, bytes, meant: format!("{meant} ({how})") }
        }
        other => other,
    }
}

/// Places at which a header decides something: `EtherType`, versions and lengths, fragments, protocol, addresses, and those
/// places where TCP's own are behind headers without options.
const PLACES: [usize; 20] = [12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 30, 33, 46, 47, 51, 53, 54, 66, 67];

fn break_it(random: &mut Random, bytes: &mut Vec<u8>) -> &'static str {
    let anywhere = random.below(bytes.len());
    match random.below(9) {
        8 => {
            let tag = [0x81, 0, 0, random.byte()];
            bytes.splice(12..12, tag);
            "it has a VLAN tag"
        }
        0 | 1 => {
            bytes[anywhere] ^= 1 << random.below(8);
            "a bit is flipped"
        }
        2 | 3 => {
            let at = random.pick(&PLACES).min(bytes.len() - 1);
            bytes[at] = if random.once_in(2) {
                random.byte()
            } else {
                bytes[at].wrapping_add(random.pick(&[1, 255]))
            };
            "a header is changed"
        }
        4 => {
            bytes[anywhere] = random.byte();
            "a byte is changed"
        }
        5 => {
            // The kernel runs a program on no less than an Ethernet header.
            bytes.truncate(anywhere.max(14));
            "it is cut"
        }
        6 => {
            let more = random.below(40);
            bytes.extend(random.bytes(more));
            "it is longer"
        }
        _ => {
            bytes[0] |= 1;
            "it is for a group"
        }
    }
}
