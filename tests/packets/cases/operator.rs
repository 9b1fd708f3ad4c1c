//! `flows reset`: the pairs that an operator names are marked in the kernel, and reset with their next packet.

use std::net::SocketAddr;

use lb_common::{
    abi::{
        StateWord,
        flow_flags::{BACKEND_CLOSED_FIRST, RESET, REVERSE, UNCONFIRMED},
    },
    counters::Counter::{FlowAdopted, FlowClosed, Forwarded, ResetByOperator},
    tcp::State::{self, BackendClosed, ClientClosed, Closed, Dead, Established, SynReceived, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN},
    },
    rig::{
        Conversation, Entry, Rig, Tier, each_family,
        setting::{FIRST, Family, Service},
    },
};

const TIERS: [Tier; 2] = [Tier::Flows, Tier::HalfOpen];

/// States and flags of pairs that live.
const ALIVE: [(State, u8); 6] = [
    (SynSent, 0),
    (SynReceived, 0),
    (Established, 0),
    (Established, UNCONFIRMED),
    (ClientClosed, 0),
    (BackendClosed, BACKEND_CLOSED_FIRST),
];

/// A pair of a client's port in this state.
fn pair(rig: &mut Rig, family: Family, port: u16, tier: Tier, (state, flags): (State, u8)) -> Conversation {
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    // The port of a stranger's pair on both sides, so that no two of them meet.
    talk.client = SocketAddr::new(family.client(200), port);
    talk.snat.set_port(port);
    rig.occupy(tier, &talk, state, 0);
    for at in [talk.forward_key(), talk.reverse_key()] {
        rig.edit(tier, at, |entry| entry.meta.state = StateWord(entry.meta.state).with(flags).0);
    }
    talk
}

#[test]
fn a_pair_that_is_reset_answers_both_ends_with_a_rst() {
    each_family("a_pair_that_is_reset_answers_both_ends_with_a_rst", |rig, family| {
        for (port, from_backend) in [(59_000, false), (59_001, true)] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            rig.open(&mut talk);
            for at in [talk.forward_key(), talk.reverse_key()] {
                rig.age(Tier::Flows, at, 100);
            }
            let before = rig.pair(&talk, Tier::Flows);
            let named = if from_backend { talk.reverse_key() } else { talk.forward_key() };
            assert_eq!(rig.reset(Tier::Flows, &[named]), 1, "it is marked by either key");
            let after = rig.expect(&talk, Tier::Flows, Established, RESET);
            assert_eq!(before.forward.meta.bytes, after.forward.meta.bytes, "its figures are as they were");
            let younger =
                |before: Entry, after: Entry| after.meta.last_seen.wrapping_sub(before.meta.last_seen);
            assert!(younger(before.forward, after.forward) >= 100, "its time-out begins anew");
            assert!(younger(before.reverse, after.reverse) >= 100, "and that of the other direction");
            let (up, down) = (talk.client_says(ACK, b"up"), talk.backend_says(ACK, b"down"));
            if from_backend {
                rig.answers(&talk, "the backend", &down, &[FlowClosed, ResetByOperator]);
                rig.answers(&talk, "the client", &up, &[ResetByOperator]);
            } else {
                rig.answers(&talk, "the client", &up, &[FlowClosed, ResetByOperator]);
                rig.answers(&talk, "the backend", &down, &[ResetByOperator]);
            }
            rig.expect(&talk, Tier::Flows, Closed, RESET);
        }
    });
}

/// The guess may be wrong, but the operator wants the connection to end, and not the next guess at it.
#[test]
fn a_guess_that_is_reset_is_not_followed_by_the_next() {
    each_family("a_guess_that_is_reset_is_not_followed_by_the_next", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_010, FIRST);
        let data = talk.client_says(ACK, b"as I said");
        rig.forwards(&talk, "data", &data, &[FlowAdopted, Forwarded]);
        assert_eq!(rig.reset(Tier::HalfOpen, &[talk.forward_key()]), 1, "it is marked");
        let reply = Packet { acknowledgment: 1, ..talk.backend_says(ACK, &[]) };
        rig.answers(&talk, "a reply that refuses the guess", &reply, &[FlowClosed, ResetByOperator]);
        let data = talk.client_says(ACK, b"hello?");
        rig.answers(&talk, "the client", &data, &[ResetByOperator]);
    });
}

#[test]
fn every_pair_that_lives_is_marked_and_keeps_its_state() {
    each_family("every_pair_that_lives_is_marked_and_keeps_its_state", |rig, family| {
        let mut port = 59_100;
        for tier in TIERS {
            for life in ALIVE {
                port += 1;
                let talk = pair(rig, family, port, tier, life);
                assert_eq!(rig.reset(tier, &[talk.forward_key()]), 1, "{life:?} in {tier:?}");
                let pair = rig.pair(&talk, tier);
                let (state, flags) = life;
                assert_eq!(pair.forward.word().state(), state, "forward: {life:?} in {tier:?}");
                assert_eq!(pair.forward.word().flags(), flags | RESET, "forward: {life:?} in {tier:?}");
                assert_eq!(
                    pair.reverse.word().flags(),
                    flags | RESET | REVERSE,
                    "reverse: {life:?} in {tier:?}"
                );
            }
        }
    });
}

#[test]
fn what_is_over_or_unknown_stays_as_it_is() {
    each_family("what_is_over_or_unknown_stays_as_it_is", |rig, family| {
        for (port, tier, other) in [(59_200, TIERS[0], TIERS[1]), (59_210, TIERS[1], TIERS[0])] {
            for (port, state) in [(port, Closed), (port + 1, Dead)] {
                let talk = pair(rig, family, port, tier, (state, 0));
                let keys = [talk.forward_key(), talk.reverse_key()];
                let before = rig.pair(&talk, tier);
                assert_eq!(rig.reset(tier, &keys), 0, "{state:?} in {tier:?}");
                let after = rig.pair(&talk, tier);
                assert_eq!((before.forward, before.reverse), (after.forward, after.reverse), "{state:?}");
            }
            let talk = pair(rig, family, port + 2, tier, (Established, 0));
            assert_eq!(rig.reset(other, &[talk.forward_key()]), 0, "it is in {tier:?}");
            assert_eq!(rig.pair(&talk, tier).forward.word().flags(), 0, "nothing has happened to it");
        }
    });
}

/// Its twin has been overwritten, and a stranger is where it was.
#[test]
fn a_stranger_in_the_twins_place_is_not_marked() {
    each_family("a_stranger_in_the_twins_place_is_not_marked", |rig, family| {
        for (port, tier) in [(59_300, TIERS[0]), (59_301, TIERS[1])] {
            let stranger = pair(rig, family, port, tier, (Established, 0));
            let lone = (SocketAddr::new(family.client(201), port), stranger.address());
            let entry = rig.pair(&stranger, tier).forward;
            rig.put(tier, lone, &entry);
            assert_eq!(rig.reset(tier, &[lone]), 1, "it is marked itself");
            let pair = rig.pair(&stranger, tier);
            assert_eq!(pair.forward.word().flags(), 0, "the stranger's forward entry");
            assert_eq!(pair.reverse.word().flags(), REVERSE, "the stranger's reverse entry");
        }
    });
}

/// What a packet does to the state between the walk and the mark is kept: user space writes no entry.
#[test]
fn a_fin_before_the_mark_is_not_lost() {
    each_family("a_fin_before_the_mark_is_not_lost", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 59_400, FIRST);
        rig.open(&mut talk);
        let found = talk.forward_key();
        let fin = talk.client_says(FIN | ACK, &[]);
        rig.forwards(&talk, "the client's FIN", &fin, &[Forwarded]);
        assert_eq!(rig.reset(Tier::Flows, &[found]), 1, "half of it is open");
        rig.expect(&talk, Tier::Flows, ClientClosed, RESET);
    });
}

#[test]
fn many_pairs_are_reset_at_once() {
    each_family("many_pairs_are_reset_at_once", |rig, family| {
        let talks: Vec<_> =
            (0..150).map(|port| pair(rig, family, 60_000 + port, Tier::Flows, (Established, 0))).collect();
        let keys: Vec<_> = talks.iter().map(Conversation::forward_key).collect();
        assert_eq!(rig.reset(Tier::Flows, &keys), 150, "each request has room for fewer");
        for talk in &talks {
            assert!(rig.pair(talk, Tier::Flows).forward.word().has(RESET), "{:?}", talk.forward_key());
        }
    });
}
