//! Backends at which a connection that is sent on finds no port.

use lb_common::{
    abi::backend_state::{ACTIVE, NONE},
    counters::Counter::{
        DropRedispatchFailed, FlowOpened, Forwarded, PortCollision, Redispatched, RedispatchedPort,
        ResetNoPort, SynRetransmitted,
    },
    limits::{PORT_CANDIDATES, REDISPATCH_CROWDED},
    tcp::State::{Established, SynSent},
};

use super::bounds::{many, set_states};
use crate::{
    packet::Packet,
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, Controller, FIRST, FOURTH, Family, Service},
        times,
    },
};

const CANDIDATES: usize = PORT_CANDIDATES as usize;

/// A connection to the first backend that has been asked for, and the order in which these are asked.
fn begun(
    rig: &mut Rig,
    family: Family,
    port: u16,
    rotation: &[Controller],
) -> (Conversation, Packet, Vec<Controller>) {
    rig.choose_from(family, Service::Api, &[FIRST], rotation);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = rig.syn(&mut talk);
    let sequence = talk.sequence(rotation);
    (talk, syn, sequence)
}

/// Lets others hold all ports that a connection may get at these backends.
fn crowd(rig: &mut Rig, talk: &Conversation, backends: &[Controller]) {
    for backend in backends {
        for number in 0..PORT_CANDIDATES {
            let other = talk.clone().to(*backend).with_candidate(number);
            rig.occupy(Tier::Flows, &other, Established, 0);
        }
    }
}

#[test]
fn a_backend_without_a_free_port_is_passed_over() {
    each_family("a_backend_without_a_free_port_is_passed_over", |rig, family| {
        for (port, crowded, by_client) in
            [(26_000, 1, false), (26_001, 1, true), (26_002, 2, false), (26_003, 2, true)]
        {
            let (talk, syn, sequence) = begun(rig, family, port, &CONTROLLERS);
            crowd(rig, &talk, &sequence[1..=crowded]);
            let next = talk.clone().to(sequence[1 + crowded]);
            let moved = times(crowded * CANDIDATES, PortCollision, &[Redispatched, Forwarded]);
            if by_client {
                let moved = [&moved[..], &[SynRetransmitted]].concat();
                rig.moves((&talk, &next), "the SYN again", &syn, &moved);
            } else {
                rig.redispatches((&talk, &next), "a refusal", &talk.refusal(), &syn, &moved);
            }
            rig.forget_flows(family);
        }
    });
}

/// What is asked next goes on from the backend that took the connection.
#[test]
fn who_was_passed_over_is_not_asked_again() {
    each_family("who_was_passed_over_is_not_asked_again", |rig, family| {
        let (talk, syn, sequence) = begun(rig, family, 26_100, &CONTROLLERS);
        crowd(rig, &talk, &sequence[1..2]);
        let (third, fourth) = (talk.clone().to(sequence[2]), talk.clone().to(sequence[3]));
        let moved = times(CANDIDATES, PortCollision, &[Redispatched, Forwarded]);
        rig.redispatches((&talk, &third), "a refusal", &talk.refusal(), &syn, &moved);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&third, &fourth), "another", &third.refusal(), &syn, &moved);
    });
}

#[test]
fn where_nobody_has_a_port_the_connection_begins_anew() {
    each_family("where_nobody_has_a_port_the_connection_begins_anew", |rig, family| {
        let (talk, syn, sequence) = begun(rig, family, 26_200, &CONTROLLERS);
        crowd(rig, &talk, &sequence[1..]);
        let moved = times(3 * CANDIDATES, PortCollision, &[DropRedispatchFailed]);
        rig.drops(&talk, "a refusal", &talk.refusal(), &moved);
        assert_eq!(rig.get(Tier::HalfOpen, talk.forward_key()), None, "no half of a pair is left");
        let again = talk.clone().with_candidate(1);
        rig.forwards(&again, "it begins anew", &syn, &[PortCollision, FlowOpened, Forwarded]);
        rig.expect(&again, Tier::HalfOpen, SynSent, 0);
    });
}

/// A client that goes on asking is sent through all again, also to where it has been, by another port.
#[test]
fn a_silent_backend_is_better_than_none() {
    each_family("a_silent_backend_is_better_than_none", |rig, family| {
        let (talk, syn, _) = begun(rig, family, 26_300, &[FIRST, FOURTH]);
        crowd(rig, &talk, &[FOURTH]);
        let back = talk.clone().with_candidate(1);
        let moved = times(CANDIDATES + 1, PortCollision, &[SynRetransmitted, RedispatchedPort, Forwarded]);
        rig.moves((&talk, &back), "the SYN again", &syn, &moved);
    });
}

#[test]
fn one_packet_asks_so_many_crowded_backends_and_no_more() {
    each_family("one_packet_asks_so_many_crowded_backends_and_no_more", |rig, family| {
        set_states(rig, family, ACTIVE);
        let bound = REDISPATCH_CROWDED as usize;
        for (port, by_client) in [(26_400, false), (26_401, true)] {
            let (talk, syn, sequence) = begun(rig, family, port, &many(7));
            crowd(rig, &talk, &sequence[1..=bound]);
            if by_client {
                let moved = times(bound * CANDIDATES, PortCollision, &[SynRetransmitted, ResetNoPort]);
                rig.answers(&talk, "the SYN again", &syn, &moved);
            } else {
                let moved = times(bound * CANDIDATES, PortCollision, &[DropRedispatchFailed]);
                rig.drops(&talk, "a refusal", &talk.refusal(), &moved);
            }
            rig.forget_flows(family);
        }
        set_states(rig, family, NONE);
    });
}
