//! Fragments. A first one with our ports would be answered with a RST by the host; all others are the host's own.

use lb_common::counters::Counter::DropFragment;

use crate::{
    packet::{
        Packet,
        flags::{ACK, SYN},
    },
    rig::{
        Conversation, Rig, Row, each_family,
        setting::{FIRST, Family, Service},
    },
};

const FRAGMENT: u8 = 44;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

/// A fragment of a packet: its offset in units of eight bytes, and whether more follow.
fn fragment(packet: Packet, offset: u16, more: bool) -> Packet {
    match packet.source {
        std::net::SocketAddr::V4(_) => Packet { fragment: u16::from(more) << 13 | offset, ..packet },
        std::net::SocketAddr::V6(_) => {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            let mut extensions = packet.extensions.clone();
            extensions.push((FRAGMENT, vec![0, 0, high, low, 0, 0, 0, 9]));
            Packet { extensions, ..packet }
        }
    }
}

fn from_everybody(rig: &mut Rig, family: Family, what: &str, change: impl Fn(Packet) -> Packet, ours: bool) {
    let mut talk = Conversation::new(family, Service::Api, 53_200, FIRST);
    let packets = [
        ("a SYN", talk.client_says(SYN, &[])),
        ("data of a client", talk.client_says(ACK, b"data that is long enough")),
        ("data of a backend", talk.backend_says(ACK, b"data that is long enough")),
    ];
    rig.ingress = 0;
    for (who, packet) in packets {
        let what = format!("{what}: {who}");
        let packet = change(packet);
        let row =
            if ours { Row::dropped(&what, &packet, &[DropFragment]) } else { Row::passed(&what, &packet) };
        rig.check(&row);
    }
}

#[test]
fn first_fragments_of_ours_are_dropped() {
    each_family("first_fragments_of_ours_are_dropped", |rig, family| {
        from_everybody(rig, family, "the first of many", |packet| fragment(packet, 0, true), true);
        if family == Family::V6 {
            let behind_options =
                |packet| fragment(Packet { extensions: vec![(HOP_BY_HOP, vec![0; 8])], ..packet }, 0, true);
            from_everybody(rig, family, "behind options", behind_options, true);
            let before_options = |packet| {
                let mut packet = fragment(packet, 0, true);
                packet.extensions.push((DESTINATION_OPTIONS, vec![0; 8]));
                packet
            };
            from_everybody(rig, family, "before options", before_options, true);
            from_everybody(rig, family, "the first and last", |packet| fragment(packet, 0, false), true);
        } else {
            let with_options = |packet| fragment(Packet { ip_options: vec![1; 12], ..packet }, 0, true);
            from_everybody(rig, family, "with options", with_options, true);
        }
    });
}

#[test]
fn a_fragment_of_a_known_flow_is_dropped_too() {
    each_family("a_fragment_of_a_known_flow_is_dropped_too", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 53_201, FIRST);
        rig.open(&mut talk);
        let up = fragment(talk.client_says(ACK, b"data"), 0, true);
        rig.drops(&talk, "up", &up, &[DropFragment]);
        let down = fragment(talk.backend_says(ACK, b"data"), 0, true);
        rig.drops(&talk, "down", &down, &[DropFragment]);
    });
}

#[test]
fn later_fragments_pass() {
    each_family("later_fragments_pass", |rig, family| {
        for (offset, more) in [(1, true), (1, false), (185, true), (0x1fff, false)] {
            let change = |packet| fragment(packet, offset, more);
            from_everybody(rig, family, &format!("offset {offset}"), change, false);
        }
    });
}

#[test]
fn first_fragments_of_others_pass() {
    each_family("first_fragments_of_others_pass", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 53_202, FIRST);
        let syn = fragment(talk.client_says(SYN, &[]), 0, true);
        let to =
            |address, port| Packet { destination: std::net::SocketAddr::new(address, port), ..syn.clone() };
        for (what, packet) in [
            ("to another port", to(family.vip(), 22)),
            ("to another address", to(family.foreign(), 6443)),
            ("to a SNAT port, but of no backend", to(family.snat(), talk.snat.port())),
        ] {
            rig.check(&Row::passed(what, &packet));
        }
    });
}
