//! The program that collects: it deletes pairs that are over by its own look, and nothing else.

use std::net::SocketAddr;

use lb_common::{
    abi::{
        StateWord,
        flow_flags::{BACKEND_CLOSED_FIRST, UNCONFIRMED},
    },
    tcp::State::{self, BackendClosed, ClientClosed, Closed, Dead, Established, SynReceived, SynSent},
};

use crate::{
    packet::flags::ACK,
    rig::{
        Conversation, Rig, TIMEOUTS, Tier, each_family,
        setting::{FIRST, Family, Service},
    },
};

/// States, flags, and after how long a pair is over.
const LIVES: [(State, u8, u32); 8] = [
    (SynSent, 0, TIMEOUTS.half_open),
    (SynReceived, 0, TIMEOUTS.half_open),
    (Established, 0, TIMEOUTS.established),
    (Established, UNCONFIRMED, TIMEOUTS.half_open),
    (ClientClosed, 0, TIMEOUTS.half_closed),
    (BackendClosed, BACKEND_CLOSED_FIRST, TIMEOUTS.half_closed),
    (Closed, 0, TIMEOUTS.closed),
    (Closed, BACKEND_CLOSED_FIRST, TIMEOUTS.time_wait),
];

/// More than the ticks that may go by while a row is run.
const MARGIN: u32 = 250;

const TIERS: [Tier; 2] = [Tier::Flows, Tier::HalfOpen];

/// A pair that is so many ticks old in each direction.
fn pair(
    rig: &mut Rig,
    family: Family,
    port: u16,
    (tier, state, flags): (Tier, State, u8),
    ages: [u32; 2],
) -> Conversation {
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    // The port of a stranger's pair on both sides, so that no two of them meet.
    talk.client = SocketAddr::new(family.client(200), port);
    talk.snat.set_port(port);
    rig.occupy(tier, &talk, state, 0);
    for (at, age) in [talk.forward_key(), talk.reverse_key()].into_iter().zip(ages) {
        rig.edit(tier, at, |entry| entry.meta.state = StateWord(entry.meta.state).with(flags).0);
        rig.age(tier, at, age);
    }
    talk
}

#[test]
fn pairs_go_when_both_directions_have_been_silent_for_long_enough() {
    each_family("pairs_go_when_both_directions_have_been_silent_for_long_enough", |rig, family| {
        let mut port = 56_000;
        for tier in TIERS {
            for (state, flags, timeout) in LIVES {
                let (young, old) = (timeout - MARGIN, timeout + MARGIN);
                for (ages, over) in [
                    ([young, young], false),
                    ([young, old], false),
                    ([old, young], false),
                    ([old, old], true),
                ] {
                    for asked in 0..3 {
                        port += 1;
                        let talk = pair(rig, family, port, (tier, state, flags), ages);
                        let keys = [talk.forward_key(), talk.reverse_key()];
                        // By either key or by both: it is one pair.
                        let asked = if asked == 2 { &keys[..] } else { &keys[asked..=asked] };
                        let what =
                            format!("{state:?} {flags:#x} in {tier:?}, {ages:?} ticks old, by {asked:?}");
                        assert_eq!(rig.collect(tier, asked), u32::from(over), "{what}");
                        for at in keys {
                            assert_eq!(rig.get(tier, at).is_none(), over, "{what}: {at:?}");
                        }
                    }
                }
            }
            for (at, _) in rig.all(family, tier) {
                rig.remove(tier, at);
            }
        }
    });
}

#[test]
fn a_pair_that_is_used_again_stays() {
    each_family("a_pair_that_is_used_again_stays", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 56_900, FIRST);
        rig.open(&mut talk);
        for at in [talk.forward_key(), talk.reverse_key()] {
            rig.age(Tier::Flows, at, TIMEOUTS.established + MARGIN);
        }
        // The walk has found it; then the client speaks.
        let data = talk.client_says(ACK, b"still here");
        rig.forwards(&talk, "data", &data, &[lb_common::counters::Counter::Forwarded]);
        assert_eq!(rig.collect(Tier::Flows, &[talk.reverse_key()]), 0, "it is not over");
        rig.expect(&talk, Tier::Flows, Established, 0);
    });
}

#[test]
fn the_other_tier_and_unknown_keys_are_let_alone() {
    each_family("the_other_tier_and_unknown_keys_are_let_alone", |rig, family| {
        for (tier, other, port) in [(TIERS[0], TIERS[1], 57_000), (TIERS[1], TIERS[0], 57_001)] {
            let talk = pair(rig, family, port, (tier, Closed, 0), [TIMEOUTS.closed + MARGIN; 2]);
            assert_eq!(rig.collect(other, &[talk.forward_key(), talk.reverse_key()]), 0, "it is in {tier:?}");
            assert_eq!(rig.collect(tier, &[talk.forward_key(), talk.reverse_key()]), 1, "it is in {tier:?}");
            assert_eq!(rig.collect(tier, &[talk.forward_key()]), 0, "it is gone");
        }
    });
}

#[test]
fn a_pair_that_another_has_claimed_is_left_to_him() {
    each_family("a_pair_that_another_has_claimed_is_left_to_him", |rig, family| {
        for (port, tier) in [(57_100, Tier::Flows), (57_101, Tier::HalfOpen)] {
            let talk = pair(rig, family, port, (tier, Dead, 0), [0; 2]);
            for at in [talk.forward_key(), talk.reverse_key()] {
                assert_eq!(rig.collect(tier, &[at]), 0, "it is claimed already");
            }
            rig.pair(&talk, tier);
        }
    });
}

#[test]
fn what_a_claimer_has_left_behind_goes() {
    each_family("what_a_claimer_has_left_behind_goes", |rig, family| {
        for (port, tier) in [(57_110, Tier::Flows), (57_111, Tier::HalfOpen)] {
            let talk = pair(rig, family, port, (tier, Dead, 0), [TIMEOUTS.closed + MARGIN; 2]);
            for at in [talk.forward_key(), talk.reverse_key()] {
                assert_eq!(rig.collect(tier, &[at]), 1, "its claimer needed microseconds and has failed");
            }
        }
    });
}

#[test]
fn a_torn_pair_goes_without_the_stranger_in_its_twins_place() {
    each_family("a_torn_pair_goes_without_the_stranger_in_its_twins_place", |rig, family| {
        for (port, tier) in [(57_200, Tier::Flows), (57_201, Tier::HalfOpen)] {
            let old = [TIMEOUTS.closed + MARGIN; 2];
            let lone = pair(rig, family, port, (tier, Closed, 0), old);
            rig.remove(tier, lone.reverse_key());
            assert_eq!(rig.collect(tier, &[lone.forward_key()]), 1, "an entry without a twin");
            let stranger = pair(rig, family, port, (tier, Closed, 0), old);
            let before = rig.pair(&stranger, tier);
            let lone = (SocketAddr::new(family.client(201), port), stranger.address());
            rig.put(tier, lone, &before.forward);
            assert_eq!(rig.collect(tier, &[lone]), 1, "an entry whose twin is a stranger's");
            assert_eq!(rig.get(tier, lone), None, "it is gone");
            let after = rig.pair(&stranger, tier);
            assert_eq!(
                (before.forward, before.reverse),
                (after.forward, after.reverse),
                "the stranger's pair"
            );
        }
    });
}

#[test]
fn many_keys_are_collected_at_once() {
    each_family("many_keys_are_collected_at_once", |rig, family| {
        let mut keys = Vec::new();
        for port in 0..200 {
            let age = if port % 2 == 0 { TIMEOUTS.closed + MARGIN } else { 0 };
            let talk = pair(rig, family, 58_000 + port, (Tier::Flows, Closed, 0), [age; 2]);
            keys.extend([talk.forward_key(), talk.reverse_key()]);
        }
        assert_eq!(rig.collect(Tier::Flows, &keys), 100, "every second pair is over");
        assert_eq!(rig.all(family, Tier::Flows).len(), 200, "the others stay");
    });
}
