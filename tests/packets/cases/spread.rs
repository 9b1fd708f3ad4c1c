//! The policy `spread`: the connections of one source take the backends in turn.

use std::net::SocketAddr;

use lb_common::{
    counters::Counter::{FlowOpened, Forwarded, Redispatched, SynRetransmitted},
    tcp::State::SynSent,
};

use crate::{
    packet::{Packet, flags::SYN},
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, Controller, Family, Service},
    },
};

/// The place in the list of the backend that a source's first connection goes to: the programs' choice.
fn first_place(rig: &mut Rig, client: SocketAddr, family: Family) -> usize {
    let mut talk = Conversation::of(client, family, Service::Agents, CONTROLLERS[0]);
    let syn = talk.client_says(SYN, &[]);
    rig.ingress = 0;
    let ran = rig.run(&syn.bytes());
    let entry = rig.get(Tier::HalfOpen, talk.forward_key()).expect("the SYN made an entry");
    let is_chosen = |controller: &Controller| controller.id == entry.meta.backend;
    let place = CONTROLLERS.iter().position(is_chosen).expect("the entry's backend is one of ours");
    let talk = talk.to(CONTROLLERS[place]);
    assert_eq!(ran.output, talk.forwarded(&syn).bytes(), "the first connection of {client}");
    rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    place
}

#[test]
fn connections_of_one_source_go_round_all_backends() {
    each_family("connections_of_one_source_go_round_all_backends", |rig, family| {
        for host in 1..20 {
            let of = |number: u16| SocketAddr::new(family.client(host), 49_000 + number);
            let place = first_place(rig, of(0), family);
            for number in 1..9 {
                let controller = CONTROLLERS[(place + usize::from(number)) % CONTROLLERS.len()];
                let mut talk = Conversation::of(of(number), family, Service::Agents, controller);
                let syn: Packet = talk.client_says(SYN, &[]);
                rig.forwards(&talk, "the next connection", &syn, &[FlowOpened, Forwarded]);
                rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
                if number == 4 {
                    // It goes to another backend, but it is not the source's next connection.
                    let other = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
                    let moved = [SynRetransmitted, Redispatched, Forwarded];
                    rig.moves((&talk, &other), "its SYN again", &syn, &moved);
                }
            }
        }
    });
}

#[test]
fn first_connections_of_many_sources_are_spread_too() {
    each_family("first_connections_of_many_sources_are_spread_too", |rig, family| {
        let mut hits = [0; CONTROLLERS.len()];
        for host in 1..=100 {
            hits[first_place(rig, SocketAddr::new(family.client(host), 50_000), family)] += 1;
        }
        assert!(
            hits.iter().all(|hits| *hits >= 10),
            "of 100 first connections {hits:?} went to the backends"
        );
    });
}
