//! Three packets that make a connection, and the data that follows.

use lb_common::{
    counters::Counter::{FlowEstablished, Forwarded, SynRetransmitted},
    tcp::State,
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, SYN},
    },
    rig::{
        Conversation, Tier, each_family,
        setting::{CONTROLLERS, FIRST, Family, NEIGHBOUR_MAC, Service},
    },
};

#[test]
fn a_handshake_moves_the_pair_to_the_flow_table() {
    each_family("a_handshake_moves_the_pair_to_the_flow_table", |rig, family| {
        for (number, controller) in (0..).zip(CONTROLLERS) {
            for service in [Service::Api, Service::Mapped] {
                rig.choose(family, service, &[controller]);
                let mut talk = Conversation::new(family, service, 40_000 + number, controller);
                rig.syn(&mut talk);
                rig.expect(&talk, Tier::HalfOpen, State::SynSent, 0);
                let syn_ack = talk.backend_says(SYN | ACK, &[]);
                rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
                rig.expect(&talk, Tier::HalfOpen, State::SynReceived, 0);
                let ack = talk.client_says(ACK, &[]);
                rig.forwards(&talk, "the ACK of it", &ack, &[FlowEstablished, Forwarded]);
                rig.expect(&talk, Tier::Flows, State::Established, 0);
            }
        }
    });
}

#[test]
fn only_the_clients_syn_is_one_that_is_seen_again() {
    each_family("only_the_clients_syn_is_one_that_is_seen_again", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 40_100, FIRST);
        let syn = rig.syn(&mut talk);
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
        rig.forwards(&talk, "the SYN again", &syn, &[SynRetransmitted, Forwarded]);
        let with_fin = Packet { flags: SYN | FIN, ..syn };
        rig.forwards(&talk, "a SYN that is none", &with_fin, &[Forwarded]);
        let other = talk.clone().backend_says(SYN, &[]);
        rig.returns(&talk, "a SYN of the backend's", &other, &[Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, State::SynReceived, 0);
    });
}

#[test]
fn data_goes_both_ways() {
    each_family("data_goes_both_ways", |rig, family| {
        for controller in CONTROLLERS {
            rig.choose(family, Service::Mapped, &[controller]);
            let mut talk = Conversation::new(family, Service::Mapped, 41_000 + controller.id, controller);
            rig.open(&mut talk);
            for length in [1, 2, 3, 4, 100, 1447, 1448, 3_000] {
                let payload = text(length);
                let question = talk.client_says(ACK | PSH, &payload);
                rig.forwards(&talk, &format!("{length} bytes up"), &question, &[Forwarded]);
                let answer = talk.backend_says(ACK, &payload);
                rig.returns(&talk, &format!("{length} bytes down"), &answer, &[Forwarded]);
            }
        }
    });
}

/// Bytes that are not all the same.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn neighbour(family: Family, port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::new(family.neighbour(), port)
}

#[test]
fn a_client_on_another_link_is_reached_by_a_redirect() {
    each_family("a_client_on_another_link_is_reached_by_a_redirect", |rig, family| {
        for controller in CONTROLLERS {
            rig.choose(family, Service::Api, &[controller]);
            let client = neighbour(family, 42_000 + controller.id);
            let mut talk = Conversation::of(client, family, Service::Api, controller).by(1, NEIGHBOUR_MAC);
            rig.open(&mut talk);
            let answer = talk.backend_says(ACK, b"welcome");
            rig.returns(&talk, "down", &answer, &[Forwarded]);
        }
    });
}

#[test]
fn every_initial_sequence_number_makes_a_connection() {
    each_family("every_initial_sequence_number_makes_a_connection", |rig, family| {
        let numbers = [0, 1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff];
        for (port, (client, backend)) in
            (43_000..).zip(numbers.iter().flat_map(|client| numbers.map(|backend| (*client, backend))))
        {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            (talk.client_next, talk.backend_next) = (client, backend);
            rig.open(&mut talk);
        }
    });
}
