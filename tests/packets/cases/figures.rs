//! What a flow's entries say about it: bytes, packets, sequence numbers, next hop.

use std::{net::SocketAddr, process::Command};

use lb_common::{
    counters::Counter::{FlowEstablished, FlowOpened, FlowTableUncollected, Forwarded, NextHopFromFrame},
    tcp::State::{Established, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, SYN},
    },
    rig::{
        Conversation, Rig, SMALL, Tier, each_family, now_ns,
        setting::{FAMILIES, FIRST, Family, GATEWAY_MAC, Service},
        with,
    },
};

#[test]
fn bytes_and_packets_are_those_that_were_forwarded() {
    each_family("bytes_and_packets_are_those_that_were_forwarded", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_000, FIRST);
        rig.open(&mut talk);
        let start = rig.pair(&talk, Tier::Flows);
        let (syn, ack) =
            (talk.clone().client_says(SYN, &[]).ip_length(), talk.clone().client_says(ACK, &[]).ip_length());
        let sums = (start.forward.meta.packet_count(), start.forward.meta.bytes);
        assert_eq!(sums, (2, (syn + ack) as u64), "SYN and ACK");
        assert_eq!((start.reverse.meta.packet_count(), start.reverse.meta.bytes), (1, syn as u64), "SYN-ACK");
        let (mut up, mut down) = (sums.1, start.reverse.meta.bytes);
        for length in [0, 1, 7, 1000] {
            let packet = Packet { padding: vec![0; 9], ..talk.client_says(ACK, &vec![1; length]) };
            rig.forwards(&talk, "up", &packet, &[Forwarded]);
            up += packet.ip_length() as u64;
            let packet = talk.backend_says(ACK, &vec![1; length * 2]);
            rig.returns(&talk, "down", &packet, &[Forwarded]);
            down += packet.ip_length() as u64;
        }
        let pair = rig.expect(&talk, Tier::Flows, Established, 0);
        assert_eq!(
            (pair.forward.meta.packet_count(), pair.forward.meta.bytes),
            (6, up),
            "up, without padding"
        );
        assert_eq!((pair.reverse.meta.packet_count(), pair.reverse.meta.bytes), (5, down), "down");
        assert_eq!(pair.forward.meta.created, start.forward.meta.created, "the beginning stays");
    });
}

#[test]
fn the_packet_counter_goes_on_above_32_bits() {
    each_family("the_packet_counter_goes_on_above_32_bits", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_001, FIRST);
        rig.open(&mut talk);
        rig.edit(Tier::Flows, talk.forward_key(), |entry| entry.meta.packets = u32::MAX);
        for count in [1 << 32, (1 << 32) + 1] {
            let packet = talk.client_says(ACK, b"x");
            rig.forwards(&talk, "up", &packet, &[Forwarded]);
            let pair = rig.pair(&talk, Tier::Flows);
            assert_eq!(pair.forward.meta.packet_count(), count, "packets");
            assert_eq!(pair.forward.meta.next_sequence, talk.client_next, "the next sequence number");
        }
    });
}

#[test]
fn sequence_numbers_follow_the_highest_and_the_last() {
    each_family("sequence_numbers_follow_the_highest_and_the_last", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_002, FIRST);
        // It wraps on the way.
        talk.client_next = 0xffff_ff00;
        rig.open(&mut talk);
        let early = talk.client_says(ACK, &[1; 200]);
        let late = talk.client_says(ACK | FIN, &[1; 200]);
        let highest = talk.client_next;
        for packet in [&late, &early] {
            rig.forwards(&talk, "out of order", packet, &[Forwarded]);
            let forward = rig.pair(&talk, Tier::Flows).forward.meta;
            assert_eq!(forward.next_sequence, highest, "the highest number stays");
            assert_eq!(forward.last_acknowledgment, talk.backend_next, "the last acknowledgment");
        }
    });
}

#[test]
fn last_seen_follows_each_direction_by_itself() {
    each_family("last_seen_follows_each_direction_by_itself", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_003, FIRST);
        rig.open(&mut talk);
        for at in [talk.forward_key(), talk.reverse_key()] {
            rig.age(Tier::Flows, at, 10_000);
        }
        let before = rig.pair(&talk, Tier::Flows);
        let packet = talk.client_says(ACK, b"x");
        rig.forwards(&talk, "up", &packet, &[Forwarded]);
        let after = rig.pair(&talk, Tier::Flows);
        let moved = after.forward.meta.last_seen.wrapping_sub(before.forward.meta.last_seen);
        assert!((9_000..1 << 31).contains(&moved), "the client's direction moved by {moved} ticks");
        assert_eq!(
            after.reverse, before.reverse,
            "the backend's entry is written by the backend's packets alone"
        );
    });
}

fn ip(arguments: &str) {
    let status =
        Command::new("ip").args(arguments.split_whitespace()).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments}");
}

fn neighbour(rig: &mut Rig, family: Family) {
    const NEW_MAC: crate::packet::Mac = [2, 0, 0, 0, 0, 0x2f];
    let gateway = family.gateway();
    let mut talk = Conversation::new(family, Service::Api, 59_100, FIRST);
    rig.open(&mut talk);
    ip(&format!("neigh replace {gateway} lladdr 02:00:00:00:00:2f dev eth0 nud permanent"));
    let moved = talk.clone().by(0, NEW_MAC);
    rig.age(Tier::Flows, talk.reverse_key(), 200);
    let down = talk.backend_says(ACK, b"where are you now?");
    rig.returns(&moved, "after a while the kernel is asked again", &down, &[Forwarded]);
    rig.expect(&moved, Tier::Flows, Established, 0);
    ip(&format!("neigh del {gateway} dev eth0"));
    rig.age(Tier::Flows, talk.reverse_key(), 200);
    let down = talk.backend_says(ACK, b"and now?");
    rig.returns(&moved, "without an answer the old one stays", &down, &[Forwarded]);
    ip(&format!("neigh replace {gateway} lladdr 02:00:00:00:00:20 dev eth0 nud permanent"));
    rig.age(Tier::Flows, talk.reverse_key(), 200);
    let down = talk.backend_says(ACK, b"back again");
    rig.returns(&talk.by(0, GATEWAY_MAC), "the first one is back", &down, &[Forwarded]);
}

/// A connection for which the flow table has no room lives for hours in the lower tier.
#[test]
fn the_next_hop_follows_the_kernels_in_the_lower_tier_too() {
    with("the_next_hop_follows_the_kernels_in_the_lower_tier_too", SMALL, |rig| {
        for family in FAMILIES {
            rig.set_collected(now_ns().wrapping_sub(3_610 * 1_000_000_000));
            let mut talk = Conversation::new(family, Service::Api, 59_101, FIRST);
            rig.syn_ack(&mut talk);
            let ack = talk.client_says(ACK, &[]);
            rig.forwards(&talk, "the ACK", &ack, &[FlowTableUncollected, FlowEstablished, Forwarded]);
            ip(&format!(
                "neigh replace {} lladdr 02:00:00:00:00:2f dev eth0 nud permanent",
                family.gateway()
            ));
            rig.age(Tier::HalfOpen, talk.reverse_key(), 200);
            let moved = talk.clone().by(0, [2, 0, 0, 0, 0, 0x2f]);
            let down = talk.backend_says(ACK, b"where are you now?");
            rig.returns(&moved, "after a while", &down, &[Forwarded]);
            rig.expect(&moved, Tier::HalfOpen, Established, 0);
        }
    });
}

#[test]
fn the_next_hop_to_a_client_follows_the_kernels() {
    with("the_next_hop_to_a_client_follows_the_kernels", SMALL, |rig| {
        for family in FAMILIES {
            neighbour(rig, family);
        }
    });
}

#[test]
fn an_unknown_neighbour_is_answered_where_it_spoke() {
    each_family("an_unknown_neighbour_is_answered_where_it_spoke", |rig, family| {
        for (port, link) in [(59_200, 0), (59_201, 1)] {
            let client = SocketAddr::new(family.stranger(), port);
            let mut talk = Conversation::of(client, family, Service::Api, FIRST).by(link, [2, 0, 0, 0, 9, 9]);
            let syn = talk.client_says(SYN, &[]);
            rig.forwards(&talk, "its SYN", &syn, &[FlowOpened, NextHopFromFrame, Forwarded]);
            rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
            let syn_ack = talk.backend_says(SYN | ACK, &[]);
            rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
        }
    });
}
